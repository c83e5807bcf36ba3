from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestCentroid

from robustxai.datasets import load_cifar10


@pytest.mark.parametrize(("subset", "n_per_class"), [("train", 1500), ("test", 500)])
def test_counts_and_pixels_of_each_part(data_home, real_arrays, subset, n_per_class):
    stored = real_arrays("cifar10")
    bunch = load_cifar10(data_home=data_home, subset=subset)
    assert np.bincount(bunch.target).tolist() == [n_per_class] * 10
    assert bunch.data.shape == (10 * n_per_class, 3, 32, 32)
    assert bunch.image_shape == (3, 32, 32)
    for image, pixels in zip(bunch.data[::500], stored[f"X_{subset}"][::500]):
        for channel in range(3):  # red, green, blue
            np.testing.assert_array_equal(np.rint(image[channel] * 255), pixels[:, :, channel])
    np.testing.assert_array_equal(bunch.target, stored[f"y_{subset}"])
    assert "not the standard one" in bunch.DESCR


def test_ships_and_deer_by_name_are_told_apart_by_their_colors(data_home, real_arrays):
    real_arrays("cifar10")
    X, y = load_cifar10(data_home=data_home, classes=["ship", "deer"], n_rows=600, return_X_y=True)
    assert np.bincount(y).tolist() == [0] * 4 + [300] + [0] * 3 + [300]
    red, _, blue = (X[:, channel].mean(axis=(1, 2)) for channel in range(3))
    # water and sky
    assert (blue - red)[y == 8].mean() > (blue - red)[y == 4].mean() + 0.05
    X_test, y_test = load_cifar10(
        data_home=data_home, subset="test", classes=[4, 8], n_rows=200, random_state=1, return_X_y=True
    )
    assert NearestCentroid().fit(X.reshape(600, -1), y).score(X_test.reshape(200, -1), y_test) > 0.65
