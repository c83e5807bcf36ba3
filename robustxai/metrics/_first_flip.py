"""First flip: number of attack iterations that the top-k set withstands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from robustxai._arguments import COUNT, Either, Has, Instance, Numbers, Rows, checked
from robustxai._frames import aligned
from robustxai.metrics._inputs import ranked_scores
from robustxai.protocols import Ranking
from robustxai.ranking import RANKING, clip_k, top_k_mask

_ATTRIBUTIONS = Either(
    (Rows(), Instance((list, tuple)), Has(("__next__",))), words="an iterable of attributions, one for each iteration"
)


@checked(attributions=_ATTRIBUTIONS, reference=Numbers(finite=False), k=COUNT, ranking=RANKING)
def first_flip_iteration(
    attributions: Iterable[Any], reference: Any, k: int = 8, *, ranking: Ranking = "magnitude"
) -> np.ndarray:
    """First attack iteration after which the top-k set differs from the reference.

    Iterations are counted from 1, the number of attack steps made: ``attributions[0]`` is the explanation after the
    first step. A sample whose set never changes is *censored* at ``n_iter + 1``, so that a mean over samples is a
    lower bound. A set that changes and later returns counts from its first change.

    Parameters
    ----------
    attributions : iterable of n_iter array-likes of shape (n_samples, *features)
        The trajectory, in order: an array of shape (n_iter, n_samples, *features), or a generator, of which one
        iteration is held at a time.
    reference : array-like of shape (n_samples, *features)
        The explanations before the attack.
    k : int, default=8
        Size of the top-k set, as in :func:`precision_at_k`.
    ranking : {"magnitude", "signed"}, default="magnitude"
        What is ranked, as in :func:`precision_at_k`.

    Returns
    -------
    ndarray of int, shape (n_samples,)
        Values in 1, ..., n_iter + 1.

    Raises
    ------
    ValueError
        If there is no iteration, or one of them has not the shape of the reference.

    References
    ----------
    Chen et al., "Robust Ranking Explanations", ICML 2023 workshop (arXiv 2212.14106), Section 4.4, which correlates
    this number with thickness.

    Examples
    --------
    >>> from robustxai.metrics import first_flip_iteration
    >>> reference = [[2.0, 1.0, 0.0], [2.0, 1.0, 0.0]]
    >>> after_step_1 = [[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]]
    >>> first_flip_iteration([after_step_1], reference, k=1)
    array([2, 1])
    """
    scores = ranked_scores(reference, ranking, name="reference")
    k = clip_k(k, scores.shape[-1])
    member = top_k_mask(scores, k)
    flipped_at = np.zeros(len(member), dtype=np.int64)
    iteration = 0
    for iteration, attribution in enumerate(attributions, start=1):
        name = f"attributions[{iteration - 1}]"
        attribution = aligned(reference, attribution, ("reference", name))
        current = ranked_scores(attribution, ranking, name=name)
        if np.shape(attribution) != np.shape(reference):
            raise ValueError(
                f"{name} must have the shape of reference, {np.shape(reference)}, got {np.shape(attribution)}."
            )
        changed = (top_k_mask(current, k) != member.to(current.device)).any(dim=-1).cpu().numpy()
        flipped_at[changed & (flipped_at == 0)] = iteration
    if iteration == 0:
        raise ValueError("attributions holds no iteration; pass the explanation after each attack step.")
    return np.where(flipped_at == 0, iteration + 1, flipped_at)
