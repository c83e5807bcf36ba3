import dataclasses

import numpy as np
import pytest
from scipy import stats

from robustxai.metrics import flip_correlation


@pytest.fixture
def flips():
    rng = np.random.default_rng(0)
    thickness = rng.random(60)
    first_flip = np.minimum(1 + (40 * thickness**2 + 8 * rng.random(60)).astype(int), 31)
    return first_flip, thickness, first_flip > 30


def test_equals_scipy(flips):
    first_flip, thickness, censored = flips
    assert 0 < censored.sum() < 30
    value = flip_correlation(first_flip, thickness)
    np.testing.assert_allclose(value.pearson, stats.pearsonr(first_flip, thickness).statistic)
    np.testing.assert_allclose(value.spearman, stats.spearmanr(first_flip, thickness).statistic)
    assert (value.n_rows, value.n_censored) == (60, 0)


def test_censored_samples_are_kept_unless_dropped(flips):
    first_flip, thickness, censored = flips
    kept = flip_correlation(*flips[:2], censored=censored)
    assert kept == dataclasses.replace(flip_correlation(*flips[:2]), n_censored=censored.sum())
    dropped = flip_correlation(*flips[:2], censored=censored, drop_censored=True)
    assert dataclasses.replace(dropped, n_censored=0) == flip_correlation(first_flip[~censored], thickness[~censored])
    assert dropped.n_censored == censored.sum()


def test_closed_forms():
    assert flip_correlation([1, 2, 3], [2.0, 4.0, 6.0]).pearson == pytest.approx(1)
    assert flip_correlation([1, 2, 3], [1.0, 0.0, -9.0]).spearman == -1
    same = flip_correlation([7, 7, 7], [0.1, 0.2, 0.3])
    assert np.isnan([same.pearson, same.spearman]).all()
    constant = flip_correlation([1, 2, 3], [0.1, 0.1, 0.1])  # whose mean is not 0.1 in floating point
    assert np.isnan([constant.pearson, constant.spearman]).all()


@pytest.mark.parametrize("n_left", [0, 1])
def test_too_few_samples_have_no_correlation(n_left):
    value = flip_correlation([3, 3], [0.1, 0.2], censored=[True, n_left == 0], drop_censored=True)
    assert np.isnan([value.pearson, value.spearman]).all()
    assert value.n_rows == n_left


def test_unusable_arguments_are_refused():
    with pytest.raises(ValueError, match="must both have shape"):
        flip_correlation([1, 2], [1.0])
    with pytest.raises(ValueError, match="must be finite"):
        flip_correlation([1, 2], [1.0, np.nan])
    with pytest.raises(ValueError, match="pass censored"):
        flip_correlation([1, 2], [1.0, 2.0], drop_censored=True)
    with pytest.raises(ValueError, match="censored must have shape"):
        flip_correlation([1, 2], [1.0, 2.0], censored=[True])
