"""Paired statistics against scipy, closed forms, published values and plain enumeration."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from robustxai._statistics import (
    average_ranks,
    cliques,
    corrected_t,
    friedman_p,
    holm,
    nemenyi_difference,
    sign_flip_p,
    wilcoxon_p,
)

rng = np.random.default_rng(0)
#: Differences of P@8: eighths, so that many are zero and many tie.
EIGHTHS = st.lists(st.integers(-4, 4).map(lambda n: n / 8), min_size=1, max_size=7).map(np.array)


def one_table(differences):
    return np.zeros(len(differences))


# ---------------------------------------------------------------- t


def test_without_overlap_one_table_is_student_s_t_test():
    d = rng.normal(0.3, 1, 7)
    mean, low, high, p = corrected_t(d, one_table(d), level=0.9, test_share=0.0)
    expected = stats.ttest_1samp(d, 0)
    np.testing.assert_allclose([mean, p], [d.mean(), expected.pvalue])
    np.testing.assert_allclose((low, high), expected.confidence_interval(0.9))


def test_without_overlap_two_tables_are_welch_s_t_test():
    a, b = rng.normal(0.3, 1, 5), rng.normal(0.1, 3, 8)
    mean, low, high, p = corrected_t(np.r_[a, b], np.repeat(["a", "b"], [5, 8]), test_share=0.0)
    # the sum of two means is the difference of one from the negative other
    expected = stats.ttest_ind(a, -b, equal_var=False)
    assert mean == pytest.approx((a.mean() + b.mean()) / 2)
    assert p == pytest.approx(expected.pvalue)
    np.testing.assert_allclose((low, high), np.array(expected.confidence_interval()) / 2)


def test_the_correction_is_nadeau_and_bengio_s():
    d = rng.normal(size=10)
    mean, low, high, p = corrected_t(d, one_table(d))
    error = math.sqrt(
        (1 / 10 + 1 / 3) * d.var(ddof=1)
    )  # a quarter of the rows for testing, three quarters for training
    np.testing.assert_allclose([low, high], mean + np.array([-1, 1]) * stats.t.ppf(0.975, 9) * error)
    assert p == pytest.approx(2 * stats.t.sf(abs(mean) / error, 9))


def test_overlap_widens_the_interval_and_more_tables_narrow_it():
    d = rng.normal(size=5)
    width = {share: np.ptp(corrected_t(d, one_table(d), test_share=share)[1:3]) for share in (0, 0.25, 0.5)}
    assert width[0] < width[0.25] < width[0.5]
    three = corrected_t(np.tile(d, 3), np.repeat([0, 1, 2], 5))
    assert np.ptp(three[1:3]) < width[0.25] / math.sqrt(3)  # the quantile shrinks too


def test_one_split_has_a_mean_alone_and_equal_differences_an_interval_without_length():
    mean, *rest = corrected_t(np.array([0.5, 0.2, 0.4]), np.array([0, 0, 1]))
    assert mean == pytest.approx((0.35 + 0.4) / 2)
    assert np.isnan(rest).all()
    assert corrected_t(np.zeros(5), np.zeros(5)) == (0, 0, 0, 1)
    assert corrected_t(np.full(5, 0.25), np.zeros(5)) == (0.25, 0.25, 0.25, 0)


# ---------------------------------------------------------------- signs


def enumerated(values):
    """Share of the sign patterns whose sum is at least as far from zero; `values` are multiples of a power of two."""
    sums = [abs(sum(s * abs(v) for s, v in zip(signs, values))) for signs in product((-1, 1), repeat=len(values))]
    return np.mean([total >= abs(sum(values)) for total in sums])


@given(EIGHTHS)
def test_sign_flips_are_counted(d):
    assert sign_flip_p(d) == pytest.approx(enumerated(d), abs=1e-12)
    assert sign_flip_p(-d) == sign_flip_p(d) == sign_flip_p(np.r_[d, 0, 0])


@given(EIGHTHS)
def test_wilcoxon_counts_the_signed_ranks_with_their_ties(d):
    left = d[d != 0]
    expected = enumerated(np.sign(left) * stats.rankdata(np.abs(left)))
    assert wilcoxon_p(d) == pytest.approx(expected, abs=1e-12)


def test_both_equal_scipy_where_scipy_is_exact():
    for n in (5, 9):
        d = rng.normal(0.4, 1, n)
        assert wilcoxon_p(d) == pytest.approx(stats.wilcoxon(d, method="exact").pvalue)
        flips = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf)
        assert sign_flip_p(d) == pytest.approx(flips.pvalue)


def test_five_splits_cannot_reach_a_twentieth():
    d = np.array([0.3, 0.1, 0.2, 0.5, 0.4])
    assert sign_flip_p(d) == wilcoxon_p(d) == 2 / 2**5 > 0.05
    assert sign_flip_p(np.tile(d, 3)) == wilcoxon_p(np.tile(d, 3)) == 2 / 2**15
    assert sign_flip_p(np.zeros(5)) == wilcoxon_p(np.zeros(5)) == 1


@pytest.mark.parametrize(("n", "positive", "tolerance"), [(24, 17, 1e-12), (39, 27, 1e-12), (60, 38, 4e-3)])
def test_flips_of_equal_magnitudes_are_the_sign_test_for_many_differences_too(n, positive, tolerance):
    d = 0.1 * np.r_[np.ones(positive), -np.ones(n - positive)]
    expected = stats.binomtest(positive, n).pvalue
    assert sign_flip_p(d) == pytest.approx(expected, abs=tolerance)
    assert wilcoxon_p(d) == pytest.approx(expected, abs=tolerance)


def test_rounding_does_not_break_ties():
    d = np.array([0.1 + 0.2, -0.3, 0.3, 0.3])  # the first is 4e-17 above 0.3
    assert sign_flip_p(d) == enumerated([1, -1, 1, 1])
    assert wilcoxon_p(d) == enumerated([1, -1, 1, 1])


# ---------------------------------------------------------------- several comparisons


def test_holm_by_its_definition():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.02, np.nan, 0.9])), [0.04, np.nan, 0.9])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_rejects_what_its_steps_reject(values):
    p = np.array(values)
    adjusted = holm(p)
    assert (adjusted >= p).all()
    assert (adjusted <= 1).all()
    for alpha in (0.05, 0.3):
        rejected, order = set(), np.argsort(p, kind="stable")
        for place, i in enumerate(order):
            if p[i] * (len(p) - place) > alpha:
                break
            rejected.add(i)
        assert {i for i in range(len(p)) if adjusted[i] <= alpha} == rejected


# ---------------------------------------------------------------- ranks


def test_ranks_are_means_over_blocks_and_ties_share_theirs():
    scores = np.array([[0.9, 0.8, 0.1 + 0.2], [0.7, 0.7, 0.3], [0.5, 0.9, 0.9]])
    np.testing.assert_allclose(average_ranks(scores), [(1 + 1.5 + 3) / 3, (2 + 1.5 + 1.5) / 3, (3 + 3 + 1.5) / 3])
    np.testing.assert_allclose(average_ranks(np.array([[0.1 + 0.2, 0.3]])), [1.5, 1.5])


def test_friedman_without_ties_is_its_closed_form():
    scores = rng.normal([0, 0.5, 1, 0], size=(9, 4))
    ranks = average_ranks(scores)
    statistic = 12 * 9 / (4 * 5) * (np.sum(ranks**2) - 4 * 5**2 / 4)
    assert friedman_p(scores) == pytest.approx(stats.chi2.sf(statistic, 3))
    assert math.isnan(friedman_p(scores[:, :2]))
    assert math.isnan(friedman_p(np.ones((4, 3))))


def test_the_critical_difference_is_demsar_s():
    # Table 5(a): q for 2 to 10 classifiers
    for alpha, quantiles in {
        0.05: (1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164),
        0.10: (1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920),
    }.items():
        for m, quantile in enumerate(quantiles, start=2):
            found = nemenyi_difference(m, 14, alpha) / math.sqrt(m * (m + 1) / (6 * 14))
            assert found == pytest.approx(quantile, abs=1.1e-3), (alpha, m)
    # Section 3.2.2: four classifiers on 14 data sets
    assert nemenyi_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert nemenyi_difference(4, 14, 0.1) == pytest.approx(1.12, abs=0.005)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=7).map(sorted), st.integers(0, 6))
def test_cliques_are_the_largest_sets_within_the_difference(ranks, difference):
    runs = [(i, j) for i in range(len(ranks)) for j in range(i + 1, len(ranks)) if ranks[j] - ranks[i] <= difference]
    largest = [run for run in runs if not any(o != run and o[0] <= run[0] and run[1] <= o[1] for o in runs)]
    assert cliques(np.array(ranks, dtype=float), difference) == largest
