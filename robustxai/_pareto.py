"""Pareto front: the candidates that no other candidate dominates."""

from __future__ import annotations

import numpy as np

__all__ = ["pareto_front"]


def pareto_front(scores: np.ndarray, *, keep_ties: bool = True) -> np.ndarray:
    """Return the indices of the rows of `scores` that no other row dominates, best first in the first metric.

    A row dominates another when it is nowhere lower and somewhere higher. Rows with NaN are left out.

    Parameters
    ----------
    scores : ndarray of shape (n_candidates, n_metrics)
        Higher is better.
    keep_ties : bool, default=True
        Keep all of several equal rows; otherwise the first of them.

    Returns
    -------
    ndarray of int
    """
    valid = np.flatnonzero(~np.isnan(scores).any(axis=1))
    points = scores[valid]
    front = [
        i for i, point in enumerate(points) if not ((points >= point).all(axis=1) & (points > point).any(axis=1)).any()
    ]
    front.sort(key=lambda i: tuple(-points[i]))
    if not keep_ties:
        front = [i for place, i in enumerate(front) if not place or (points[i] != points[front[place - 1]]).any()]
    return valid[front]
