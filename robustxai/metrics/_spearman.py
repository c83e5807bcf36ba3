"""Spearman's rank correlation of two explanations."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from robustxai._arguments import Numbers, checked
from robustxai.metrics._inputs import paired_scores
from robustxai.protocols import Ranking
from robustxai.ranking import RANKING


@checked(attribution=Numbers(finite=False), attribution_adv=Numbers(finite=False), ranking=RANKING)
def spearman_correlation(attribution: Any, attribution_adv: Any, *, ranking: Ranking = "magnitude") -> np.ndarray:
    r"""Spearman's rho: the linear correlation of the ranks of the units in two explanations.

    .. math:: \rho = \frac{\sum_i (r_i - \bar r)(r'_i - \bar r)}
        {\sqrt{\sum_i (r_i - \bar r)^2 \sum_i (r'_i - \bar r)^2}}

    with equal units at the average of their ranks. All units have the same weight, including the least important ones,
    which is why the R2ET papers prefer :func:`precision_at_k`.

    Parameters
    ----------
    attribution, attribution_adv : array-like of shape (n_samples, *features)
        The explanations before and after. Arrays of four dimensions are channel-first images, ranked by pixel.
    ranking : {"magnitude", "signed"}, default="magnitude"
        What is ranked, as in :func:`precision_at_k`.

    Returns
    -------
    ndarray of shape (n_samples,)
        Values in [-1, 1]; NaN where either explanation has the same score for all units, which has no order (as in
        scipy). Use ``np.nanmean``, and say how many rows it left out.

    Raises
    ------
    ValueError
        If the shapes differ or an attribution is NaN.

    References
    ----------
    Spearman, "The proof and measurement of association between two things", 1904. Used for explanations by Ghorbani,
    Abid & Zou, AAAI 2019, and ATEX (arXiv 2111.04303).

    Examples
    --------
    >>> from robustxai.metrics import spearman_correlation
    >>> spearman_correlation([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]], [[2.0, 4.0, 9.0], [3.0, -2.0, 1.0]])
    array([ 1., -1.])
    """
    return rank_correlation(*paired_scores(attribution, attribution_adv, ranking))


def rank_correlation(scores: Tensor, scores_adv: Tensor) -> np.ndarray:
    """Compute Spearman's rho of each row, shape (n_samples,)."""
    middle = (scores.shape[-1] + 1) / 2  # the mean rank, exact in float64: a row of ties becomes exactly zero
    ranks = (torch.from_numpy(rankdata(s.double().cpu().numpy(), axis=-1)) for s in (scores, scores_adv))
    return linear_correlation(*(rank - middle for rank in ranks))


def linear_correlation(centered: Tensor, centered_adv: Tensor) -> np.ndarray:
    """Compute the cosine of the angle between the rows, NaN where one of them is zero."""
    a, b = (v.double() for v in (centered, centered_adv))
    # each divided by its largest entry, so that squares neither underflow nor overflow; 0 / 0 is the intended NaN
    a, b = (v / v.abs().amax(dim=-1, keepdim=True) for v in (a, b))
    # one root of the product, so that a row with itself gives exactly 1
    value = (a * b).sum(dim=-1) / ((a * a).sum(dim=-1) * (b * b).sum(dim=-1)).sqrt()
    return value.clamp(-1, 1).cpu().numpy()
