import pytest
import torch
from torch.nn.functional import cross_entropy

from robustxai.classifiers import MapDiscrepancyClassifier, VanillaClassifier
from robustxai.explainers import Gradient
from robustxai.penalties import ExplainedBatch, MapDiscrepancy

from .conftest import SMALL, small
from .test_all import states_equal

QUICK = {"n_points": 2, "n_attack_points": 1, "max_iter": 1}
OBJECTIVES = pytest.mark.parametrize("objective", ["int", "int2"])


def make(**params):
    """A small network, with the ascent and the explainer of the defaults."""
    return MapDiscrepancyClassifier(**{**SMALL, "module__hidden": (8,), **params})


@OBJECTIVES
@pytest.mark.parametrize("nothing", ["lambda_discrepancy", "epsilon"])
def test_without_the_penalty_it_is_vanilla_to_the_last_bit(nothing, objective, data):
    a = make(objective=objective, module__activation="relu", **{nothing: 0}).fit(*data)
    assert states_equal(a, small(VanillaClassifier).fit(*data))


@OBJECTIVES
def test_the_objective_of_one_step(objective, data):
    X, y = data
    options = {"objective": objective, "epsilon": 0.3, "n_points": 3, "max_iter": 5}
    clf = make(lambda_discrepancy=2.0, max_epochs=1, batch_size=-1, lr=1e-12, **options).fit(X, y)
    x = torch.as_tensor(X, dtype=torch.float32).requires_grad_()
    batch = ExplainedBatch(clf.module_, x, Gradient(), y=torch.as_tensor(y))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        value = MapDiscrepancy(**options)(batch).mean().item()
    row = clf.history_[0]
    assert row["cross_entropy"] == pytest.approx(cross_entropy(clf.module_(x), batch.y).item(), rel=1e-5)
    assert row["map_discrepancy"] == pytest.approx(value, rel=0.05)  # another random start
    assert row["train_loss"] == pytest.approx(row["cross_entropy"] + 2 * row["map_discrepancy"], rel=1e-5)


def test_more_weight_moves_the_maps_less(data):
    X, y = data
    x = torch.as_tensor(X, dtype=torch.float32).requires_grad_()
    values = []
    for weight in (0.0, 1.0):
        clf = make(lambda_discrepancy=weight, max_epochs=12, lr=0.02)
        clf.set_params(epsilon=0.3, **QUICK).fit(X, y)
        assert clf.score(X, y) > 0.8
        batch = ExplainedBatch(clf.module_, x, Gradient(), y=torch.as_tensor(y))
        values.append(MapDiscrepancy(epsilon=0.3)(batch).mean().item())
    assert values[0] > 1.5 * values[1]


def test_every_setting_counts(data):
    options = {"epsilon": 0.3, "max_epochs": 1, **QUICK}
    first = make(**options).fit(*data)
    for name, value in {
        "objective": "int2",
        "lambda_discrepancy": 0.5,
        "n_points": 3,
        "n_attack_points": 2,
        "max_iter": 2,
        "step_size": 0.01,
        "epsilon": 0.1,
        "norm": 2,
    }.items():
        assert not states_equal(make(**{**options, name: value}).fit(*data), first), name


@pytest.mark.parametrize(
    "wrong",
    [{"objective": "cam"}, {"lambda_discrepancy": -1}, {"n_points": 0}, {"n_attack_points": 0}, {"max_iter": 0}],
)
def test_parameters_out_of_range(wrong, data):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make(**wrong).fit(*data)
