"""The candidates that nothing surpasses in every respect."""

from __future__ import annotations

import numpy as np

__all__ = ["non_dominated"]


def non_dominated(scores: np.ndarray) -> np.ndarray:
    """Indices of the rows of `scores` (candidates, metrics), higher is better, that no other row dominates.

    A row dominates another when it is nowhere lower and somewhere higher. Rows with NaN are left out; of equal rows
    all stay. Best first in the first metric.
    """
    valid = np.flatnonzero(~np.isnan(scores).any(axis=1))
    points = scores[valid]
    front = [
        i for i, point in enumerate(points) if not ((points >= point).all(axis=1) & (points > point).any(axis=1)).any()
    ]
    return valid[sorted(front, key=lambda i: tuple(-points[i]))]
