"""Means over segments from each sample to random neighbors, and what is averaged at one point of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustxai._doubts import spread_of, warn_of_ball, warn_of_mismatch
from robustxai._frames import column_names
from robustxai.columns import TableThreat
from robustxai.metrics._inputs import checked_k, chunks, explained, explained_scores, plain_array, probabilities
from robustxai.metrics._table_paths import mean_over_rows
from robustxai.perturbation import ThreatModel, displacement_sampler
from robustxai.protocols import Distribution, Estimator, Ranking, Seed
from robustxai.ranking import top_k_mask


def split_by_member(scores: Tensor, member: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (rows, units) as those of the k members (rows, k) and of the others (rows, units - k)."""
    return scores[member].view(len(scores), -1), scores[~member].view(len(scores), -1)


def ordered_fraction(scores: Tensor, member: Tensor) -> Tensor:
    """Share of the pairs (member, other) with score >= that of the other: a ROC-AUC with ties counted as 1."""
    top, rest = split_by_member(scores, member)
    # the members are sorted, which are few; how many of them lie below another unit is what that unit misses
    below = torch.searchsorted(top.sort(dim=-1).values, rest.contiguous())  # the first of equal ones: a tie counts
    return (top.shape[-1] - below.double().mean(dim=-1)) / top.shape[-1]


def mean_gap(scores: Tensor, member: Tensor) -> Tensor:
    """Mean of score(member) - score(other) over all pairs, which is the difference of the two means."""
    top, rest = split_by_member(scores.double(), member)
    return top.mean(dim=-1) - rest.mean(dim=-1)


def mean_along_paths(
    at_point: Callable[[Tensor, Tensor], Tensor],
    estimator: Estimator,
    X: Any,
    k: int,
    *,
    threat: ThreatModel | TableThreat,
    distribution: Distribution,
    n_draws: int,
    n_points: int,
    ranking: Ranking,
    random_state: Seed,
    return_std_error: bool,
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Mean of ``at_point(scores, member)`` over the segments; work is cut by (sample, draw)."""
    if return_std_error and n_draws < 2:
        raise ValueError(f"n_draws must be at least 2 for a standard error, got {n_draws}.")
    if isinstance(threat, TableThreat):
        per_draw = mean_over_rows(
            at_point,
            estimator,
            X,
            k,
            threat=threat,
            distribution=distribution,
            n_draws=n_draws,
            n_points=n_points,
            ranking=ranking,
            random_state=random_state,
        )
        return _mean(per_draw, return_std_error)
    estimator, X = explained(estimator, X, "The thickness")
    centers = plain_array(X)
    shape, n_features = centers.shape[1:], math.prod(centers.shape[1:])
    names = column_names(X)
    units = ball_units(threat, centers, names, "The thickness")
    if distribution == "gaussian" and threat.norm != 2:
        raise ValueError(f"The distribution 'gaussian' has no ball: use ThreatModel(norm=2), not norm={threat.norm}.")
    flat_units = None if units is None else units.reshape(-1)
    epsilon = float(threat.epsilon)
    sample = displacement_sampler(n_features, epsilon, distribution, random_state, norm=threat.norm, units=flat_units)
    target = probabilities(estimator, X).argmax(axis=1)
    reference = explained_scores(estimator, X, centers, target, ranking)
    k = checked_k(k, reference.shape[-1])
    member = top_k_mask(reference, k)
    warn_of_mismatch(estimator, "The thickness", k=k, ranking=ranking)
    n_free = n_features if units is None else int((units > 0).sum())
    length = epsilon if distribution == "uniform" else epsilon * math.sqrt(n_free)
    unit = 1.0 if units is None else units
    warn_of_ball("epsilon", length, spread_of(estimator, centers), norm=threat.norm, unit=unit, names=names)

    flat = centers.reshape(len(centers), 1, n_features)
    times = (np.arange(n_points)[:, None] + 0.5) / n_points
    values = np.empty(len(centers) * n_draws)
    for part in chunks(len(values), n_points * n_features):
        rows = np.arange(part.start, part.stop) // n_draws
        path = flat[rows] + times * sample(len(rows))[:, None]
        owner = rows.repeat(n_points)
        points = path.reshape(len(owner), *shape).astype(centers.dtype)
        scores = explained_scores(estimator, X, points, target[owner], ranking)
        values[part] = at_point(scores, member[owner]).numpy().reshape(-1, n_points).mean(axis=1)
    return _mean(values.reshape(-1, n_draws), return_std_error)


def _mean(per_draw: np.ndarray, return_std_error: bool) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Return the means of each row's draws, and their standard errors if asked for."""
    mean = per_draw.mean(axis=1)
    return (mean, per_draw.std(axis=1, ddof=1) / math.sqrt(per_draw.shape[1])) if return_std_error else mean


def ball_units(threat: ThreatModel, X: np.ndarray, names: Sequence[str] | None, what: str) -> np.ndarray | None:
    """Return the lengths of the ball's axes, shape (*features,); None where all are 1. Refuse a box by name."""
    if threat.bounds is not None:
        raise ValueError(f"{what} moves inputs in a ball without a box: use a ThreatModel without bounds.")
    plain = threat.scale is None and threat.frozen is None
    return None if plain else threat.units(X, names)
