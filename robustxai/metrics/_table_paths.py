"""Means over admissible rows of a raw table, at growing shares of the budgets."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils import check_random_state
from torch import Tensor

from robustxai._doubts import warn_of_mismatch
from robustxai.columns import Points, TableRows, TableThreat, check_table, map_of
from robustxai.metrics._inputs import checked_k, chunks, explained, explained_scores, plain_array, probabilities
from robustxai.protocols import Distribution, Estimator, Ranking, Seed
from robustxai.ranking import top_k_mask

__all__ = ["mean_over_rows"]


def mean_over_rows(
    at_point: Callable[[Tensor, Tensor], Tensor],
    estimator: Estimator,
    X: Any,
    k: int,
    *,
    threat: TableThreat,
    distribution: Distribution,
    n_draws: int,
    n_points: int,
    ranking: Ranking,
    random_state: Seed,
) -> np.ndarray:
    """Return ``at_point(scores, member)`` of every draw of every row, shape (n, n_draws).

    A draw fixes the switches and where each number lies between the lowest and the highest that it may become. The
    mean is over the `n_points` shares of the budgets that are the middles of equal parts: the draw moves away from the
    row.
    """
    if distribution != "uniform":
        raise ValueError(f"The distribution {distribution!r} has no TableThreat: leave it at 'uniform'.")
    frame = check_table(X, threat)
    model, seen = explained(estimator, X, "The thickness")
    rows = TableRows(threat, frame, map_of(estimator, threat), x=plain_array(seen).astype(np.float64))
    target = probabilities(model, seen).argmax(axis=1)
    reference = explained_scores(model, seen, rows.x, target, ranking)
    k = checked_k(k, reference.shape[-1])
    member = top_k_mask(reference, k)
    warn_of_mismatch(model, "The thickness", k=k, ranking=ranking)
    n, n_numbers = len(frame), len(rows.numbers)
    # a row's draws do not depend on the rows that follow
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    u = np.random.default_rng(seed).random((n * n_draws, n_numbers + 1))
    owner = np.arange(n).repeat(n_draws)
    total = np.zeros(len(owner))
    for step in range(n_points):
        near = rows.within((step + 0.5) / n_points)
        for part in chunks(len(owner), math.prod(rows.x.shape[1:])):
            points: Points = near.drawn(owner[part], u[part])
            scores = explained_scores(model, seen, near.features(points), target[points.row], ranking)
            total[part] += at_point(scores, member[points.row]).numpy()
    return (total / n_points).reshape(n, n_draws)
