"""Paired statistics: intervals, exact tests, Holm's correction, average ranks and their critical difference.

Wilcoxon's and the sign-flip test are computed here, because scipy falls back to a normal approximation where
differences are zero or tie, and lists all sign patterns one by one: a second for 15 pairs. Zeros and ties are common
here: stable methods have a P@k of 1 on every split. The rest is scipy's.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import friedmanchisquare, rankdata, studentized_range, t

__all__ = [
    "average_ranks",
    "cliques",
    "corrected_t",
    "friedman_p",
    "holm",
    "nemenyi_difference",
    "sign_flip_p",
    "wilcoxon_p",
]

#: Largest number of differences whose sign patterns are all counted: two halves with a million sums each.
_EXACT = 40
#: Random sign patterns beyond that, and how many are held at once.
_DRAWS, _AT_ONCE = 100_000, 10_000
#: Sums and differences that rounding alone keeps apart count as equal, relative to the size of their terms.
_ROUNDING = 1e-9


def corrected_t(
    differences: np.ndarray, tables: np.ndarray, *, level: float = 0.95, test_share: float = 0.25
) -> tuple[float, float, float, float]:
    r"""Return mean, lower and upper end and p-value of the corrected resampled t-test, pooled over tables.

    Random splits of one table overlap, so that their results are correlated and the standard error of independent
    values is too small. Nadeau and Bengio take the correlation as the share of test rows, which gives

    .. math:: v_j = \Bigl(\frac{1}{n_j} + \frac{s}{1 - s}\Bigr) \hat\sigma_j^2, \qquad
        \bar d = \frac{1}{T} \sum_j \bar d_j, \qquad
        \widehat{\mathrm{Var}}(\bar d) = \frac{1}{T^2} \sum_j v_j

    for table j with the mean :math:`\bar d_j` and the variance :math:`\hat\sigma_j^2` of its :math:`n_j` splits, and s
    the share of test rows. Different tables are independent. The degrees of freedom are those of Welch and
    Satterthwaite; for one table they are n - 1. The mean is that over these tables and no statement about others.

    Parameters
    ----------
    differences : ndarray of shape (n,)
        One difference per pair of table and split.
    tables : ndarray of shape (n,)
        Table of each difference.
    level : float, default=0.95
        Confidence level.
    test_share : float, default=0.25
        s, below 1; 0 is the t-test of independent differences.

    Returns
    -------
    mean, low, high, p : float
        All but the mean are NaN if a table has a single split. Without any spread, the interval has no length and p is
        1 for a mean of zero and 0 otherwise.

    References
    ----------
    Nadeau and Bengio, *Inference for the generalization error*, Machine Learning 52, 2003.
    """
    groups = [differences[tables == table] for table in dict.fromkeys(tables.tolist())]
    mean = float(np.mean([group.mean() for group in groups]))
    counts = np.array([len(group) for group in groups])
    if counts.min() < 2:
        return mean, math.nan, math.nan, math.nan
    ratio = test_share / (1 - test_share)
    parts = (1 / counts + ratio) * np.array([group.var(ddof=1) for group in groups]) / len(groups) ** 2
    error = math.sqrt(parts.sum())
    if error <= _ROUNDING * np.abs(differences).max():
        return mean, mean, mean, float(mean == 0)
    freedom = parts.sum() ** 2 / (parts**2 / (counts - 1)).sum()
    half = float(t.ppf((1 + level) / 2, freedom)) * error
    return mean, mean - half, mean + half, float(2 * t.sf(abs(mean) / error, freedom))


def sign_flip_p(differences: np.ndarray) -> float:
    """Return the two-sided p-value of the sign-flip test of a mean of zero.

    If two methods are exchangeable, each difference has either sign with probability one half. The p-value is the share
    of the 2^n sign patterns whose sum is at least as far from zero as the observed one: with n = 5 it is at least
    2/32. Up to 40 differences other than zero all patterns are counted: sums of the first half are sorted, and those of
    the second half are looked up. Beyond, 100,000 random patterns are drawn with a fixed seed.

    Parameters
    ----------
    differences : ndarray of shape (n,)
        Zeros do not change the result.
    """
    magnitudes = np.abs(differences[differences != 0])
    least = abs(float(differences.sum())) - _ROUNDING * float(magnitudes.sum())
    if least <= 0:
        return 1.0
    if len(magnitudes) > _EXACT:
        rng = np.random.default_rng(0)
        found = 0
        for _ in range(_DRAWS // _AT_ONCE):
            signs = 2.0 * rng.integers(0, 2, (_AT_ONCE, len(magnitudes))) - 1
            found += int((np.abs(signs @ magnitudes) >= least).sum())
        return (found + 1) / (_DRAWS + 1)
    first, second = (_signed_sums(part) for part in np.array_split(magnitudes, 2))
    first.sort()
    upper = len(second) * len(first) - int(np.searchsorted(first, least - second).sum())
    return min(2 * upper / 2 ** len(magnitudes), 1.0)


def _signed_sums(values: np.ndarray) -> np.ndarray:
    """Return the sums of the values under all sign patterns, shape (2^n,)."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums - value, sums + value])
    return sums


def wilcoxon_p(differences: np.ndarray) -> float:
    """Return the exact two-sided p-value of Wilcoxon's signed-rank test.

    It is the sign-flip test of the signed ranks, which is exact with ties too. Differences of zero are left out, as
    Wilcoxon did.

    Parameters
    ----------
    differences : ndarray of shape (n,)
        Magnitudes that differ by rounding alone tie.
    """
    left = differences[differences != 0]
    if not len(left):
        return 1.0
    magnitudes = np.abs(left)
    ranks = rankdata(np.round(magnitudes / magnitudes.max(), 12))
    return sign_flip_p(np.sign(left) * ranks)


def holm(p: np.ndarray) -> np.ndarray:
    """Return Holm's adjusted p-values, which bound the probability of any false rejection.

    The i-th smallest of m values is multiplied by m - i + 1, and is at least as large as the smaller ones before it.

    Parameters
    ----------
    p : ndarray of shape (m,)
        NaN stays NaN and does not count.

    References
    ----------
    Holm, *A simple sequentially rejective multiple test procedure*, Scandinavian Journal of Statistics 6, 1979.
    """
    adjusted = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1.0)
    return adjusted


def average_ranks(scores: np.ndarray) -> np.ndarray:
    """Return the mean rank of each method, shape (n_methods,); rank 1 is the highest score, ties share their mean.

    Parameters
    ----------
    scores : ndarray of shape (n_blocks, n_methods)
        Scores that differ by rounding alone tie.
    """
    return np.asarray(rankdata(-np.round(scores, 12), axis=1).mean(axis=0))


def friedman_p(scores: np.ndarray) -> float:
    """Return the p-value of Friedman's test that all methods rank alike; NaN for two methods, or if all scores tie.

    Parameters
    ----------
    scores : ndarray of shape (n_blocks, n_methods)
        As in `average_ranks`.
    """
    if scores.shape[1] < 3 or (np.ptp(scores, axis=1) == 0).all():
        return math.nan
    return float(friedmanchisquare(*np.round(scores, 12).T).pvalue)


def nemenyi_difference(n_methods: int, n_blocks: int, alpha: float = 0.05) -> float:
    r"""Return Nemenyi's critical difference of two average ranks.

    .. math:: q_\alpha \sqrt{\frac{m (m + 1)}{6 N}}

    with m methods, N blocks, and :math:`q_\alpha` the quantile of the studentized range with infinitely many degrees
    of freedom, divided by the root of 2.

    References
    ----------
    Demsar, *Statistical comparisons of classifiers over multiple data sets*, JMLR 7, 2006, Section 3.2.2.
    """
    quantile = float(studentized_range.ppf(1 - alpha, n_methods, np.inf)) / math.sqrt(2)
    return quantile * math.sqrt(n_methods * (n_methods + 1) / (6 * n_blocks))


def cliques(ranks: np.ndarray, difference: float) -> list[tuple[int, int]]:
    """Return the largest runs of methods whose ranks differ by at most `difference`: first and last place.

    Parameters
    ----------
    ranks : ndarray of shape (n_methods,)
        Average ranks in ascending order.
    difference : float
        Critical difference.

    Returns
    -------
    list of pairs of int
        Runs of two methods or more, none of them inside of another.
    """
    found: list[tuple[int, int]] = []
    for first, rank in enumerate(ranks):
        last = int(np.searchsorted(ranks, rank + difference + _ROUNDING, side="right")) - 1
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found
