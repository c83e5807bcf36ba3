import numpy as np
import pytest

from robustxai.classifiers import EstimatedHessianClassifier, VanillaClassifier
from robustxai.metrics import hessian_norm

from .conftest import small
from .test_all import states_equal


def test_weight_zero_is_vanilla_to_the_last_bit(data):
    X, y = data
    a = small(EstimatedHessianClassifier, lambda_hessian=0, module__activation="relu").fit(X, y)
    b = small(VanillaClassifier).fit(X, y)
    assert states_equal(a, b)
    assert np.array_equal(a.explain(X), b.explain(X))
    assert "hessian" not in a.history_[-1]


def test_the_logged_norm_is_that_of_the_metric(data):
    X, y = data
    options = {"kappa": 0.05, "batch_size": -1, "max_epochs": 1, "lr": 1e-30}  # the net that is measured stays put
    clf = small(EstimatedHessianClassifier, **options).fit(X, y)
    expected = hessian_norm(clf, X, norm="estimated", kappa=0.05).mean()
    # float32: two gradients of about 0.1 differ by 1e-8, over kappa 2e-7
    assert clf.history_[0]["hessian"] == pytest.approx(expected, abs=1e-6)


def test_a_heavier_weight_flattens_the_net(data):
    X, y = data
    norms = [
        hessian_norm(small(EstimatedHessianClassifier, lambda_hessian=w, max_epochs=30).fit(X, y), X).mean()
        for w in (0.0, 0.1, 10.0)
    ]
    assert norms == sorted(norms, reverse=True)


@pytest.mark.parametrize("wrong", [{"lambda_hessian": -1}, {"kappa": 0}, {"kappa": -0.1}])
def test_numbers_out_of_range(wrong, data):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        small(EstimatedHessianClassifier, **wrong).fit(*data)
