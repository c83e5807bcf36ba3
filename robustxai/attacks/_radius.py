"""Distance of a row from another top-k set, along straight lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustxai._frames import like
from robustxai.attacks._search import observe
from robustxai.attacks._unexplained import precision_where_explained
from robustxai.explainers import Explainer
from robustxai.perturbation import ThreatModel, input_gradient
from robustxai.protocols import Ranking
from robustxai.ranking import unit_scores

__all__ = ["Lines", "closing_directions"]

#: Number of the lowest members of the top set and of the highest others; lines close their pairs, each with each.
_PAIRS = 3
#: Number of radii on a line, each 0.8 times the previous one.
_LEVELS = 24
#: Points that are explained together, where a few rows have to be tried at many radii.
_AT_ONCE = 256
#: Halvings of the interval in which the set changes, down to 1/4096 of it.
_HALVINGS = 12


def closing_directions(
    module: torch.nn.Module, explainer: Explainer, x: Tensor, target: Tensor, k: int, ranking: Ranking
) -> Iterator[Tensor]:
    """Yield gradients in x, shaped like x, of the gaps of boundary pairs, the narrowest first, and of their sum.

    To first order a pair closes at the gap divided by the gradient's length, along the negative gradient. On a smooth
    network this is within some per cent of the distance at which the ranking changes.
    """
    points, found, _ = observe(module, explainer, x, target, graph=True)
    attribution = found.direction
    if not attribution.requires_grad:
        return
    scores = unit_scores(attribution, ranking)
    inside, outside = min(_PAIRS, k), min(_PAIRS, scores.shape[1] - k)
    window = scores.topk(k + outside, dim=1).values
    gaps = window[:, k - inside : k, None] - window[:, None, k:]
    parts = [gaps[:, -1 - i, j] for i in range(inside) for j in range(outside)]
    for gap in [*parts, gaps.sum(dim=(1, 2))] if parts else []:
        yield input_gradient(gap, points, retain_graph=True).nan_to_num(0.0)


class Lines:
    """Rows of X, and the shortest parts of straight lines from them that change their top-k sets.

    Parameters
    ----------
    estimator : fitted classifier or BlackBox
        Target estimator.
    X : array-like of shape (n_samples, *features)
        Rows.
    threat : ThreatModel
        Its norm and scale measure lengths.
    k : int
        Size of the top set.
    ranking : {"magnitude", "signed"}
        Ranked scores.
    keep_prediction : bool
        Count a point only if it has the prediction of the row.
    max_probability_change : float, optional
        With `keep_prediction`: largest change of the predicted class's probability.
    """

    def __init__(
        self,
        estimator: Any,
        X: Any,
        threat: ThreatModel,
        k: int,
        ranking: Ranking,
        keep_prediction: bool,
        max_probability_change: float | None = None,
    ) -> None:
        self.estimator = estimator
        self.X = X
        self.start = np.asarray(X, dtype=np.float64)
        self.labels = estimator.predict(X)
        self.attribution = np.asarray(estimator.explain(X))
        self.threat = threat
        self.k = k
        self.ranking = ranking
        self.keep_prediction = keep_prediction
        self.max_probability_change = max_probability_change if keep_prediction else None
        if self.max_probability_change is not None:
            proba = np.asarray(estimator.predict_proba(X), dtype=np.float64)
            self.classes, self.probability = proba.argmax(axis=1), proba.max(axis=1)

    def changed(self, rows: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Return True where the top-k set at `points` differs from that of their `rows`."""
        there = like(self.X, points)
        found = np.asarray(self.estimator.explain(there, y=self.labels[rows]))
        # NaN marks a missing explanation and counts as no change
        other = precision_where_explained(self.attribution[rows], found, self.k, self.ranking) < 1
        if self.keep_prediction:
            other &= self.estimator.predict(there) == self.labels[rows]
        if self.max_probability_change is not None:
            proba = np.asarray(self.estimator.predict_proba(there), dtype=np.float64)
            change = np.abs(proba[np.arange(len(rows)), self.classes[rows]] - self.probability[rows])
            other &= change <= self.max_probability_change
        return other

    def lengths(self, rows: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Return the length of the shortest part of the line to `points` that changes the set, found by halving."""
        start, step = self.start[rows], points - self.start[rows]
        low, high = np.zeros(len(rows)), np.ones(len(rows))
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            other = self.changed(rows, start + middle.reshape(-1, *(1,) * (start.ndim - 1)) * step)
            low, high = np.where(other, low, middle), np.where(other, middle, high)
        return high * self.threat.lengths(step)

    def along(self, steps: np.ndarray, low: np.ndarray, high: np.ndarray, epsilon: float) -> np.ndarray:
        """Return the radius up to `epsilon` at which the set first changes along `steps` of length one, or infinity.

        Points are clipped to the box from `low` to `high`.
        """
        best, first = np.full(len(self.start), np.inf), self.start.copy()
        waiting = (steps != 0).reshape(len(steps), -1).any(axis=1)
        flips = np.zeros_like(waiting)
        radii = [epsilon * 0.8**level for level in reversed(range(_LEVELS))]
        while radii and waiting.any():
            rows = np.flatnonzero(waiting)
            n_radii = max(_AT_ONCE // len(rows), 1)
            some, radii = np.array(radii[:n_radii]), radii[n_radii:]
            points = self.start[rows] + some.reshape(-1, *(1,) * steps.ndim) * steps[rows]
            points = np.clip(points, low, high)
            other = self.changed(np.tile(rows, len(some)), points.reshape(-1, *steps.shape[1:])).reshape(len(some), -1)
            found, smallest = other.any(axis=0), other.argmax(axis=0)
            first[rows[found]] = points[smallest[found], np.flatnonzero(found)]
            flips[rows[found]], waiting[rows[found]] = True, False
        rows = np.flatnonzero(flips)
        if len(rows):  # those of all radii together, because halving an interval takes a dozen explanations
            best[rows] = self.lengths(rows, first[rows])
        return best
