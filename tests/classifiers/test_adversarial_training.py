import math

import numpy as np
import pytest
import torch
from sklearn.datasets import make_moons
from torch.nn.functional import cross_entropy

from robustxai.classifiers import AdversarialTrainingClassifier, VanillaClassifier

from .conftest import small
from .test_all import states_equal


def test_epsilon_zero_is_vanilla_to_the_last_bit(data):
    X, y = data
    a, b = small(AdversarialTrainingClassifier, epsilon=0).fit(X, y), small(VanillaClassifier).fit(X, y)
    assert states_equal(a, b)
    assert np.array_equal(a.explain(X), b.explain(X))


def worst_loss(clf, X, y, epsilon):
    """Cross-entropy after FGSM."""
    x = torch.as_tensor(X, dtype=torch.float32).requires_grad_()
    codes = torch.as_tensor(y)
    (slope,) = torch.autograd.grad(cross_entropy(clf.module_(x), codes), x)
    return cross_entropy(clf.module_(x + epsilon * slope.sign()), codes).item()


@pytest.mark.parametrize("attack", ["fgsm", "pgd"])
def test_it_withstands_what_it_was_trained_against(attack):
    X, y = make_moons(300, noise=0.1, random_state=0)
    options = {"max_epochs": 30, "module__hidden": (32,)}
    plain = small(VanillaClassifier, **options).fit(X, y)
    trained = small(AdversarialTrainingClassifier, attack=attack, epsilon=0.2, **options).fit(X, y)
    assert worst_loss(trained, X, y, 0.2) < 0.9 * worst_loss(plain, X, y, 0.2)


def test_names_of_the_norm_and_the_steps_of_fgsm(data):
    a = small(AdversarialTrainingClassifier, norm="inf").fit(*data)
    assert states_equal(a, small(AdversarialTrainingClassifier, norm=math.inf, max_iter=3).fit(*data))
    assert not states_equal(a, small(AdversarialTrainingClassifier, norm=2).fit(*data))
    assert states_equal(a, small(AdversarialTrainingClassifier, attack="pgd", max_iter=1).fit(*data))


@pytest.mark.parametrize("wrong", [{"attack": "fsgm"}, {"epsilon": -1}, {"max_iter": 0}, {"norm": 1}])
def test_parameters_out_of_range(wrong, data):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        small(AdversarialTrainingClassifier, **wrong).fit(*data)
