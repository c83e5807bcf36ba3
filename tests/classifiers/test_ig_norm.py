import math

import numpy as np
import pytest
import torch
from sklearn.datasets import make_moons
from sklearn.preprocessing import minmax_scale
from torch.nn.functional import cross_entropy

from robustxai.classifiers import IGNormClassifier, VanillaClassifier
from robustxai.explainers import Gradient, IntegratedGradients
from robustxai.penalties import ExplainedBatch, IGNorm
from robustxai.perturbation import ThreatModel

from .conftest import small
from .test_all import states_equal

OBJECTIVES = pytest.mark.parametrize("objective", ["norm", "sum_norm"])


def test_integrated_gradients_explain_it_without_changing_the_training(data):
    """The penalty has integrated gradients of its own, of the loss."""
    a = small(IGNormClassifier, explainer="integrated_gradients").fit(*data)
    b = small(IGNormClassifier).fit(*data)
    assert states_equal(a, b)
    explainer = IntegratedGradients(500)
    rise = a.predict_proba(data[0])[:, 1] - a.predict_proba(np.zeros((1, 4)))[:, 1]
    np.testing.assert_allclose(a.explain(data[0], y=1, explainer=explainer).sum(axis=1), rise, atol=1e-3)
    np.testing.assert_allclose(a.explain(data[0]), b.explain(data[0], explainer="integrated_gradients"), rtol=1e-6)


@OBJECTIVES
@pytest.mark.parametrize("nothing", [{"lambda_ig": 0}, {"epsilon": 0}])
def test_without_the_penalty_it_is_vanilla_to_the_last_bit(nothing, objective, data):
    X, y = data
    a = small(IGNormClassifier, objective=objective, module__activation="relu", **nothing).fit(X, y)
    b = small(VanillaClassifier).fit(X, y)
    assert states_equal(a, b)
    assert np.array_equal(a.explain(X), b.explain(X))


def one_batch(objective, lambda_ig, data):
    """The loss of one step that sees all rows, and its parts by hand, at the weights before that step."""
    X, y = data
    options = {"epsilon": 0.3, "n_points": 4, "max_iter": 3, "beta": 0.4}
    clf = small(
        IGNormClassifier, objective=objective, lambda_ig=lambda_ig, max_epochs=1, batch_size=-1, lr=1e-12, **options
    ).fit(X, y)
    x = torch.as_tensor(X, dtype=torch.float32).requires_grad_()
    batch = ExplainedBatch(clf.module_, x, Gradient(), y=torch.as_tensor(y))
    penalty = IGNorm(objective, **options)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        points = penalty.worst(batch)
        attribution = penalty.attribution(batch, points)
    losses = [cross_entropy(clf.module_(p), batch.y).item() for p in (x, points)]
    return clf.history_[0], *losses, attribution.abs().sum(dim=1).mean().item()


def test_the_objective_of_ig_norm(data):
    row, clean, _, norm = one_batch("norm", 2.0, data)
    assert row["cross_entropy"] == pytest.approx(clean, rel=1e-5)
    assert row["ig_norm"] == pytest.approx(norm, rel=0.05)  # another random start
    assert row["train_loss"] == pytest.approx(row["cross_entropy"] + 2 * row["ig_norm"], rel=1e-5)


def test_the_objective_of_ig_sum_norm(data):
    row, _, worst, norm = one_batch("sum_norm", 1.0, data)
    assert row["train_loss"] == pytest.approx(worst + 0.4 * norm, rel=0.02)  # another random start


@OBJECTIVES
def test_more_weight_is_a_flatter_loss_around_the_rows(objective):
    X, y = make_moons(120, noise=0.1, random_state=0)
    X = minmax_scale(X)
    penalty = IGNorm(objective, beta=1.0, epsilon=0.05, n_points=50)
    sizes = []
    for weight in (0.0, 1.0, 10.0):
        clf = small(IGNormClassifier, objective=objective, lambda_ig=weight, beta=1.0, epsilon=0.05, max_epochs=40)
        clf.set_params(module__hidden=(32,), lr=0.01, n_points=5, max_iter=3).fit(X, y)
        x = torch.as_tensor(X, dtype=torch.float32).requires_grad_()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            sizes.append(penalty(ExplainedBatch(clf.module_, x, Gradient(), y=torch.as_tensor(y))).mean().item())
    assert sizes[0] > 1.05 * sizes[1] > 2 * sizes[2]


def test_every_setting_counts(data):
    options = {"epsilon": 0.5, "norm": 2, "objective": "sum_norm"}
    first = small(IGNormClassifier, **options).fit(*data)
    for name, value in {
        "objective": "norm",
        "lambda_ig": 0.5,
        "beta": 1.0,
        "epsilon": 0.2,
        "norm": math.inf,
        "n_points": 3,
        "n_attack_points": 1,
        "max_iter": 2,
        "step_size": 0.01,
    }.items():
        other = small(IGNormClassifier, **{**options, name: value}).fit(*data)
        assert not states_equal(other, first), name


def test_names_of_the_norm(data):
    a = small(IGNormClassifier, norm="inf").fit(*data)
    assert states_equal(a, small(IGNormClassifier, norm=math.inf).fit(*data))


def test_rows_outside_the_bounds_are_named(data):
    with pytest.raises(ValueError, match="outside the bounds"):
        small(IGNormClassifier, threat=ThreatModel(0.01, "inf", bounds=(0, 1))).fit(*data)
    X = minmax_scale(data[0])
    within = small(IGNormClassifier, threat=ThreatModel(0.2, "inf", bounds=(0, 1))).fit(X, data[1])
    assert not states_equal(within, small(IGNormClassifier, epsilon=0.2).fit(X, data[1]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"objective": "sum"},
        {"lambda_ig": -1},
        {"beta": -1},
        {"epsilon": -1},
        {"norm": 1},
        {"threat": ThreatModel(0.2), "norm": "inf"},
        {"n_points": 0},
        {"n_attack_points": 0},
        {"max_iter": 0},
        {"step_size": 0},
    ],
)
def test_parameters_out_of_range(wrong, data):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        small(IGNormClassifier, **wrong).fit(*data)
