"""Base of the attacks on the prediction: ascent on the cross-entropy."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from robustxai._switches import own_switches
from robustxai.attacks._feasible import feasible
from robustxai.attacks._transformer import AttackTransformer
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

        Parameters
        ----------
        X : array-like of shape (n_samples, *features)
            Inputs, as in `fit`.
        y : array-like of shape (n_samples,), optional
            Labels whose cross-entropy is raised, instead of the predictions. ``fit_transform(X, y)`` passes its `y` to
            `fit` only, as everywhere in scikit-learn: call ``fit(X).transform(X, y)``.
        """
        check_is_fitted(self)
        X = self._validate(self._seen(X))
        threat, space = self._bind(X)
        if threat.epsilon == 0:
            return X.copy()
        max_iter, step_size, start = self.plan(space)
        target, rows = self._predicted(X, y), self._tensor(X)
        module = channels_last(self._frozen_module(), rows)
        deltas = []
        with small_net_threads(module):
            size = self._rows_at_once(module, rows)
            for x, classes in zip(rows.split(size), target.split(size)):
                delta = ascend(
                    lambda points, classes=classes: -log_odds(module(points), classes),  # type: ignore[misc]
                    x,
                    space,
                    max_iter=max_iter,
                    step_size=step_size,
                    start=start,
                )
                deltas.append(delta)
        return feasible(X, torch.cat(deltas).cpu().numpy(), threat)
