"""Individuality against counting pairs of rows one by one."""

from collections import Counter
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robustxai.metrics import (
    between_rows_precision,
    chance_corrected_precision,
    commonest_top_k_share,
    distinct_top_k_sets,
    precision_at_k,
)

METRICS = (between_rows_precision, distinct_top_k_sets, commonest_top_k_share)
SHAPES = [(7, 5), (6, 9), (5, 4, 3), (6, 3, 4, 4), (4, 2, 3, 4, 4), (2, 5)]


def top_sets(attribution, k, ranking):
    """The top-k set of every row, by Python's own sort; channels of images are summed."""
    a = np.abs(attribution) if ranking == "magnitude" else attribution
    a = a.sum(axis=-3) if a.ndim >= 4 else a
    return [frozenset(np.argsort(-row, kind="stable")[:k].tolist()) for row in a.reshape(len(a), -1)]


@pytest.mark.parametrize("ranking", ["magnitude", "signed"])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_all_pairs_are_counted(shape, k, ranking):
    attribution = np.random.default_rng(sum(shape) + k).integers(-3, 4, size=shape).astype(float)  # with ties
    sets = top_sets(attribution, k, ranking)
    pairs = [len(a & b) / k for a, b in permutations(sets, 2)]
    assert between_rows_precision(attribution, k, ranking=ranking) == pytest.approx(np.mean(pairs), rel=1e-12)
    assert distinct_top_k_sets(attribution, k, ranking=ranking) == len(set(sets))
    share = max(Counter(sets).values()) / len(sets)
    assert commonest_top_k_share(attribution, k, ranking=ranking) == pytest.approx(share, rel=1e-12)


@given(arrays(float, st.tuples(st.integers(2, 8), st.integers(3, 7)), elements=st.floats(-5, 5)), st.integers(1, 2))
def test_it_is_the_mean_precision_at_k_of_a_row_with_another(attribution, k):
    n = len(attribution)
    others = [precision_at_k(attribution, np.roll(attribution, shift, axis=0), k).mean() for shift in range(1, n)]
    between = between_rows_precision(attribution, k)
    assert between == pytest.approx(np.mean(others), abs=1e-12)
    one_set = distinct_top_k_sets(attribution, k) == 1
    assert (between == 1) == one_set == (commonest_top_k_share(attribution, k) == 1)


def test_rows_of_independent_rankings_share_what_chance_gives():
    attribution = np.random.default_rng(0).normal(size=(4000, 20))
    assert between_rows_precision(attribution, 5) == pytest.approx(5 / 20, abs=0.002)


def test_the_length_of_a_row_counts_for_nothing():
    direction = np.random.default_rng(1).normal(size=6)
    attribution = direction * np.array([1.0, -2.0, 1e-30, 1e30])[:, None]
    assert (between_rows_precision(attribution, 3), distinct_top_k_sets(attribution, 3)) == (1, 1)
    assert between_rows_precision(attribution, 3, ranking="signed") < 1


def test_many_rows_do_not_overflow():
    attribution = np.tile([3.0, 2.0, 1.0], (200_000, 1)).astype(np.float32)
    assert between_rows_precision(attribution, 2) == 1


@pytest.mark.parametrize("metric", METRICS)
def test_tensors_and_frames_agree(metric):
    attribution = np.random.default_rng(0).normal(size=(9, 6))
    value = metric(attribution, 2)
    assert metric(torch.tensor(attribution, requires_grad=True), 2) == metric(pd.DataFrame(attribution), 2) == value
    assert isinstance(value, int if metric is distinct_top_k_sets else float)


@pytest.mark.parametrize("n", [0, 1])
def test_without_two_rows_there_is_nothing_to_compare(n):
    attribution = np.ones((n, 3))
    assert np.isnan(between_rows_precision(attribution, 1))
    assert distinct_top_k_sets(attribution, 1) == n
    assert np.isnan(commonest_top_k_share(attribution, 1)) if n == 0 else commonest_top_k_share(attribution, 1) == 1


@pytest.mark.parametrize("metric", METRICS)
def test_k_is_clipped_with_a_warning_that_points_here(metric):
    attribution = np.random.default_rng(0).normal(size=(5, 4))
    with pytest.warns(UserWarning, match="k=3") as caught:
        value = metric(attribution, k=9)
    assert caught[0].filename == __file__
    assert value == metric(attribution, k=3)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("attribution", "options", "message"),
    [
        (np.ones(3), {}, "n_samples"),
        (np.full((2, 3), np.nan), {}, "contains NaN"),
        (np.ones((2, 3)), {"k": 0}, "k must be"),
        (np.ones((2, 3)), {"ranking": "signd"}, "Did you mean 'signed'"),
    ],
)
def test_what_makes_no_sense_is_refused(metric, attribution, options, message):
    with pytest.raises(ValueError, match=message):
        metric(attribution, **{"k": 1} | options)


def test_corrected_for_chance():
    assert chance_corrected_precision(1.0, 0.3) == 1
    assert chance_corrected_precision(0.3, 0.3) == 0
    assert chance_corrected_precision(0.0, 0.5) == -1
    assert np.isnan(chance_corrected_precision(1.0, 1.0))
    assert np.isnan(chance_corrected_precision(1.0, float("nan")))
    precision = np.random.default_rng(0).uniform(size=(4, 3))
    corrected = chance_corrected_precision(precision, 0.6)
    np.testing.assert_allclose(corrected, (precision - 0.6) / 0.4)
    assert corrected.mean() == pytest.approx(chance_corrected_precision(precision.mean(), 0.6))
    np.testing.assert_array_equal(np.isnan(chance_corrected_precision([0.5, 1.0], [0.2, 1.0])), [False, True])
