import pytest
import torch
from torch.nn.functional import cross_entropy

from robustxai.classifiers import FARClassifier, VanillaClassifier
from robustxai.explainers import IntegratedGradients
from robustxai.penalties import AttributionChange, ExplainedBatch
from robustxai.training import LossAdversary

from .conftest import SMALL, small
from .test_all import states_equal

QUICK = {"n_points": 2, "n_attack_points": 1, "max_iter": 1}


def make(**params):
    """A small network, with the ascent and the explainer of the defaults."""
    return FARClassifier(**{**SMALL, "module__hidden": (8,), **params})


@pytest.mark.parametrize(
    ("objective", "nothing"), [("aat", "lambda_attribution"), *((o, "epsilon") for o in ("aat", "adv_aat"))]
)
def test_without_the_penalty_it_is_vanilla_to_the_last_bit(objective, nothing, data):
    a = make(objective=objective, module__activation="relu", **{nothing: 0}).fit(*data)
    assert states_equal(a, small(VanillaClassifier).fit(*data))


@pytest.mark.parametrize("objective", ["aat", "adv_aat"])
def test_the_objective_of_one_step(objective, data):
    X, y = data
    options = {"epsilon": 0.3, "n_points": 3, "max_iter": 2}
    clf = make(objective=objective, lambda_attribution=2.0, max_epochs=1, batch_size=-1, lr=1e-12, **options).fit(X, y)
    x = torch.as_tensor(X, dtype=torch.float32).requires_grad_()
    batch = ExplainedBatch(clf.module_, x, IntegratedGradients(), y=torch.as_tensor(y))
    penalty = AttributionChange("pearson", maximize="change" if objective == "aat" else "sum", weight=2.0, **options)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        change = penalty(batch).mean().item()
        points = x if objective == "aat" else penalty.worst(batch)
    row = clf.history_[0]
    # another random start
    assert row["cross_entropy"] == pytest.approx(cross_entropy(clf.module_(points), batch.y).item(), rel=0.01)
    assert row["attribution_change"] == pytest.approx(change, rel=0.15)
    assert row["train_loss"] == pytest.approx(row["cross_entropy"] + 2 * row["attribution_change"], rel=1e-5)


def test_adversary_and_penalty_share_the_point(data):
    clf = make(objective="adv_aat", epsilon=0.3, **QUICK).fit(*data)
    x = torch.as_tensor(data[0], dtype=torch.float32).requires_grad_()
    batch = ExplainedBatch(clf.module_, x, IntegratedGradients(), y=torch.as_tensor(data[1]))
    batch.attacked = clf.adversary()(batch)
    (term,) = clf.terms(4)
    assert torch.equal(term.penalty(batch), term.penalty(batch))  # without an ascent of its own, which would draw
    assert not torch.equal(clf.adversary()(batch), batch.attacked)


def test_more_weight_turns_the_attribution_less(data):
    X, y = data
    x = torch.as_tensor(X, dtype=torch.float32).requires_grad_()
    changes = []
    for weight in (0.0, 3.0):
        clf = make(lambda_attribution=weight, epsilon=0.2, max_epochs=15, lr=0.03)
        clf.set_params(**QUICK).fit(X, y)
        batch = ExplainedBatch(clf.module_, x, IntegratedGradients(), y=torch.as_tensor(y))
        changes.append(AttributionChange("pearson", epsilon=0.2)(batch).mean().item())
    assert clf.score(X, y) > 0.8
    assert changes[0] > 1.3 * changes[1]


def test_without_its_weight_adv_aat_is_adversarial_training(data):
    """The point of the cross-entropy then maximizes the cross-entropy."""
    X, y = data
    clf = make(objective="adv_aat", lambda_attribution=0, epsilon=0.3, **QUICK).fit(X, y)
    assert "attribution_change" not in clf.history_[0]
    assert not states_equal(clf, make(lambda_attribution=0).fit(X, y))
    x = torch.as_tensor(X, dtype=torch.float32).requires_grad_()
    batch = ExplainedBatch(clf.module_, x, IntegratedGradients(), y=torch.as_tensor(y))
    fgsm = LossAdversary(0.3)(batch)
    losses = [cross_entropy(clf.module_(points), batch.y).item() for points in (x, clf.adversary()(batch), fgsm)]
    assert losses[1] - losses[0] > 0.5 * (losses[2] - losses[0]) > 0


def test_every_setting_counts(data):
    options = {"objective": "adv_aat", "epsilon": 0.3, "max_epochs": 1, **QUICK}
    first = make(**options).fit(*data)
    for name, value in {
        "objective": "aat",
        "lambda_attribution": 0.5,
        "n_points": 3,
        "n_attack_points": 2,
        "max_iter": 2,
        "step_size": 0.01,
        "explainer": "gradient",
        "epsilon": 0.1,
        "norm": 2,
    }.items():
        assert not states_equal(make(**{**options, name: value}).fit(*data), first), name


def test_a_batch_in_parts_is_the_batch(data):
    options = {"objective": "adv_aat", "epsilon": 0.3, **QUICK}
    whole = make(**options).fit(*data)
    parts = make(internal_batch_size=10, **options).fit(*data)
    for one, other in zip(whole.module_.parameters(), parts.module_.parameters()):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "wrong",
    [{"objective": "far"}, {"lambda_attribution": -1}, {"n_points": 0}, {"n_attack_points": 0}, {"max_iter": 0}],
)
def test_parameters_out_of_range(wrong, data):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make(**wrong).fit(*data)
