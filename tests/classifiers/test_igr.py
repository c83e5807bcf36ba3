import pytest
import torch
from torch.nn.functional import cross_entropy

from robustxai.classifiers import IGRClassifier, VanillaClassifier
from robustxai.explainers import IntegratedGradients
from robustxai.penalties import AttributionChange, ExplainedBatch

from .conftest import SMALL, small
from .test_all import states_equal

QUICK = {"n_points": 2, "max_iter": 1}


def make(**params):
    """A small network, with the ascent and the explainer of the defaults."""
    return IGRClassifier(**{**SMALL, "module__hidden": (8,), **params})


@pytest.mark.parametrize(
    ("objective", "nothing"), [("igr", "lambda_attribution"), ("igr", "epsilon"), ("at_igr", "epsilon")]
)
def test_without_the_penalty_it_is_vanilla_to_the_last_bit(objective, nothing, data):
    a = make(objective=objective, module__activation="relu", **{nothing: 0}).fit(*data)
    assert states_equal(a, small(VanillaClassifier).fit(*data))


@pytest.mark.parametrize("objective", ["igr", "at_igr"])
def test_the_objective_of_one_step(objective, data):
    X, y = data
    options = {"epsilon": 0.3, "n_points": 3, "max_iter": 5}
    clf = make(objective=objective, lambda_attribution=2.0, max_epochs=1, batch_size=-1, lr=1e-12, **options).fit(X, y)
    x = torch.as_tensor(X, dtype=torch.float32).requires_grad_()
    batch = ExplainedBatch(clf.module_, x, IntegratedGradients(), y=torch.as_tensor(y))
    penalty = AttributionChange("cosine", maximize="cross_entropy", **options)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        change = penalty(batch).mean().item()
    points = x if objective == "igr" else penalty.worst(batch)
    row = clf.history_[0]
    # another random start
    assert row["cross_entropy"] == pytest.approx(cross_entropy(clf.module_(points), batch.y).item(), rel=0.01)
    assert row["attribution_change"] == pytest.approx(change, rel=0.1)
    assert row["train_loss"] == pytest.approx(row["cross_entropy"] + 2 * row["attribution_change"], rel=1e-5)


def test_more_weight_turns_the_attribution_less(data):
    X, y = data
    x = torch.as_tensor(X, dtype=torch.float32).requires_grad_()
    changes = []
    for weight in (0.0, 3.0):
        clf = make(lambda_attribution=weight, epsilon=0.2, max_epochs=15, lr=0.03)
        clf.set_params(**QUICK).fit(X, y)
        batch = ExplainedBatch(clf.module_, x, IntegratedGradients(), y=torch.as_tensor(y))
        penalty = AttributionChange(maximize="cross_entropy", epsilon=0.2)
        changes.append(penalty(batch).mean().item())
    assert clf.score(X, y) > 0.8
    assert changes[0] > 1.3 * changes[1]


def test_every_setting_counts(data):
    options = {"objective": "at_igr", "epsilon": 0.3, "max_epochs": 1, **QUICK}
    first = make(**options).fit(*data)
    for name, value in {
        "objective": "igr",
        "lambda_attribution": 0.5,
        "n_points": 3,
        "max_iter": 2,
        "step_size": 0.01,
        "explainer": "gradient",
        "epsilon": 0.1,
        "norm": 2,
    }.items():
        assert not states_equal(make(**{**options, name: value}).fit(*data), first), name


@pytest.mark.parametrize(
    "wrong", [{"objective": "aat"}, {"lambda_attribution": -1}, {"n_points": 0}, {"max_iter": 0}, {"step_size": 0}]
)
def test_parameters_out_of_range(wrong, data):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make(**wrong).fit(*data)
