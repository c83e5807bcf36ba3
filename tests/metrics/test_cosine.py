import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial.distance import cosine

from robustxai.metrics import cosine_similarity


@pytest.mark.parametrize("shape", [(5, 7), (5, 3, 4), (5, 3, 4, 4)])
def test_equals_scipy(shape):
    first, second = np.random.default_rng(0).normal(size=(2, *shape))
    expected = [1 - cosine(a.ravel(), b.ravel()) for a, b in zip(first, second)]
    np.testing.assert_allclose(cosine_similarity(first, second), expected, rtol=1e-12, atol=1e-14)


def test_scale_sign_and_size_of_the_numbers():
    first = np.random.default_rng(0).normal(size=(5, 7))
    np.testing.assert_array_equal(cosine_similarity(first, first), 1)
    np.testing.assert_array_equal(cosine_similarity(first, -4 * first), -1)
    np.testing.assert_allclose(cosine_similarity(1e-200 * first, 1e200 * first), 1)  # squares out of range


def test_zero_has_no_direction():
    np.testing.assert_array_equal(cosine_similarity([[0.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]]), [np.nan, 1])


def test_containers_agree():
    first, second = np.random.default_rng(0).normal(size=(2, 5, 7))
    value = cosine_similarity(first, second)
    for kind in (lambda a: torch.tensor(a, requires_grad=True), pd.DataFrame, np.ndarray.tolist):
        np.testing.assert_allclose(cosine_similarity(kind(first), kind(second)), value, rtol=1e-12)


def test_unusable_attributions_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        cosine_similarity(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(ValueError, match="attribution_adv contains NaN"):
        cosine_similarity(np.ones((2, 3)), np.full((2, 3), np.nan))
    with pytest.raises(ValueError, match="n_samples"):
        cosine_similarity(np.ones(3), np.ones(3))
