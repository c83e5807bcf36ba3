import numpy as np
import pytest

from robustxai.classifiers import ExactHessianClassifier, R2ETClassifier, VanillaClassifier
from robustxai.metrics import hessian_norm

from .conftest import small
from .test_all import states_equal


@pytest.mark.parametrize("norm", ["fro", "spectral"])
def test_weight_zero_is_vanilla_to_the_last_bit(norm, data):
    X, y = data
    a = small(ExactHessianClassifier, lambda_hessian=0, norm=norm, module__activation="relu").fit(X, y)
    b = small(VanillaClassifier).fit(X, y)
    assert states_equal(a, b)
    assert np.array_equal(a.explain(X), b.explain(X))
    assert "hessian" not in a.history_[-1]


@pytest.mark.parametrize("norm", ["fro", "spectral"])
def test_the_logged_norm_is_that_of_the_metric(norm, data):
    X, y = data
    options = {"norm": norm, "max_iter": 50, "batch_size": -1, "max_epochs": 1, "lr": 1e-30}  # the net stays put
    clf = small(ExactHessianClassifier, **options).fit(X, y)
    assert clf.history_[0]["hessian"] == pytest.approx(hessian_norm(clf, X, norm=norm).mean(), rel=1e-3)


@pytest.mark.parametrize("options", [{}, {"n_draws": 2}, {"norm": "spectral", "max_iter": 4}])
def test_a_heavier_weight_flattens_the_net(options, data):
    X, y = data
    norms = [
        hessian_norm(small(ExactHessianClassifier, lambda_hessian=w, max_epochs=10, **options).fit(X, y), X).mean()
        for w in (0.0, 0.1, 10.0)
    ]
    assert norms == sorted(norms, reverse=True)


def test_r2et_without_a_gap_is_the_exact_hessian(data):
    X, y = data
    a = small(R2ETClassifier, lambda_gap=0, lambda_hessian=0.2, hessian="exact", module__beta=5.0).fit(X, y)
    assert states_equal(a, small(ExactHessianClassifier, lambda_hessian=0.2).fit(X, y))
    with pytest.raises(ValueError, match=r"kappa=0\.1"):
        small(R2ETClassifier, hessian="exact", kappa=0.1).fit(X, y)


@pytest.mark.parametrize("wrong", [{"lambda_hessian": -1}, {"norm": "2"}, {"n_draws": 0}, {"max_iter": 0}])
def test_parameters_out_of_range(wrong, data):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        small(ExactHessianClassifier, **wrong).fit(*data)
