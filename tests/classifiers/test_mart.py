import math

import numpy as np
import pytest
import torch
from sklearn.datasets import make_moons
from torch.nn.functional import cross_entropy

from robustxai.classifiers import AdversarialTrainingClassifier, MARTClassifier, VanillaClassifier
from robustxai.explainers import Gradient
from robustxai.penalties import ExplainedBatch, RunnerUpMargin, WeightedDivergence

from .conftest import small
from .test_adversarial_training import worst_loss
from .test_all import states_equal


def test_epsilon_zero_is_vanilla_to_the_last_bit(data):
    X, y = data
    a, b = small(MARTClassifier, epsilon=0).fit(X, y), small(VanillaClassifier).fit(X, y)
    assert states_equal(a, b)
    assert np.array_equal(a.explain(X), b.explain(X))


@pytest.mark.parametrize("norm", [2, math.inf])
def test_the_objective(norm, data):
    """Of one step that sees all rows, by hand at the weights before it, which a float64 step by hand then follows."""
    X, y = data
    options = {"epsilon": 0.3, "max_iter": 5, "norm": norm}
    clf = small(MARTClassifier, lambda_kl=2.0, max_epochs=1, batch_size=-1, lr=1e-12, **options).fit(X, y)
    x = torch.as_tensor(X, dtype=torch.float32).requires_grad_()
    batch = ExplainedBatch(clf.module_, x, Gradient(), y=torch.as_tensor(y))
    batch.attacked = MARTClassifier(**options).adversary()(batch)
    assert (torch.linalg.vector_norm(batch.attacked - x, ord=norm, dim=1) > 0.29).all()
    row = clf.history_[0]
    worst = cross_entropy(clf.module_(batch.attacked), batch.y).item()
    assert row["cross_entropy"] == pytest.approx(worst, rel=1e-5)
    assert row["margin"] == pytest.approx(RunnerUpMargin()(batch).mean().item(), rel=1e-5)
    assert row["kl"] == pytest.approx(WeightedDivergence()(batch).mean().item(), rel=1e-4)
    assert row["train_loss"] == pytest.approx(row["cross_entropy"] + row["margin"] + 2 * row["kl"], rel=1e-5)


def test_of_two_classes_without_the_divergence_it_is_adversarial_training_of_twice_the_weight(binary):
    """SGD with half the rate then takes the same steps."""
    X, y = binary
    options = {"optimizer": torch.optim.SGD, "max_iter": 3, "epsilon": 0.2, "max_epochs": 2}
    a = small(MARTClassifier, lambda_kl=0.0, lr=0.05, **options).fit(X, y)
    b = small(AdversarialTrainingClassifier, attack="pgd", lr=0.1, **options).fit(X, y)
    for u, v in zip(a.module_.parameters(), b.module_.parameters()):
        torch.testing.assert_close(u, v, rtol=1e-3, atol=1e-5)


def test_it_withstands_what_it_was_trained_against():
    X, y = make_moons(300, noise=0.1, random_state=0)
    options = {"max_epochs": 30, "module__hidden": (32,)}
    plain = small(VanillaClassifier, **options).fit(X, y)
    trained = small(MARTClassifier, epsilon=0.2, max_iter=3, **options).fit(X, y)
    assert worst_loss(trained, X, y, 0.2) < 0.9 * worst_loss(plain, X, y, 0.2)


def test_every_setting_counts(data):
    options = {"epsilon": 0.5, "norm": 2}
    first = small(MARTClassifier, **options).fit(*data)
    for name, value in {"lambda_kl": 0.5, "epsilon": 0.2, "norm": math.inf, "max_iter": 2}.items():
        assert not states_equal(small(MARTClassifier, **{**options, name: value}).fit(*data), first), name


@pytest.mark.parametrize("wrong", [{"lambda_kl": -1}, {"epsilon": -1}, {"norm": 1}, {"max_iter": 0}])
def test_parameters_out_of_range(wrong, data):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        small(MARTClassifier, **wrong).fit(*data)
