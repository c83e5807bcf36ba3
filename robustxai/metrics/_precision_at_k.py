"""Precision at k: share of the top-k set that survives."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from robustxai._arguments import COUNT, Numbers, checked
from robustxai.metrics._inputs import paired_scores
from robustxai.protocols import Ranking
from robustxai.ranking import RANKING, clip_k, top_k_mask


@checked(attribution=Numbers(finite=False), attribution_adv=Numbers(finite=False), k=COUNT, ranking=RANKING)
def precision_at_k(attribution: Any, attribution_adv: Any, k: int = 8, *, ranking: Ranking = "magnitude") -> np.ndarray:
    r"""Share of the k most important units that two explanations have in common.

    .. math:: P@k = |T_k(a) \cap T_k(a')| / k

    with :math:`T_k(a)` the k units of highest score; ties go to the lower index. It is symmetric, and blind to the
    scale of either explanation and to the order inside the top-k set.

    Parameters
    ----------
    attribution, attribution_adv : array-like of shape (n_samples, *features)
        The explanations before and after. Arrays of four dimensions are channel-first images, ranked by pixel.
    k : int, default=8
        Size of the top-k set; 8 is the value of the paper for tables. It is lowered, with a warning, below the number
        of ranked units.
    ranking : {"magnitude", "signed"}, default="magnitude"
        Whether units are ranked by the magnitude of their attribution (how much they matter) or by its value.

    Returns
    -------
    ndarray of shape (n_samples,)
        Values in [0, 1]; 1 means the same top-k set.

    Raises
    ------
    ValueError
        If the shapes differ, an attribution is NaN, or k is below 1.

    References
    ----------
    Ghorbani, Abid & Zou, "Interpretation of Neural Networks is Fragile", AAAI 2019 (as top-k intersection).
    Chen et al., "Robust Ranking Explanations", ICML 2023 workshop (arXiv 2212.14106), Section 4.

    Examples
    --------
    >>> from robustxai.metrics import precision_at_k
    >>> precision_at_k([[3.0, -2.0, 1.0, 0.0]], [[3.0, 0.0, 1.0, -2.0]], k=2)
    array([0.5])
    """
    scores, scores_adv = paired_scores(attribution, attribution_adv, ranking)
    return common_share(scores, scores_adv, clip_k(k, scores.shape[-1]))


def common_share(scores: Tensor, scores_adv: Tensor, k: int) -> np.ndarray:
    """Compute the share of units that the two top-k sets have in common; shape (n_samples,)."""
    common = (top_k_mask(scores, k) & top_k_mask(scores_adv, k)).sum(dim=-1)
    return common.cpu().numpy() / k
