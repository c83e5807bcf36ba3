import numpy as np
import pytest

from robustxai.metrics._removal import Removal


class Model:
    """Returns its input as the prediction, so that what was removed can be seen."""

    def predict_proba(self, X):
        return np.asarray(X).reshape(len(X), -1)


def prepared(x, attribution, baseline=None, model=None, ranking="magnitude"):
    return Removal.prepare(model or Model(), x, attribution, baseline, ranking)


def test_the_top_units_take_the_baseline():
    x = np.arange(1.0, 9.0).reshape(2, 4)
    removal = prepared(x, [[0.1, -5.0, 2.0, 0.0], [4.0, 3.0, 2.0, 1.0]], baseline=[-1, -2, -3, -4])
    np.testing.assert_array_equal(removal.rank, [[2, 0, 1, 3], [0, 1, 2, 3]])
    np.testing.assert_array_equal(
        removal.probabilities(slice(None), removal.rank < 2), [[1, -2, -3, 4], [-1, -2, 7, 8]]
    )
    np.testing.assert_array_equal(removal.probabilities(slice(1, 2)), x[1:])
    signed = prepared(x, [[0.1, -5.0, 2.0, 0.0], [4.0, 3.0, 2.0, 1.0]], ranking="signed")
    np.testing.assert_array_equal(signed.rank[0], [1, 3, 0, 2])


def test_a_pixel_goes_with_all_its_channels():
    x = np.arange(1.0, 13.0).reshape(1, 3, 2, 2)
    attribution = np.zeros_like(x)
    attribution[0, 1, 1, 0] = -3.0
    removal = prepared(x, attribution, baseline=np.array([-1.0, -2.0, -3.0]).reshape(3, 1, 1))
    expected = x.copy()
    expected[0, :, 1, 0] = [-1, -2, -3]
    np.testing.assert_array_equal(removal.probabilities([0], removal.rank < 1), expected.reshape(1, -1))


def test_a_pixel_of_a_pair_goes_with_the_channels_of_its_member():
    x = np.arange(1.0, 25.0).reshape(1, 2, 3, 2, 2)
    attribution = np.zeros_like(x)
    attribution[0, 1, 2, 0, 1] = 4.0
    removal = prepared(x, attribution, baseline=0.0)
    assert removal.n_units == 8
    expected = x.copy()
    expected[0, 1, :, 0, 1] = 0.0
    np.testing.assert_array_equal(removal.probabilities([0], removal.rank < 1), expected.reshape(1, -1))


def test_the_default_baseline_is_the_training_mean_or_zero():
    x = np.ones((1, 2))
    assert not prepared(x, x).baseline.any()
    model = Model()
    model.feature_means_ = np.array([5.0, 6.0])
    np.testing.assert_array_equal(prepared(x, x, model=model).baseline, [5, 6])
    np.testing.assert_array_equal(prepared(x, x, baseline=2.0, model=model).baseline, [2, 2])
    image = np.ones((1, 3, 2, 2))
    np.testing.assert_array_equal(prepared(image, image, baseline=np.arange(12)).baseline.ravel(), np.arange(12))


def test_counts_by_default_are_all_for_a_table_and_shares_otherwise():
    shares = (0.01, 0.05, 0.1, 0.2, 0.5)
    table, wide, image = np.ones((1, 100)), np.ones((1, 200)), np.ones((1, 3, 8, 8))
    assert prepared(table, table).counts(None, shares) == list(range(1, 101))
    assert prepared(wide, wide).counts(None, shares) == [2, 10, 20, 40, 100]
    assert prepared(image, image).counts(None, shares) == [1, 3, 6, 13, 32]
    assert prepared(table, table).counts([3, np.int64(1)], shares) == [3, 1]


def test_unusable_arguments_are_refused():
    x = np.ones((2, 4))
    with pytest.raises(ValueError, match="shape of X"):
        prepared(x, np.ones((2, 3)))
    with pytest.raises(ValueError, match="baseline"):
        prepared(x, x, baseline=[1.0, 2.0])
    for ks in ([], [5], [0]):
        with pytest.raises(ValueError, match="ks"):
            prepared(x, x).counts(ks, ())
    with pytest.raises(TypeError, match="integer"):
        prepared(x, x).counts([1.5], ())
