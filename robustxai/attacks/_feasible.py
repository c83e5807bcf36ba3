"""Perturbed inputs that lie in the ball after rounding to the dtype of X."""

from __future__ import annotations

import numpy as np

from robustxai.perturbation import ThreatModel

__all__ = ["feasible"]

#: Relative rounding error of products and roots in float64.
_MARGIN = 1e-12


def feasible(X: np.ndarray, delta: np.ndarray, threat: ThreatModel) -> np.ndarray:
    r"""Return rows near X + delta, in the dtype of X, whose distance from X is at most epsilon.

    The sum is rounded to the nearest number of its dtype, which can lie outside of the ball for features far from 0: by
    half a per cent of a radius of 0.01 at 1,000 in float32. There, `delta` is projected onto the ball in
    float64, and every entry is rounded towards X, so that no entry of the difference grows:
    :math:`|fl(x_i + \delta_i) - x_i| \le |\delta_i|`.

    Parameters
    ----------
    X, delta : ndarray of shape (n_samples, *features)
        Centers, and perturbations that are in the threat model up to rounding; zero in frozen features.
    threat : ThreatModel
        Resolved: without names.
    """
    moved = threat.clip(X + delta.astype(X.dtype))
    outside = ~_inside(X, moved, threat)
    if outside.any():
        moved[outside] = _towards(X[outside], _projected(delta[outside], threat), threat)
        still = ~_inside(X, moved, threat)
        moved[still] = X[still]
    return moved


def _inside(X: np.ndarray, moved: np.ndarray, threat: ThreatModel) -> np.ndarray:
    difference = moved.astype(np.float64) - X.astype(np.float64)
    return threat.lengths(difference) <= threat.epsilon


def _projected(delta: np.ndarray, threat: ThreatModel) -> np.ndarray:
    delta = delta.astype(np.float64)
    if threat.norm == 2:
        length = threat.lengths(delta)
        factor = np.minimum(1.0, (1 - _MARGIN) * threat.epsilon / np.maximum(length, np.finfo(float).tiny))
        return np.asarray(delta * factor.reshape(-1, *(1,) * (delta.ndim - 1)))
    scale = 1.0 if threat.scale is None else np.asarray(threat.scale)
    limit = (1 - _MARGIN) * threat.epsilon * scale
    return np.clip(delta, -limit, limit)


def _towards(X: np.ndarray, delta: np.ndarray, threat: ThreatModel) -> np.ndarray:
    """Return X + delta, rounded towards X in the dtype of X, and in the box."""
    moved = threat.clip((X.astype(np.float64) + delta).astype(X.dtype))
    too_far = np.abs(moved.astype(np.float64) - X.astype(np.float64)) > np.abs(delta)
    return np.where(too_far, np.nextafter(moved, X), moved)
