"""Individuality: difference between the explanations of different rows, to be reported beside stability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
from torch import Tensor

from robustxai._arguments import COUNT, Numbers, checked
from robustxai.metrics._inputs import ranked_scores
from robustxai.protocols import Ranking
from robustxai.ranking import RANKING, clip_k, top_k_mask

_PRECISION = Numbers(finite=False)


@checked(attribution=Numbers(finite=False), k=COUNT, ranking=RANKING)
def between_rows_precision(attribution: Any, k: int = 8, *, ranking: Ranking = "magnitude") -> float:
    r"""Expected P@k between the explanations of two different random rows.

    .. math:: B = \frac{1}{n (n - 1)} \sum_{i \ne j} \frac{|T_k(a_i) \cap T_k(a_j)|}{k}
        = \frac{\sum_u c_u (c_u - 1)}{n (n - 1) k}

    with :math:`c_u` the number of rows whose top-k set has unit u: all pairs of rows, at the cost of one pass. Near 1,
    all rows have the same top-k set, and P@k under attack measures the model rather than the explanation of any row.
    Two random sets of k of d units have k/d in common.

    Parameters
    ----------
    attribution : array-like of shape (n_samples, *features)
        Explanations, one per row. Arrays of four dimensions are channel-first images, ranked by pixel.
    k : int, default=8
        Size of the top-k set, as in :func:`precision_at_k`.
    ranking : {"magnitude", "signed"}, default="magnitude"
        Whether units are ranked by the magnitude of their attribution or by its value.

    Returns
    -------
    float
        In [0, 1]; nan for fewer than two rows.

    Raises
    ------
    ValueError
        If an attribution is NaN, or k is below 1.

    Examples
    --------
    >>> from robustxai.metrics import between_rows_precision
    >>> between_rows_precision([[3.0, 2.0, 0.0], [3.0, 2.0, 0.0], [3.0, 0.0, 2.0]], k=2)
    0.6666666666666666
    """
    scores = ranked_scores(attribution, ranking)
    k, n = clip_k(k, scores.shape[-1]), len(scores)
    if n < 2:
        return float("nan")
    counts = top_k_mask(scores, k).sum(dim=0).cpu().numpy()
    return float((counts * (counts - 1)).sum() / (n * (n - 1) * k))


@checked(attribution=Numbers(finite=False), k=COUNT, ranking=RANKING)
def distinct_top_k_sets(attribution: Any, k: int = 8, *, ranking: Ranking = "magnitude") -> int:
    """Number of different top-k sets among the explanations of all rows.

    Parameters
    ----------
    attribution, k, ranking
        As in :func:`between_rows_precision`.

    Returns
    -------
    int
        Between 1 and n_samples; 0 without rows.

    Examples
    --------
    >>> from robustxai.metrics import distinct_top_k_sets
    >>> distinct_top_k_sets([[3.0, 2.0, 0.0], [2.0, 3.0, 0.0], [3.0, 0.0, 2.0]], k=2)
    2
    """
    scores = ranked_scores(attribution, ranking)
    return len(_set_counts(scores, clip_k(k, scores.shape[-1])))


@checked(attribution=Numbers(finite=False), k=COUNT, ranking=RANKING)
def commonest_top_k_share(attribution: Any, k: int = 8, *, ranking: Ranking = "magnitude") -> float:
    """Share of the rows that have the commonest top-k set.

    Parameters
    ----------
    attribution, k, ranking
        As in :func:`between_rows_precision`.

    Returns
    -------
    float
        In (0, 1]; nan without rows.

    Examples
    --------
    >>> from robustxai.metrics import commonest_top_k_share
    >>> commonest_top_k_share([[3.0, 2.0, 0.0], [2.0, 3.0, 0.0], [3.0, 0.0, 2.0], [1.0, 2.0, 0.0]], k=2)
    0.75
    """
    scores = ranked_scores(attribution, ranking)
    counts = _set_counts(scores, clip_k(k, scores.shape[-1]))
    return float(counts.max() / counts.sum()) if len(counts) else float("nan")


@overload
def chance_corrected_precision(precision: float, between_rows: float) -> float: ...


@overload
def chance_corrected_precision(
    precision: Sequence[float] | np.ndarray, between_rows: float | Sequence[float] | np.ndarray
) -> np.ndarray: ...


@checked(precision=_PRECISION, between_rows=_PRECISION)
def chance_corrected_precision(
    precision: float | Sequence[float] | np.ndarray, between_rows: float | Sequence[float] | np.ndarray
) -> float | np.ndarray:
    r"""P@k corrected for chance, so that another row's explanation scores 0: :math:`(P - B) / (1 - B)`.

    1: every top-k set survived. 0: a row's set keeps as many units as it shares with another row's set. Below 0: it
    keeps fewer. The mean of the corrected values is the corrected mean.

    Parameters
    ----------
    precision : float or array-like
        P@k, as :func:`precision_at_k` returns it, or its mean.
    between_rows : float or array-like
        B of the same explanations, by :func:`between_rows_precision`.

    Returns
    -------
    float or ndarray
        nan where B is 1, because rows that all share one top-k set have no individual explanation.

    Examples
    --------
    >>> from robustxai.metrics import chance_corrected_precision
    >>> chance_corrected_precision(0.9, 0.5)
    0.8
    """
    precision, between = np.asarray(precision, dtype=np.float64), np.asarray(between_rows, dtype=np.float64)
    rest = np.where(between < 1, 1 - between, np.nan)
    corrected = (precision - between) / rest
    return float(corrected) if corrected.ndim == 0 else corrected


def _set_counts(scores: Tensor, k: int) -> np.ndarray:
    """Count the rows with each of the top-k sets that occur."""
    members = np.packbits(top_k_mask(scores, k).cpu().numpy(), axis=1)
    return np.unique(members, axis=0, return_counts=True)[1]
