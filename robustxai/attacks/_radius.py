"""How far a row is from another top-k set: straight lines, and how much of a perturbation is needed."""

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

#: The lowest members of the top set and the highest others, each with each, are the pairs that a line aims at.
_PAIRS = 3
#: Radii that are tried on a line, each 0.8 of the one before.
_LEVELS = 24
#: Halvings of the stretch in which the set changes: to a four-thousandth of it.
_HALVINGS = 12


def closing_directions(
    module: torch.nn.Module, explainer: Explainer, x: Tensor, target: Tensor, k: int, ranking: Ranking
) -> Iterator[Tensor]:
    """Gradients in x, shaped like x, of the gaps between boundary pairs, the narrow ones first, and of their sum.

    To first order a pair closes at the gap over the gradient's length, straight down the gradient. On a smooth network
    that is within some per cent of the distance at which the ranking really changes.
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
    """The rows of X, and what of the way from a row to some point changes its top-k set.

    Parameters
    ----------
    estimator : fitted classifier or BlackBox
        The target estimator.
    X : array-like of shape (n_samples, *features)
        Rows.
    threat : ThreatModel
        Its norm and scale measure lengths.
    k : int
        Size of the top set.
    ranking : {"magnitude", "signed"}
        What is ranked.
    keep_prediction : bool
        Whether a point counts only with the prediction of the row.
    max_probability_change : float, optional
        With `keep_prediction`: how much the probability of the predicted class may change.
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
        """Whether the top-k set at `points` is another than that of their `rows`."""
        there = like(self.X, points)
        found = np.asarray(self.estimator.explain(there, y=self.labels[rows]))
        # NaN, where there is no explanation, is no change
        other = precision_where_explained(self.attribution[rows], found, self.k, self.ranking) < 1
        if self.keep_prediction:
            other &= self.estimator.predict(there) == self.labels[rows]
        if self.max_probability_change is not None:
            proba = np.asarray(self.estimator.predict_proba(there), dtype=np.float64)
            change = np.abs(proba[np.arange(len(rows)), self.classes[rows]] - self.probability[rows])
            other &= change <= self.max_probability_change
        return other

    def lengths(self, rows: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Length of the shortest part of the way to `points` that still changes the set, as far as halving finds it."""
        start, step = self.start[rows], points - self.start[rows]
        low, high = np.zeros(len(rows)), np.ones(len(rows))
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            other = self.changed(rows, start + middle.reshape(-1, *(1,) * (start.ndim - 1)) * step)
            low, high = np.where(other, low, middle), np.where(other, middle, high)
        return high * self.threat.lengths(step)

    def along(self, steps: np.ndarray, low: np.ndarray, high: np.ndarray, epsilon: float) -> np.ndarray:
        """Radius at which the set first changes on the way along `steps` of length one; infinite up to `epsilon`.

        The way is clipped to the box from `low` to `high`.
        """
        best = np.full(len(self.start), np.inf)
        for level in reversed(range(_LEVELS)):
            rows = np.flatnonzero(np.isinf(best) & (steps != 0).reshape(len(steps), -1).any(axis=1))
            if not len(rows):
                break
            points = np.clip(self.start[rows] + epsilon * 0.8**level * steps[rows], low, high)
            other = self.changed(rows, points)
            if other.any():
                best[rows[other]] = self.lengths(rows[other], points[other])
        return best
