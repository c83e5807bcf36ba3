import numpy as np
import pytest
import torch
from scipy.ndimage import center_of_mass

from robustxai.metrics import center_of_mass_distance


@pytest.mark.parametrize("shape", [(5, 6, 9), (5, 1, 6, 9), (5, 3, 6, 9)])
def test_equals_scipy(shape):
    first, second = np.random.default_rng(0).normal(size=(2, *shape))
    maps = [np.abs(m).reshape(5, -1, 6, 9).sum(axis=1) for m in (first, second)]
    expected = [np.linalg.norm(np.subtract(center_of_mass(a), center_of_mass(b))) for a, b in zip(*maps)]
    np.testing.assert_allclose(center_of_mass_distance(first, second), expected, rtol=1e-10, atol=1e-12)
    tensors = [torch.tensor(m, requires_grad=True) for m in (first, second)]
    np.testing.assert_array_equal(center_of_mass_distance(*tensors), center_of_mass_distance(first, second))


def test_a_shift_is_its_length_and_scale_does_not_matter():
    first, second = np.zeros((2, 1, 12, 12))
    first[0, 1:5, 2:6] = np.random.default_rng(0).random((4, 4))
    second[0, 4:8, 6:10] = first[0, 1:5, 2:6]
    np.testing.assert_allclose(center_of_mass_distance(first, 1e-200 * second), 5)
    np.testing.assert_array_equal(center_of_mass_distance(first, first), 0)


def test_a_zero_map_has_no_center():
    assert np.isnan(center_of_mass_distance(np.ones((1, 3, 3)), np.zeros((1, 3, 3)))).all()


def test_unusable_maps_are_refused():
    with pytest.raises(ValueError, match="needs images"):
        center_of_mass_distance(np.ones((2, 9)), np.ones((2, 9)))
    with pytest.raises(ValueError, match="one shape"):
        center_of_mass_distance(np.ones((2, 3, 3)), np.ones((2, 3, 4)))
    with pytest.raises(ValueError, match="NaN"):
        center_of_mass_distance(np.ones((2, 3, 3)), np.full((2, 3, 3), np.nan))
