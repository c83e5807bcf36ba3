import numpy as np
import pytest
from torch import nn

from robustxai.classifiers import SoftplusClassifier, VanillaClassifier

from .conftest import small
from .test_all import states_equal


def test_it_is_vanilla_with_another_activation(data):
    X, y = data
    a = small(SoftplusClassifier, beta=3.0).fit(X, y)
    b = small(VanillaClassifier, module__activation="softplus", module__beta=3.0).fit(X, y)
    assert states_equal(a, b)
    assert np.array_equal(a.explain(X), b.explain(X))
    assert [m.beta for m in a.module_.modules() if isinstance(m, nn.Softplus)] == [3.0]


def test_a_sharp_softplus_is_nearly_vanilla(data):
    X, y = data
    vanilla = small(VanillaClassifier).fit(X, y).predict_proba(X)
    errors = [
        np.abs(small(SoftplusClassifier, beta=b).fit(X, y).predict_proba(X) - vanilla).max() for b in (1, 10, 1e3)
    ]
    assert errors == sorted(errors, reverse=True)


def test_module_parameters_of_the_user_win(data):
    X, y = data
    a = small(SoftplusClassifier, module__activation="tanh").fit(X, y)
    assert states_equal(a, small(VanillaClassifier, module__activation="tanh").fit(X, y))


@pytest.mark.parametrize("beta", [0.0, -1.0, float("inf")])
def test_beta_must_be_positive(beta, data):
    with pytest.raises(ValueError, match="beta must be"):
        small(SoftplusClassifier, beta=beta).fit(*data)
