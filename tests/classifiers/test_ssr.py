import numpy as np
import pytest

from robustxai.classifiers import SSRClassifier, VanillaClassifier

from .conftest import small
from .test_all import states_equal


def test_weight_zero_is_vanilla_to_the_last_bit(data):
    X, y = data
    a, b = small(SSRClassifier, lambda_eigenvalue=0).fit(X, y), small(VanillaClassifier).fit(X, y)
    assert states_equal(a, b)
    assert np.array_equal(a.explain(X), b.explain(X))


@pytest.mark.parametrize("options", [{}, {"module__activation": "softplus"}])
def test_a_heavier_weight_lowers_the_eigenvalue(options, data):
    X, y = data
    clfs = [small(SSRClassifier, lambda_eigenvalue=w, max_epochs=15, **options).fit(X, y) for w in (1e-9, 0.1, 10.0)]
    values = [clf.history_[-1]["eigenvalue"] for clf in clfs]
    assert values == sorted(values, reverse=True)
    assert values[-1] >= 0


def test_both_ways_are_one_on_a_relu_network(data):
    X, y = data
    options = {"batch_size": -1, "max_epochs": 1, "lr": 1e-30}
    closed, power = (
        small(SSRClassifier, method=m, max_iter=50, **options).fit(X, y).history_[0]["eigenvalue"]
        for m in ("closed", "power")
    )
    assert closed == pytest.approx(power, rel=1e-3)


@pytest.mark.parametrize("wrong", [{"lambda_eigenvalue": -1}, {"method": "open"}, {"max_iter": 0}])
def test_parameters_out_of_range(wrong, data):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        small(SSRClassifier, **wrong).fit(*data)
