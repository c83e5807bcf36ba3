"""Kendall's rank correlation of two explanations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustxai._arguments import Numbers, checked
from robustxai.metrics._inputs import chunks, paired_scores
from robustxai.metrics._ties import rank_bounds, tied_pairs
from robustxai.protocols import Ranking
from robustxai.ranking import RANKING


@checked(attribution=Numbers(finite=False), attribution_adv=Numbers(finite=False), ranking=RANKING)
def kendall_correlation(attribution: Any, attribution_adv: Any, *, ranking: Ranking = "magnitude") -> np.ndarray:
    r"""Kendall's tau-b: by how much the pairs of units in the same order outnumber those in reverse.

    .. math:: \tau_b = \frac{C - D}{\sqrt{(P - P_a)(P - P_{a'})}}, \qquad P = \frac{n (n - 1)}{2}

    with C concordant and D discordant pairs of the n units, and :math:`P_a` pairs tied in a. D is counted as the
    exchanges of a merge sort, for all samples at once: O(n log² n) and no n x n array.

    Parameters
    ----------
    attribution, attribution_adv : array-like of shape (n_samples, *features)
        The explanations before and after. Arrays of four dimensions are channel-first images, ranked by pixel.
    ranking : {"magnitude", "signed"}, default="magnitude"
        What is ranked, as in :func:`precision_at_k`.

    Returns
    -------
    ndarray of shape (n_samples,)
        Values in [-1, 1]; NaN where either explanation has the same score for all units (as in scipy).

    Raises
    ------
    ValueError
        If the shapes differ or an attribution is NaN.

    References
    ----------
    Kendall, "The treatment of ties in ranking problems", Biometrika 1945; Knight, "A computer method for calculating
    Kendall's tau with ungrouped data", JASA 1966. Wang & Kong, NeurIPS 2022, on explanations.

    Examples
    --------
    >>> from robustxai.metrics import kendall_correlation
    >>> kendall_correlation([[1.0, 2.0, 3.0, 4.0]], [[1.0, 3.0, 2.0, 4.0]])
    array([0.66666667])
    """
    scores, scores_adv = paired_scores(attribution, attribution_adv, ranking)
    value = np.empty(len(scores))
    for part in chunks(len(scores), 8 * scores.shape[-1]):
        value[part] = _tau_b(scores[part], scores_adv[part])
    return value


# scipy.stats.kendalltau takes one row at a time: 1.1 ms for a row of 28 units, against 0.03 ms here in a batch.
def _tau_b(scores: Tensor, scores_adv: Tensor) -> np.ndarray:
    n = scores.shape[-1]
    bounds, bounds_adv = rank_bounds(scores), rank_bounds(scores_adv)
    joint = bounds[0] * n + bounds_adv[0]  # orders by the first explanation, and equals there by the second
    ties, ties_adv, both = (tied_pairs(*b).double() for b in (bounds, bounds_adv, rank_bounds(joint)))
    pairs = math.comb(n, 2)
    discordant = _inversions(joint.sort(dim=-1).values % n).double()
    surplus = pairs - ties - ties_adv + both - 2 * discordant
    return (surplus / (pairs - ties).sqrt() / (pairs - ties_adv).sqrt()).clamp(-1, 1).cpu().numpy()


def _inversions(values: Tensor) -> Tensor:
    """Count the pairs i < j with values_i > values_j in each row of integers, shape (n,)."""
    n_rows, length = values.shape
    padded = 1 << max(length - 1, 0).bit_length()
    # padding with the highest value adds no inversion
    top = values.new_full((n_rows, padded - length), torch.iinfo(values.dtype).max)
    values = torch.cat([values, top], dim=1)
    count = torch.zeros(n_rows, dtype=torch.int64, device=values.device)
    width = 1
    while width < padded:
        left, right = values.view(n_rows, -1, 2, width).unbind(dim=2)
        not_higher = torch.searchsorted(left.contiguous(), right.contiguous(), right=True)
        count += (width - not_higher).sum(dim=(1, 2))
        width *= 2
        values = values.view(n_rows, -1, width).sort(dim=-1).values
    return count
