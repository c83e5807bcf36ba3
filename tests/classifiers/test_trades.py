import math

import numpy as np
import pytest
import torch
from sklearn.datasets import make_moons
from sklearn.preprocessing import minmax_scale
from torch.nn.functional import cross_entropy

from robustxai.classifiers import TRADESClassifier, VanillaClassifier
from robustxai.explainers import Gradient
from robustxai.penalties import TRADES, ExplainedBatch
from robustxai.perturbation import ThreatModel

from .conftest import small
from .test_all import states_equal


@pytest.mark.parametrize("nothing", [{"beta": 0}, {"epsilon": 0}])
def test_without_the_penalty_it_is_vanilla_to_the_last_bit(nothing, data):
    X, y = data
    a, b = small(TRADESClassifier, **nothing).fit(X, y), small(VanillaClassifier).fit(X, y)
    assert states_equal(a, b)
    assert np.array_equal(a.explain(X), b.explain(X))


def test_the_objective(data):
    """Of one step that sees all rows, by hand at the weights before it."""
    X, y = data
    options = {"epsilon": 0.3, "max_iter": 5}
    clf = small(TRADESClassifier, beta=2.0, max_epochs=1, batch_size=-1, lr=1e-12, **options).fit(X, y)
    x = torch.as_tensor(X, dtype=torch.float32).requires_grad_()
    batch = ExplainedBatch(clf.module_, x, Gradient(), y=torch.as_tensor(y))
    row = clf.history_[0]
    assert row["cross_entropy"] == pytest.approx(cross_entropy(clf.module_(x), batch.y).item(), rel=1e-5)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert row["trades"] == pytest.approx(TRADES(**options)(batch).mean().item(), rel=0.02)  # another start
    assert row["train_loss"] == pytest.approx(row["cross_entropy"] + 2 * row["trades"], rel=1e-5)


def test_more_weight_is_a_prediction_that_moves_less():
    X, y = make_moons(120, noise=0.1, random_state=0)
    X = minmax_scale(X)
    sizes = []
    for beta in (0.0, 6.0, 20.0):
        clf = small(TRADESClassifier, beta=beta, epsilon=0.1, max_epochs=25, max_iter=2, module__hidden=(32,), lr=0.01)
        x = torch.as_tensor(X, dtype=torch.float32).requires_grad_()
        batch = ExplainedBatch(clf.fit(X, y).module_, x, Gradient())
        with torch.random.fork_rng():
            torch.manual_seed(0)
            sizes.append(TRADES(epsilon=0.1)(batch).mean().item())
    assert sizes[0] > 2 * sizes[1] > 4 * sizes[2]


def test_every_setting_counts(data):
    options = {"epsilon": 0.5, "norm": 2}
    first = small(TRADESClassifier, **options).fit(*data)
    changes = {"beta": 0.5, "epsilon": 0.2, "norm": math.inf, "max_iter": 2, "step_size": 0.01}
    for name, value in changes.items():
        assert not states_equal(small(TRADESClassifier, **{**options, name: value}).fit(*data), first), name


def test_rows_outside_the_bounds_are_named(data):
    with pytest.raises(ValueError, match="outside the bounds"):
        small(TRADESClassifier, threat=ThreatModel(0.01, "inf", bounds=(0, 1))).fit(*data)


@pytest.mark.parametrize("wrong", [{"beta": -1}, {"epsilon": -1}, {"norm": 1}, {"max_iter": 0}, {"step_size": 0}])
def test_parameters_out_of_range(wrong, data):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        small(TRADESClassifier, **wrong).fit(*data)
