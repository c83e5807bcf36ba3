import numpy as np
import pytest

from robustxai.classifiers import ExplanationATClassifier, VanillaClassifier

from .conftest import small
from .test_all import states_equal


def test_epsilon_zero_is_vanilla_to_the_last_bit(data):
    X, y = data
    a = small(ExplanationATClassifier, epsilon=0, module__activation="relu").fit(X, y)
    b = small(VanillaClassifier).fit(X, y)
    assert states_equal(a, b)
    assert np.array_equal(a.explain(X), b.explain(X))


def test_the_perturbation_costs_cross_entropy(data):
    X, y = data
    losses = [
        small(ExplanationATClassifier, epsilon=e, max_epochs=15).fit(X, y).history_[-1]["cross_entropy"]
        for e in (0.0, 0.5, 2.0)
    ]
    assert losses == sorted(losses)


def test_steps_make_a_difference(data):
    a, b = (small(ExplanationATClassifier, n_steps=n).fit(*data) for n in (1, 3))
    assert not states_equal(a, b)


@pytest.mark.parametrize("wrong", [{"k": 0}, {"epsilon": -1}, {"n_steps": 0}, {"ranking": "sign"}])
def test_parameters_out_of_range(wrong, data):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        small(ExplanationATClassifier, **wrong).fit(*data)


def test_k_is_clipped_with_a_warning(data):
    with pytest.warns(UserWarning, match="k=9 is not smaller"):
        clipped = small(ExplanationATClassifier, k=9).fit(*data)
    assert states_equal(clipped, small(ExplanationATClassifier, k=3).fit(*data))
