import numpy as np
import pytest
from sklearn.base import clone

from robustxai.certificates import certify_top_k
from robustxai.classifiers import CertifiedR2ETClassifier, VanillaClassifier

from .conftest import small
from .test_all import states_equal


@pytest.mark.parametrize("warm_up", [0, 2])
def test_weight_zero_is_vanilla_to_the_last_bit(warm_up, data):
    X, y = data
    options = {"warm_up": warm_up, "module__activation": "relu", "module__beta": 1.0}
    a = small(CertifiedR2ETClassifier, lambda_certified=0, **options).fit(X, y)
    b = small(VanillaClassifier, warm_up=warm_up).fit(X, y)
    assert states_equal(a, b)
    assert np.array_equal(a.explain(X), b.explain(X))


def test_training_through_the_bound_proves_more(data):
    X, y = data
    options = {"max_epochs": 30, "module__hidden": (16,), "epsilon": 0.5}
    proven = []
    for weight in (0.0, 0.3):
        clf = small(CertifiedR2ETClassifier, lambda_certified=weight, **options).fit(X, y)
        assert clf.score(X, y) > 0.85
        proven.append(certify_top_k(clf, X, k=2, epsilon=0.5).precision_at_k.mean())
    assert proven[1] > proven[0]


def test_the_radius_reaches_its_full_length(data):
    clf = small(CertifiedR2ETClassifier).fit(*data)
    # the last of 3 epochs of 5 batches: 2 + 4/5 of 3
    assert clf.net_.progress_ == pytest.approx(14 / 15)


def test_a_clone_of_a_fitted_model_starts_again(data):
    clf = small(CertifiedR2ETClassifier).fit(*data)
    assert states_equal(clf, clone(clf).fit(*data))
    assert states_equal(clf, small(CertifiedR2ETClassifier).fit(*data))


@pytest.mark.parametrize(
    "wrong", [{"lambda_certified": -1}, {"k": 0}, {"n_pairs": 0}, {"n_rows": 0}, {"epsilon": -1}, {"norm": 1}]
)
def test_parameters_out_of_range(wrong, data):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        small(CertifiedR2ETClassifier, **wrong).fit(*data)


def test_k_is_clipped_with_a_warning(data):
    with pytest.warns(UserWarning, match="k=9 is not smaller"):
        clipped = small(CertifiedR2ETClassifier, k=9).fit(*data)
    assert states_equal(clipped, small(CertifiedR2ETClassifier, k=3).fit(*data))
