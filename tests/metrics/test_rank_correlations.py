"""Spearman's rho and Kendall's tau-b, against scipy and the sum over pairs."""

import warnings
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from robustxai.metrics import _inputs, kendall_correlation, spearman_correlation
from robustxai.metrics._kendall import _inversions

METRICS = {spearman_correlation: stats.spearmanr, kendall_correlation: stats.kendalltau}
BOTH = pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.__name__)

# few integers: ties, and rows that are constant, are common
maps = st.tuples(st.integers(1, 4), st.integers(1, 12)).flatmap(
    lambda shape: st.tuples(*[arrays(np.float64, shape, elements=st.integers(-2, 2))] * 2)
)


def by_scipy(metric, first, second):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of constant rows
        return np.array([METRICS[metric](a, b).statistic if len(a) > 1 else np.nan for a, b in zip(first, second)])


@BOTH
@given(pair=maps, ranking=st.sampled_from(["magnitude", "signed"]))
def test_equals_scipy_row_by_row_with_ties_and_constant_rows(metric, pair, ranking):
    value = metric(*pair, ranking=ranking)
    scores = [np.abs(a) for a in pair] if ranking == "magnitude" else pair
    np.testing.assert_allclose(value, by_scipy(metric, *scores), rtol=1e-12, atol=1e-12)


@BOTH
@pytest.mark.parametrize("n_units", [2, 3, 31, 32, 33, 500])
def test_equals_scipy_on_longer_rows(metric, n_units):
    rng = np.random.default_rng(n_units)
    first = rng.normal(size=(6, n_units))
    second = first + rng.normal(size=(6, n_units))
    for decimals in (8, 1):
        pair = first.round(decimals), second.round(decimals)
        value = metric(*pair, ranking="signed")
        np.testing.assert_allclose(value, by_scipy(metric, *pair), rtol=1e-12, atol=1e-12)


@given(maps)
def test_kendall_equals_the_sum_over_pairs(pair):
    for a, b, value in zip(*pair, kendall_correlation(*pair, ranking="signed")):
        signs = [(np.sign(a[i] - a[j]), np.sign(b[i] - b[j])) for i, j in combinations(range(len(a)), 2)]
        untied = sum(s != 0 for s, _ in signs) * sum(t != 0 for _, t in signs)
        assert np.isnan(value) if untied == 0 else abs(value - sum(s * t for s, t in signs) / untied**0.5) < 1e-12


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40))
def test_inversions_are_the_pairs_out_of_order(values):
    expected = sum(a > b for a, b in combinations(values, 2))
    assert _inversions(torch.tensor([values])).tolist() == [expected]


@BOTH
def test_itself_its_reverse_and_monotone_changes(metric):
    first = np.random.default_rng(0).normal(size=(4, 9))
    np.testing.assert_array_equal(metric(first, first), 1)
    np.testing.assert_array_equal(metric(first, -first, ranking="signed"), -1)
    np.testing.assert_array_equal(metric(first, 1e-30 * first**3, ranking="signed"), 1)
    np.testing.assert_array_equal(metric(first, -first), 1)


@BOTH
def test_images_are_ranked_by_pixel_and_containers_agree(metric):
    first, second = np.random.default_rng(0).normal(size=(2, 5, 3, 4, 4))
    sums = [np.abs(a).sum(axis=1).reshape(5, -1) for a in (first, second)]
    np.testing.assert_allclose(metric(first, second), by_scipy(metric, *sums))
    value = metric(*sums)
    np.testing.assert_array_equal(metric(*(torch.tensor(s, requires_grad=True) for s in sums)), value)
    np.testing.assert_array_equal(metric(*map(pd.DataFrame, sums)), value)


def test_parts_do_not_matter(monkeypatch):
    first, second = np.random.default_rng(0).normal(size=(2, 7, 9)).round(1)
    value = kendall_correlation(first, second)
    monkeypatch.setattr(_inputs, "MAX_ELEMENTS", 150)
    np.testing.assert_array_equal(kendall_correlation(first, second), value)


@BOTH
def test_no_samples_give_no_values(metric):
    assert metric(np.zeros((0, 3)), np.zeros((0, 3))).shape == (0,)


@BOTH
def test_unusable_attributions_are_refused(metric):
    with pytest.raises(ValueError, match="one shape"):
        metric(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(ValueError, match="attribution_adv contains NaN"):
        metric(np.ones((2, 3)), np.full((2, 3), np.nan))
    with pytest.raises(ValueError, match="Did you mean 'signed'"):
        metric(np.ones((2, 3)), np.ones((2, 3)), ranking="signd")
