import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from robustxai.audit._intervals import auc_interval, difference, share_interval


@given(st.integers(1, 200), st.integers(0, 200))
def test_of_zeros_and_ones_it_is_wilsons_interval(n, ones):
    ones = min(ones, n)
    values = np.repeat([1.0, 0.0], [ones, n - ones])
    mean, low, high = share_interval(values)
    ends = binomtest(ones, n).proportion_ci(0.95, method="wilson")
    assert mean == pytest.approx(ones / n)
    # the variance of a sample is larger than p (1 - p) by n / (n - 1)
    assert low == pytest.approx(ends.low, abs=0.3 / n)
    assert high == pytest.approx(ends.high, abs=0.3 / n)


def test_values_in_between_have_a_shorter_interval_and_equal_ones_a_length():
    binary, quarters = np.array([0.0, 1.0] * 20), np.array([0.25, 0.75] * 20)
    assert np.ptp(share_interval(quarters, 4)[1:]) < 0.6 * np.ptp(share_interval(binary)[1:])
    assert np.ptp(share_interval(np.full(40, 0.75), 4)[1:]) > 0.01
    assert share_interval(np.ones(40))[1] < 1
    assert all(map(math.isnan, share_interval(np.array([np.nan]))))
    assert share_interval(np.array([np.nan, 1.0, 0.0]))[0] == 0.5


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.3, 0.6, 0.9]))
def test_the_mean_lies_inside(seed, p):
    values = np.random.default_rng(seed).binomial(4, p, 25) / 4
    mean, low, high = share_interval(values, 4)
    assert 0 <= low <= mean <= high <= 1


def test_it_covers_as_often_as_it_says():
    r = np.random.default_rng(0)
    for p in (0.5, 0.9):
        drawn = r.binomial(4, p, (600, 40)) / 4
        ends = [share_interval(values, 4)[1:] for values in drawn]
        assert np.mean([low <= p <= high for low, high in ends]) > 0.92


def test_newcombes_example():
    """Newcombe 1998, table II: 56/70 and 48/80, method 10: 0.2 (0.0524, 0.3339)."""
    one, other = (np.repeat([1.0, 0.0], counts) for counts in ((56, 14), (48, 32)))
    found = difference(share_interval(one), share_interval(other))
    assert found == pytest.approx((0.2, 0.0524, 0.3339), abs=2e-3)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_delongs_variance_is_that_of_all_pairs(seed):
    r = np.random.default_rng(seed)
    positive = np.repeat([True, False], [7, 9])
    scores = r.integers(0, 6, 16) + positive
    area, low, high = auc_interval(scores.astype(float), positive)
    assert area == pytest.approx(roc_auc_score(positive, scores))
    pairs = np.subtract.outer(scores[positive], scores[~positive])
    kernel = (pairs > 0) + 0.5 * (pairs == 0)
    variance = kernel.mean(axis=1).var(ddof=1) / 7 + kernel.mean(axis=0).var(ddof=1) / 9
    if 0 < area < 1 and variance > 0:
        half = 1.959964 * math.sqrt(variance) / (area * (1 - area))
        logit = math.log(area / (1 - area))
        assert low == pytest.approx(1 / (1 + math.exp(half - logit)))
        assert high == pytest.approx(1 / (1 + math.exp(-half - logit)))


def test_areas_at_the_ends():
    area, low, high = auc_interval(np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, False, True, True]))
    assert (area, high) == (1.0, 1.0)
    assert 0 < low < 0.6
    assert math.isnan(auc_interval(np.ones(3), np.ones(3, dtype=bool))[0])
