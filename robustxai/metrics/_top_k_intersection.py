"""Top-k intersection: precision at k, by its name in ATEX."""

from __future__ import annotations

from typing import Any

import numpy as np

from robustxai._arguments import COUNT, Numbers, checked
from robustxai.metrics._inputs import paired_scores
from robustxai.metrics._precision_at_k import common_share
from robustxai.protocols import Ranking
from robustxai.ranking import RANKING, clip_k


@checked(attribution=Numbers(finite=False), attribution_adv=Numbers(finite=False), k=COUNT, ranking=RANKING)
def top_k_intersection(
    attribution: Any, attribution_adv: Any, k: int = 8, *, ranking: Ranking = "magnitude"
) -> np.ndarray:
    r"""Share of the k most important units that two explanations have in common.

    .. math:: |T_k(a) \cap T_k(a')| / k

    It is the same number as :func:`precision_at_k`: Ghorbani et al. and ATEX call it top-k intersection, the R2ET
    papers P@k, because with one set taken as the truth and k answers, precision (and recall) is just that.

    Parameters
    ----------
    attribution, attribution_adv : array-like of shape (n_samples, *features)
        The explanations before and after.
    k : int, default=8
        Size of the top-k set; the code of ATEX has 50 for images of 28 x 28 pixels.
    ranking : {"magnitude", "signed"}, default="magnitude"
        What is ranked, as in :func:`precision_at_k`.

    Returns
    -------
    ndarray of shape (n_samples,)
        Values in [0, 1]; 1 means the same top-k set.

    Raises
    ------
    ValueError
        As in :func:`precision_at_k`.

    References
    ----------
    Ghorbani, Abid & Zou, "Interpretation of Neural Networks is Fragile", AAAI 2019.
    Tang et al., "Defense Against Explanation Manipulation" (ATEX, arXiv 2111.04303), Section 4.

    Examples
    --------
    >>> from robustxai.metrics import top_k_intersection
    >>> top_k_intersection([[3.0, -2.0, 1.0, 0.0]], [[3.0, 0.0, 1.0, -2.0]], k=2)
    array([0.5])
    """
    scores, scores_adv = paired_scores(attribution, attribution_adv, ranking)
    return common_share(scores, scores_adv, clip_k(k, scores.shape[-1]))
