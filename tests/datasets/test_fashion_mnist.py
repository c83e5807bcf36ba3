from __future__ import annotations

import zlib

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from robustxai.datasets import load_fashion_mnist
from robustxai.datasets._fashion_mnist import _SOURCE


@pytest.mark.parametrize(("subset", "n_per_class"), [("train", 6000), ("test", 1000)])
def test_counts_and_pixels_of_each_part(data_home, real_arrays, subset, n_per_class):
    stored = real_arrays("fashion_mnist")
    bunch = load_fashion_mnist(data_home=data_home, subset=subset)
    assert np.bincount(bunch.target).tolist() == [n_per_class] * 10
    assert bunch.data.shape == (10 * n_per_class, 1, 28, 28)
    np.testing.assert_array_equal(np.rint(bunch.data[::50, 0] * 255), stored[f"X_{subset}"][::50])
    np.testing.assert_array_equal(bunch.target, stored[f"y_{subset}"])


def test_the_order_that_a_download_is_checked_for_is_the_stored_one(real_arrays):
    stored = real_arrays("fashion_mnist")
    labels = np.concatenate([stored["y_train"], stored["y_test"]])
    assert zlib.crc32(labels.tobytes()) == _SOURCE.labels_crc
    assert (len(stored["y_train"]), len(stored["y_test"])) == (_SOURCE.n_train, _SOURCE.n_test)


def test_the_names_fit_what_is_seen(data_home, real_arrays):
    real_arrays("fashion_mnist")
    bunch = load_fashion_mnist(data_home=data_home, n_rows=1000)
    ink = [bunch.data[bunch.target == label].mean() for label in range(10)]
    # a sandal is mostly background, a coat fills the picture; trousers leave the corners of the shoulders empty
    assert bunch.target_names[int(np.argmin(ink))] == "sandal"
    assert ink[bunch.target_names.index("coat")] > 2 * ink[bunch.target_names.index("sandal")]
    test = load_fashion_mnist(data_home=data_home, subset="test", n_rows=500)
    model = KNeighborsClassifier(1).fit(bunch.data.reshape(1000, -1), bunch.target)
    assert model.score(test.data.reshape(500, -1), test.target) > 0.6
