import numpy as np
import pytest

from robustxai.classifiers import VanillaClassifier, WeightDecayClassifier

from .conftest import small
from .test_all import states_equal


def test_weight_zero_is_vanilla_to_the_last_bit(data):
    X, y = data
    a, b = small(WeightDecayClassifier, weight_decay=0).fit(X, y), small(VanillaClassifier).fit(X, y)
    assert states_equal(a, b)
    assert np.array_equal(a.explain(X), b.explain(X))


def test_the_decay_is_that_of_the_optimizer(data):
    X, y = data
    a = small(WeightDecayClassifier, weight_decay=0.1).fit(X, y)
    assert states_equal(a, small(VanillaClassifier, optimizer__weight_decay=0.1).fit(X, y))
    by_hand = small(WeightDecayClassifier, weight_decay=5.0, optimizer__weight_decay=0.1).fit(X, y)
    assert states_equal(a, by_hand)  # skorch's own name has the last word


def test_weights_shrink_with_the_decay(data):
    X, y = data
    norms = []
    for weight in (0.0, 1e-2, 1e-1, 1.0):
        clf = small(WeightDecayClassifier, weight_decay=weight, max_epochs=20).fit(X, y)
        norms.append(sum(p.square().sum().item() for p in clf.module_.parameters()))
    assert norms == sorted(norms, reverse=True)


def test_a_negative_weight_is_refused(data):
    with pytest.raises(ValueError, match="weight_decay must be"):
        small(WeightDecayClassifier, weight_decay=-1e-3).fit(*data)
