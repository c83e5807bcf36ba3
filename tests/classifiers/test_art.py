import pytest
import torch
from torch.nn.functional import cross_entropy

from robustxai.classifiers import ARTClassifier, VanillaClassifier
from robustxai.explainers import Gradient
from robustxai.penalties import ExplainedBatch, InputAlignment

from .conftest import SMALL, small
from .test_all import states_equal


def make(**params):
    """A small network, with the ascent and the explainer of the defaults."""
    return ARTClassifier(**{**SMALL, "module__hidden": (8,), "k": 2, **params})


def test_in_a_ball_of_one_point_it_is_vanilla_to_the_last_bit(data):
    a = make(epsilon=0, module__activation="relu").fit(*data)
    assert states_equal(a, small(VanillaClassifier).fit(*data))


def test_the_objective_of_one_step(data):
    X, y = data
    options = {"k": 2, "epsilon": 0.2, "max_iter": 5}
    clf = make(lambda_alignment=2.0, max_epochs=1, batch_size=-1, lr=1e-12, **options).fit(X, y)
    x = torch.as_tensor(X, dtype=torch.float32).requires_grad_()
    batch = ExplainedBatch(clf.module_, x, Gradient(), y=torch.as_tensor(y))
    penalty = InputAlignment(**options)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        value = penalty(batch).mean().item()
    loss = cross_entropy(clf.module_(penalty.worst(batch)), batch.y).item()
    row = clf.history_[0]
    # another random start
    assert row["cross_entropy"] == pytest.approx(loss, rel=0.01)
    assert row["alignment"] == pytest.approx(value, rel=0.02)
    assert row["train_loss"] == pytest.approx(row["cross_entropy"] + 2 * row["alignment"], rel=1e-5)


def test_without_its_weight_the_cross_entropy_stays_at_the_point(data):
    a = make(lambda_alignment=0, epsilon=0.3).fit(*data)
    b = make(epsilon=0.0).fit(*data)
    assert not states_equal(a, b)
    assert "alignment" not in a.history_[0]


def test_more_weight_aligns_more(data):
    X, y = data
    x = torch.as_tensor(X, dtype=torch.float32).requires_grad_()
    values = []
    for weight in (0.0, 2.0):
        clf = make(lambda_alignment=weight, max_epochs=12, lr=0.02, max_iter=1).fit(X, y)
        assert clf.score(X, y) > 0.8
        batch = ExplainedBatch(clf.module_, x, Gradient(), y=torch.as_tensor(y))
        values.append(InputAlignment(2)(batch).mean().item())
    assert values[1] < values[0] - 0.01


def test_every_setting_counts(data):
    options = {"epsilon": 0.3, "max_epochs": 1, "max_iter": 1}
    first = make(**options).fit(*data)
    for name, value in {
        "k": 1,
        "lambda_alignment": 0.1,
        "max_iter": 2,
        "step_size": 0.01,
        "epsilon": 0.1,
        "norm": 2,
    }.items():
        assert not states_equal(make(**{**options, name: value}).fit(*data), first), name


@pytest.mark.parametrize("wrong", [{"k": 0}, {"lambda_alignment": -1}, {"max_iter": 0}, {"step_size": 0}])
def test_parameters_out_of_range(wrong, data):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make(**wrong).fit(*data)
