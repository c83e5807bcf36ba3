import numpy as np
import pytest

from robustxai.classifiers import CrossLipschitzClassifier, VanillaClassifier

from .conftest import small
from .test_all import states_equal


def test_weight_zero_is_vanilla_to_the_last_bit(data):
    X, y = data
    a = small(CrossLipschitzClassifier, lambda_ratio=0, module__activation="relu").fit(X, y)
    b = small(VanillaClassifier).fit(X, y)
    assert states_equal(a, b)
    assert np.array_equal(a.explain(X), b.explain(X))


@pytest.mark.parametrize("reduction", ["min", "mean"])
def test_a_heavier_weight_moves_the_flips_away(reduction, data):
    X, y = data
    options = {"reduction": reduction, "max_epochs": 15}
    clfs = [small(CrossLipschitzClassifier, lambda_ratio=w, **options).fit(X, y) for w in (1e-9, 0.1, 10.0)]
    values = [clf.history_[-1]["ratio"] for clf in clfs]
    assert values == sorted(values, reverse=True)
    assert values[-1] >= -0.5


@pytest.mark.parametrize(
    "wrong", [{"lambda_ratio": -1}, {"k": 0}, {"n_pairs": 0}, {"reduction": "max"}, {"epsilon": 0}]
)
def test_parameters_out_of_range(wrong, data):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        small(CrossLipschitzClassifier, **wrong).fit(*data)


def test_k_is_clipped_with_a_warning(data):
    with pytest.warns(UserWarning, match="k=9 is not smaller"):
        clipped = small(CrossLipschitzClassifier, k=9).fit(*data)
    assert states_equal(clipped, small(CrossLipschitzClassifier, k=3).fit(*data))
