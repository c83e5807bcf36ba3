"""Inputs whose most or least important units are replaced, for the faithfulness metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robustxai._arguments import COUNT, Each, checked, optional
from robustxai._doubts import warn_of_mismatch
from robustxai._frames import aligned, is_table, like
from robustxai._models import named_rows, transformed, unwrap
from robustxai.metrics._inputs import OTHER_MODELS, plain_array, probabilities, ranked_scores
from robustxai.protocols import Estimator, FittedClassifier, Ranking
from robustxai.ranking import top_k_indices, unit_shape

#: Largest number of columns for which every count from 1 to n is evaluated.
MAX_TABLE = 100


#: Constraint on `ks`.
COUNTS = optional(Each(COUNT, least=1))


@dataclass(frozen=True)
class Removal:
    """Samples `x`, the rank of every unit (0 is the most important), and the value of a removed unit.

    `column` holds the unit of every feature where units are columns of a table, which are removed as a whole.
    """

    estimator: FittedClassifier
    given: Any
    x: np.ndarray
    rank: np.ndarray
    baseline: np.ndarray
    column: np.ndarray | None = None

    @classmethod
    def prepare(cls, estimator: Estimator, X: Any, attribution: Any, baseline: Any, ranking: Ranking) -> Removal:
        needs = ("predict_proba",) if attribution is not None else ("predict_proba", "explain")
        model, before = unwrap(estimator, needs=needs, what="The faithfulness", way=OTHER_MODELS)
        seen = transformed(X, before)
        x = plain_array(seen)
        warn_of_mismatch(model, "The metric", ranking=ranking)
        if attribution is None:
            attribution = model.explain(like(seen, x))
        elif before and np.shape(attribution) != x.shape and _columns_of(model, np.shape(attribution), x.shape) is None:
            raise ValueError(
                f"attribution has shape {np.shape(attribution)}, and the last step of the Pipeline sees X in shape "
                f"{x.shape}: pass attributions of the features that it sees, or judge those of the Pipeline's own "
                "columns by robustxai.attacks.BlackBox(pipe, explainer)."
            )
        column = _columns_of(model, np.shape(attribution), x.shape)
        if column is None:
            named = named_rows(X, before) if before and is_table(attribution) else seen
            attribution = aligned(named, attribution, ("X", "attribution"))
            if np.shape(attribution) != x.shape:
                raise ValueError(f"attribution must have the shape of X, {x.shape}, got {np.shape(attribution)}.")
        scores = ranked_scores(attribution, ranking)
        order = top_k_indices(scores, scores.shape[-1])
        return cls(model, seen, x, order.argsort(dim=-1).cpu().numpy(), _baseline(baseline, model, x), column)

    @property
    def n_units(self) -> int:
        return self.rank.shape[1]

    @property
    def row_size(self) -> int:
        return math.prod(self.x.shape[1:])

    def probabilities(self, rows: Any, removed: np.ndarray | None = None) -> np.ndarray:
        """Predicted probabilities of some rows, with the units `removed` (rows, units) replaced."""
        x = self.x[rows]
        if removed is not None:
            mask = removed if self.column is None else removed[:, self.column]
            mask = mask.reshape(len(x), *unit_shape(x.shape[1:]))
            if mask.ndim < x.ndim:  # a pixel is removed with all of its channels
                mask = np.expand_dims(mask, -3)
            x = np.where(mask, self.baseline, x)
        return probabilities(self.estimator, like(self.given, x))

    @checked(ks=COUNTS)
    def counts(self, ks: Sequence[int] | None, shares: Sequence[float]) -> list[int]:
        """Return the numbers of units to replace: `ks`, or 1..n for a table, or the given shares of n."""
        if ks is None:
            if self.x.ndim == 2 and self.n_units <= MAX_TABLE:
                return list(range(1, self.n_units + 1))
            return sorted({max(1, round(share * self.n_units)) for share in shares})
        counts = list(ks)
        if not counts or max(counts) > self.n_units:
            raise ValueError(f"ks must name at least one count, none above the number of units ({self.n_units}).")
        return [int(k) for k in counts]


def _columns_of(model: Any, shape: tuple[int, ...], inputs: tuple[int, ...]) -> np.ndarray | None:
    """Return the column of every feature where an attribution has one entry per column, else None."""
    groups = getattr(getattr(model, "explainer_", None), "groups", None)
    if groups is None or shape == inputs or shape != (inputs[0], len(groups)):
        return None
    column = np.empty(inputs[1], dtype=int)
    for number, group in enumerate(groups):
        column[list(group)] = number
    return column


def _baseline(baseline: Any, estimator: FittedClassifier, x: np.ndarray) -> np.ndarray:
    """Return the replacement value, of the shape of one sample."""
    value = np.asarray(getattr(estimator, "feature_means_", 0.0) if baseline is None else baseline, dtype=x.dtype)
    shape = x.shape[1:]
    try:
        return value.reshape(shape) if value.size == math.prod(shape) else np.broadcast_to(value, shape)
    except ValueError:
        raise ValueError(
            f"baseline must be a number or have the shape of a sample, {shape}; got {value.shape}."
        ) from None
