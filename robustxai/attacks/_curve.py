"""Robustness curve: P@k of every row against the radius."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

__all__ = ["radius_curve"]


def radius_curve(attack_at: Callable[[float], np.ndarray], epsilons: Sequence[float]) -> np.ndarray:
    """Attack at every radius, from small to large, and return P@k that never rises with the radius.

    A perturbation found at one radius is valid at every larger one and counts there.

    Parameters
    ----------
    attack_at : callable
        Radius to P@k of every row, shape (n_samples,). Called once for each distinct radius, in rising order.
    epsilons : sequence of float
        Radii, in any order.

    Returns
    -------
    ndarray of shape (n_samples, n_epsilons)
        Columns in the order of `epsilons`.
    """
    radii, places = np.unique(np.asarray(epsilons, dtype=np.float64), return_inverse=True)
    # fmin ignores a radius at which a row has no P@k
    columns = np.fmin.accumulate([np.fmin(1.0, attack_at(float(radius))) for radius in radii], axis=0)
    return columns.T[:, places]
