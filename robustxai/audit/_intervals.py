"""Intervals of means of values between 0 and 1, of their differences, and of areas under ROC curves, in closed form."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

__all__ = ["Interval", "area_interval", "auc_interval", "difference", "share_interval"]

#: Mean, lower and upper end.
Interval = tuple[float, float, float]


def share_interval(values: np.ndarray, k: int = 1, level: float = 0.95) -> Interval:
    r"""Return the mean of values between 0 and 1 with Wilson's interval, at an effective number of values.

    .. math:: n_e = n \, \frac{p (1 - p)}{\max(s^2, p (1 - p) / k^2)}

    Values of 0 or 1 have the variance p (1 - p) and give Wilson's interval of a proportion. Values in between vary less
    and count for more of them, as in surveys (Korn and Graubard, 1998); k bounds how much, because multiples of 1/k
    that happen to be equal in the sample do not have to be so elsewhere. The interval has a length where all values are
    0 or all are 1.

    Parameters
    ----------
    values : ndarray of shape (n,)
        NaN does not count.
    k : int, default=1
        Denominator of the values.
    level : float, default=0.95
        Confidence level.

    Returns
    -------
    mean, low, high : float
        NaN without values.
    """
    values = values[~np.isnan(values)]
    n = float(len(values))
    if not n:
        return math.nan, math.nan, math.nan
    p = float(values.mean())
    largest = p * (1 - p)
    if largest > 0 and n > 1:
        n = n * largest / max(float(values.var(ddof=1)), largest / k**2)
    z2 = float(norm.ppf((1 + level) / 2)) ** 2
    center = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (largest / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return p, max(0.0, min(p, center - half)), min(1.0, max(p, center + half))


def difference(one: Interval, other: Interval) -> Interval:
    """Return the difference of two independent means with Newcombe's interval (1998, method 10), of their intervals.

    Parameters
    ----------
    one, other : (mean, low, high)
        The mean of `other` is subtracted.
    """
    d = one[0] - other[0]
    low = d - math.hypot(one[0] - one[1], other[2] - other[0])
    high = d + math.hypot(one[2] - one[0], other[0] - other[1])
    return d, low, high


def auc_interval(scores: np.ndarray, positive: np.ndarray, level: float = 0.95) -> Interval:
    """Return the area under the ROC curve with the interval of DeLong et al. (1988), on the logit scale.

    An area of 0 or 1 has no estimated variance; its interval then is that of a share of as many rows as the rarer class
    has (Wilson).

    Parameters
    ----------
    scores : ndarray of shape (n,)
        NaN does not count.
    positive : ndarray of bool of shape (n,)
        Whether a row is of the second class.
    level : float, default=0.95
        Confidence level.

    Returns
    -------
    area, low, high : float
        NaN where a class is missing.
    """
    scores, positive = scores[~np.isnan(scores)], positive[~np.isnan(scores)]
    m, n = int(positive.sum()), int((~positive).sum())
    if not m or not n:
        return math.nan, math.nan, math.nan
    whole = rankdata(scores)
    # shares of the other class below each row, ties by half
    above = (whole[positive] - rankdata(scores[positive])) / n
    below = 1 - (whole[~positive] - rankdata(scores[~positive])) / m
    area = float(above.mean())
    variance = sum(float(part.var(ddof=1)) / len(part) if len(part) > 1 else 0.25 for part in (above, below))
    if not 0 < area < 1 or variance == 0:
        ends = share_interval(np.full(min(m, n), area), level=level)
        return area, ends[1], ends[2]
    half = float(norm.ppf((1 + level) / 2)) * math.sqrt(variance) / (area * (1 - area))
    return area, float(expit(logit(area) - half)), float(expit(logit(area) + half))


def area_interval(scores: np.ndarray, truth: np.ndarray, classes: np.ndarray, level: float = 0.95) -> Interval:
    """Return the area of the second of two classes, or the mean of one class against the rest, with an interval.

    The ends of a mean are the means of the ends: the standard deviation of a mean is at most the mean of the standard
    deviations, however the areas depend on each other.

    Parameters
    ----------
    scores : ndarray of shape (n, n_classes)
        Probabilities; a row of NaN does not count.
    truth : ndarray of shape (n,)
        Labels.
    classes : ndarray of shape (n_classes,)
        Label of every column.
    level : float, default=0.95
        Confidence level.
    """
    if len(classes) == 2:
        return auc_interval(scores[:, 1], truth == classes[1], level)
    known = ~np.isnan(scores).any(axis=1)
    parts = [auc_interval(scores[known, c], truth[known] == label, level) for c, label in enumerate(classes)]
    parts = [part for part in parts if not math.isnan(part[0])]
    if not parts:
        return math.nan, math.nan, math.nan
    mean, low, high = np.mean(parts, axis=0)
    return float(mean), float(low), float(high)
