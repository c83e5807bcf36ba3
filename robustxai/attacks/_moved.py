"""Units that left and entered a top set, by name, and lengths of perturbations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from robustxai._frames import column_names
from robustxai.columns import TableThreat
from robustxai.perturbation import ThreatModel
from robustxai.protocols import Ranking
from robustxai.ranking import as_tensor, count_units, top_k_indices, unit_scores, unit_shape

__all__ = ["distances", "moved_units", "unit_names"]


def unit_names(attribution: Any, feature_names: Sequence[str] | None = None) -> list[str]:
    """Return the names of the ranked units of attributions of shape (n, *features).

    Raises
    ------
    ValueError
        The number of `feature_names` is not that of the units.
    """
    features = np.shape(attribution)[1:]
    n_units = count_units(features)
    if feature_names is None:
        feature_names = column_names(attribution)
    if feature_names is not None:
        if len(feature_names) != n_units:
            raise ValueError(f"There are {n_units} ranked units, but {len(feature_names)} feature_names.")
        return [str(name) for name in feature_names]
    shape = unit_shape(features)
    if len(shape) == 1:
        return [f"x{i}" for i in range(n_units)]
    return [f"({', '.join(map(str, place))})" for place in np.ndindex(*shape)]


def moved_units(
    attribution: Any, attribution_adv: Any, k: int, ranking: Ranking
) -> tuple[list[list[int]], list[list[int]]]:
    """Return for each row the units in the first top-k set only and in the second only, highest score first."""
    tops = [
        top_k_indices(unit_scores(as_tensor(np.asarray(part)), ranking), k).numpy()
        for part in (attribution, attribution_adv)
    ]
    pairs = list(zip(*tops))
    left = [before[~np.isin(before, after)].tolist() for before, after in pairs]
    entered = [after[~np.isin(after, before)].tolist() for before, after in pairs]
    return left, entered


def distances(X: Any, X_adv: Any, threat: ThreatModel | TableThreat | None) -> np.ndarray:
    """Return the length of each perturbation in the norm and the units of `threat` (l2 without one), shape (n,)."""
    if isinstance(threat, TableThreat):
        return threat.lengths(X, X_adv)
    rows = np.asarray(X, dtype=np.float64)
    delta = np.asarray(X_adv, dtype=np.float64) - rows
    threat = ThreatModel() if threat is None else threat
    return replace(threat, frozen=None, bounds=None).resolve(rows, column_names(X)).lengths(delta)
