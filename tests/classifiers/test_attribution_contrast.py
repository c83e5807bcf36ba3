import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from robustxai.classifiers import AttributionContrastClassifier, VanillaClassifier
from robustxai.explainers import Gradient
from robustxai.penalties import ClassContrast, ExplainedBatch, WeightedChange
from robustxai.perturbation import ThreatModel

from .conftest import small
from .test_all import states_equal


def test_without_weights_and_ball_it_is_vanilla_to_the_last_bit(data):
    X, y = data
    nothing = {"lambda_contrast": 0, "lambda_change": 0, "epsilon": 0}
    a = small(AttributionContrastClassifier, module__activation="relu", **nothing).fit(X, y)
    b = small(VanillaClassifier).fit(X, y)
    assert states_equal(a, b)
    assert np.array_equal(a.explain(X), b.explain(X))


def test_the_objective(data):
    """Of one step that sees all rows, by hand at the weights before it; the random start of the ascent is another."""
    X, y = data
    options = {"epsilon": 0.3, "n_points": 4, "max_iter": 5, "beta": 0.4}
    weights = {"lambda_contrast": 3.0, "lambda_change": 2.0}
    clf = small(
        AttributionContrastClassifier, max_epochs=1, batch_size=-1, lr=1e-12, **weights, **options
    ).fit(X, y)  # fmt: skip
    x = torch.as_tensor(X, dtype=torch.float32).requires_grad_()
    batch = ExplainedBatch(clf.module_, x, Gradient(), y=torch.as_tensor(y))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        batch.attacked = AttributionContrastClassifier(**options).adversary()(batch)
    row = clf.history_[0]
    assert row["cross_entropy"] == pytest.approx(cross_entropy(clf.module_(batch.attacked), batch.y).item(), rel=0.02)
    assert row["contrast"] == pytest.approx(ClassContrast(4)(batch).mean().item(), rel=0.05)
    assert row["change"] == pytest.approx(WeightedChange(4)(batch).mean().item(), rel=0.05)
    total = row["cross_entropy"] + 3 * row["contrast"] + 2 * row["change"]
    assert row["train_loss"] == pytest.approx(total, rel=1e-5)


def test_more_weight_is_a_smaller_change_and_more_contrast(data):
    X, y = data
    x = torch.as_tensor(X, dtype=torch.float32).requires_grad_()
    options = {"epsilon": 0.2, "n_points": 3, "max_iter": 1, "max_epochs": 10, "lr": 0.02}

    def trained(**weights):
        clf = small(AttributionContrastClassifier, **options, **weights).fit(X, y)
        batch = ExplainedBatch(clf.module_, x, Gradient(), y=torch.as_tensor(y))
        batch.attacked = x.detach() + 0.2 * x.detach().sign()
        return [penalty(batch).mean().item() for penalty in (ClassContrast(20), WeightedChange(20))]

    plain = trained(lambda_contrast=0.0, lambda_change=0.0)
    assert trained(lambda_contrast=200.0, lambda_change=0.0)[0] < min(1.5 * plain[0], 0.0)
    assert trained(lambda_contrast=0.0, lambda_change=10.0)[1] < 0.9 * plain[1]


def test_every_setting_counts(data):
    options = {"epsilon": 0.5, "norm": 2, "max_epochs": 1, "n_points": 2, "max_iter": 3}
    first = small(AttributionContrastClassifier, **options).fit(*data)
    changes = {"lambda_contrast": 0.0, "lambda_change": 0.0, "beta": 2.0, "epsilon": 0.2, "norm": math.inf}
    changes |= {"n_points": 4, "n_attack_points": 2, "max_iter": 2, "baseline": 1.0}
    for name, value in changes.items():
        other = small(AttributionContrastClassifier, **{**options, name: value}).fit(*data)
        assert not states_equal(other, first), name


def test_rows_outside_the_bounds_are_named(data):
    with pytest.raises(ValueError, match="outside the bounds"):
        small(AttributionContrastClassifier, threat=ThreatModel(0.01, "inf", bounds=(0, 1))).fit(*data)


@pytest.mark.parametrize(
    "wrong",
    [{"lambda_contrast": -1}, {"lambda_change": -1}, {"beta": -1}, {"epsilon": -1}, {"norm": 1}, {"n_points": 0},
     {"n_attack_points": 0}, {"max_iter": 0}, {"baseline": float("nan")}],
)  # fmt: skip
def test_parameters_out_of_range(wrong, data):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        small(AttributionContrastClassifier, **wrong).fit(*data)
