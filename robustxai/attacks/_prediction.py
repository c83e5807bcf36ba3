"""Base of the attacks on the prediction: ascent on the cross-entropy."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from robustxai._switches import own_switches
from robustxai.attacks._feasible import feasible
from robustxai.attacks._table import row_sets
from robustxai.attacks._transformer import AttackTransformer
from robustxai.columns import Points, TableRows, TableThreat, check_table, in_kind_of, map_of
from robustxai.engine import channels_last
from robustxai.explainers import log_odds
from robustxai.perturbation import PerturbationSet, ascend
from robustxai.training import small_net_threads

__all__ = ["PredictionAttack"]


class PredictionAttack(AttackTransformer):
    r"""Base of the attacks on predictions: steepest ascent on the cross-entropy of the predicted class, or of labels.

    The log-odds m replace the cross-entropy, which is ``softplus(-m)``: their gradients have the same direction, and a
    step uses the direction only. The gradient of the cross-entropy rounds to 0 where the target estimator is confident.

    A subclass defines the number of steps, their length and their start (`plan`). The last point is returned, whatever
    is predicted there.
    """

    _needs = ("encode_target", "module_", "device_", "gradient")

    def plan(self, space: PerturbationSet) -> tuple[int, float, Tensor | None]:
        """Return the number of steps, their length in the norm of `space`, and the start offset (1, *features)."""
        raise NotImplementedError

    @own_switches()
    def transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Return the perturbed inputs, shape and dtype of X; of a Pipeline, of X as its last step sees it.

        Under a TableThreat, raw rows like X: of all choices of switches the one of the highest cross-entropy after
        numbers have been rounded.

        Parameters
        ----------
        X : array-like of shape (n_samples, *features)
            Inputs, as in `fit`.
        y : array-like of shape (n_samples,), optional
            Labels whose cross-entropy is raised, instead of the predictions. ``fit_transform(X, y)`` passes its `y` to
            `fit` only, as everywhere in scikit-learn: call ``fit(X).transform(X, y)``.
        """
        check_is_fitted(self)
        if self._table_threat is not None:
            return self._on_table(X, y, self._table_threat)
        X = self._validate(self._seen(X))
        threat, space = self._bind(X)
        if threat.epsilon == 0:
            return X.copy()
        delta = self._ascended(self._tensor(X), self._predicted(X, y), space)
        return feasible(X, delta.cpu().numpy(), threat)

    def _ascended(self, rows: Tensor, target: Tensor, space: PerturbationSet) -> Tensor:
        """Return the last perturbation of every row."""
        module = channels_last(self._frozen_module(), rows)
        deltas = []
        with small_net_threads(module):
            size = self._rows_at_once(module, rows)
            for part in torch.arange(len(rows), device=rows.device).split(size):
                own, classes = space.select(part), target[part]
                max_iter, step_size, start = self.plan(own)
                delta = ascend(
                    lambda points, classes=classes: -log_odds(module(points), classes),  # type: ignore[misc]
                    rows[part],
                    own,
                    max_iter=max_iter,
                    step_size=step_size,
                    start=own.project(torch.zeros_like(rows[part]), rows[part]) if start is None else start,
                )
                deltas.append(delta)
        return torch.cat(deltas)

    def _on_table(self, X: Any, y: Any, threat: TableThreat) -> Any:
        """Return for every raw row the admissible one of the highest cross-entropy that was found."""
        frame = check_table(X, threat)
        rows = TableRows(threat, frame, map_of(self.estimator, threat))
        x, target = self._tensor(rows.x), self._predicted(rows.x, y)
        module = self._frozen_module()
        best, highest = rows.own, np.full(len(frame), -np.inf)
        for part in rows.parts(np.arange(len(frame)), rows.n_choices):
            boxes = rows.boxes(part)
            owner = torch.as_tensor(boxes.start.row, device=x.device)
            delta = self._ascended(x[owner], target[owner], row_sets(boxes, float(threat.norm), x.device))
            found = rows.nearest(boxes.start, (x[owner] + delta).double().cpu().numpy())
            points = Points.cat([rows.own.take(part), boxes.start, found])
            owner = torch.as_tensor(points.row, device=x.device)
            with torch.no_grad():
                value = -log_odds(module(self._tensor(rows.features(points))), target[owner])
            best, highest = rows.better(best, highest, points, value.double().cpu().numpy())
        return in_kind_of(X, rows.table(best))
