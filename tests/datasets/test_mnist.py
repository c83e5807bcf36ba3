from __future__ import annotations

import zlib

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from robustxai.datasets import load_mnist
from robustxai.datasets._mnist import _SOURCE

COUNTS = {
    "train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    "test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
}


@pytest.mark.parametrize("subset", ["train", "test"])
def test_counts_and_pixels_of_each_part(data_home, real_arrays, subset):
    stored = real_arrays("mnist")
    bunch = load_mnist(data_home=data_home, subset=subset)
    assert np.bincount(bunch.target).tolist() == COUNTS[subset]
    assert bunch.data.shape == (sum(COUNTS[subset]), *bunch.image_shape)
    np.testing.assert_array_equal(np.rint(bunch.data[::50, 0] * 255), stored[f"X_{subset}"][::50])
    np.testing.assert_array_equal(bunch.target, stored[f"y_{subset}"])
    assert (bunch.data.min(), bunch.data.max()) == (0, 1)
    assert bunch.target_names[7] == "7"


def test_the_order_that_a_download_is_checked_for_is_the_stored_one(real_arrays):
    stored = real_arrays("mnist")
    labels = np.concatenate([stored["y_train"], stored["y_test"]])
    assert zlib.crc32(labels.tobytes()) == _SOURCE.labels_crc
    assert (len(stored["y_train"]), len(stored["y_test"])) == (_SOURCE.n_train, _SOURCE.n_test)


def test_images_and_labels_of_a_draw_belong_together(data_home, real_arrays):
    real_arrays("mnist")
    X, y = load_mnist(data_home=data_home, n_rows=1000, return_X_y=True)
    X_test, y_test = load_mnist(data_home=data_home, subset="test", n_rows=500, return_X_y=True)
    # the largest class has 1.24 times the smallest one's images
    assert np.ptp(np.bincount(y)) < 30
    assert KNeighborsClassifier(1).fit(X.reshape(1000, -1), y).score(X_test.reshape(500, -1), y_test) > 0.8
