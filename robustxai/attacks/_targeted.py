"""TargetedManipulation: raise the attribution of chosen units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from robustxai._arguments import Rows
from robustxai._columns import columns_named
from robustxai._switches import own_switches
from robustxai.attacks._gradient import GradientAttack
from robustxai.attacks._result import AttackResult
from robustxai.attacks._search import Reference
from robustxai.protocols import Estimator
from robustxai.ranking import top_k_indices, top_k_mask, unit_scores, unit_shape

__all__ = ["TargetedManipulation"]


class TargetedManipulation(GradientAttack):
    r"""Raise the share of the saliency that given units hold.

    .. math:: \max_\delta \; \frac{\sum_{t \in \mathcal T} s_t(x + \delta)}{\sum_j |s_j(x + \delta)|}

    with s the unit scores and :math:`\mathcal T` the target units. Every row keeps its iterate of the highest share,
    the clean input included, whatever its P@k; `run` also counts the target units in the top-k set.

    Parameters
    ----------
    target_units : sequence of int, of str, or a boolean mask, optional
        Units to raise: features by index, by name (that of a column means all of its features, as in
        :class:`robustxai.perturbation.ThreatModel`) or as a mask; pixels by index into the flattened image or as a mask
        of shape (height, width). By default the k units of the lowest clean scores, row by row.
    estimator, k, threat, ranking, max_iter, step_size, momentum, keep, batch_size, random_state
        As in :class:`GradientAttack`.

    Attributes
    ----------
    target_mask_ : ndarray of bool of shape (units,), or None
        `target_units` as a mask, None where every row has its own.

    References
    ----------
    Tang et al., *Defense against explanation manipulation*, 2021, Eq. 1 ("targeted attack"; the published code lowers
    the share of a fixed region instead).

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from robustxai import SoftplusClassifier
    >>> from robustxai.attacks import TargetedManipulation
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> X = (X - X.mean()) / X.std()
    >>> clf = SoftplusClassifier(max_epochs=5).fit(X, y)
    >>> attack = TargetedManipulation(clf, target_units=["mean symmetry", "mean texture"], max_iter=20)
    >>> attack.run(X[:50]).targets_in_top_k.shape
    (50,)
    """

    goal = "objective"

    def __init__(
        self,
        estimator: Estimator | None = None,
        *,
        target_units: Sequence[int] | Sequence[str] | np.ndarray | None = None,
        **params: Any,
    ) -> None:
        super().__init__(estimator, **params)
        self.target_units = target_units

    def transform(self, X: Any) -> np.ndarray:
        """Return the perturbed inputs, shape and dtype of X."""
        check_is_fitted(self)
        self._check_params()
        if self._table_threat is None:
            self._adopt(self._validate(self._seen(X)))  # `target_units` may have been set since `fit`
        return super().transform(X)

    def _adopt(self, X: np.ndarray) -> None:
        super()._adopt(X)
        self.target_mask_ = None
        if self.target_units is not None:
            names = self._feature_names()
            names = [] if names is None else list(names)
            self.target_mask_ = _unit_mask(self.target_units, unit_shape(X.shape[1:]), names, X)

    def run(self, X: Any, y: Any = None) -> AttackResult:
        """Do the same as :class:`BaseAttack`, with `targets_in_top_k`."""
        result = super().run(X, y)
        with own_switches():
            clean, moved = (
                unit_scores(torch.tensor(np.array(attribution)), self.ranking)
                for attribution in (result.attribution, result.attribution_adv)
            )
            hits = (top_k_mask(moved, self.k_) & self._targets(clean, self.k_)).sum(dim=1)
        return replace(result, targets_in_top_k=hits.numpy())

    def _targets(self, clean: Tensor, k: int) -> Tensor:
        """Return a mask of the target units that broadcasts with the clean scores."""
        if self.target_mask_ is not None:
            return torch.as_tensor(self.target_mask_, device=clean.device)
        lowest = top_k_indices(-clean, k)
        return torch.zeros_like(clean, dtype=torch.bool).scatter_(1, lowest, True)

    def objective(self, attribution: Tensor, reference: Reference) -> Tensor:
        return (reference.relative(attribution) * self._targets(reference.scores, reference.k)).sum(dim=1)


def _unit_mask(units: Any, shape: tuple[int, ...], names: list[str], X: np.ndarray) -> np.ndarray:
    """Return `units` as a boolean mask of shape (prod(shape),)."""
    if Rows().fault(units) is not None:
        raise TypeError(f"target_units must be a sequence of units or a mask, got {units!r}; put it in a list.")
    chosen, n_units = np.asarray(units), int(np.prod(shape))
    mask = np.zeros(n_units, dtype=bool)
    if chosen.dtype == bool:
        if chosen.shape not in (shape, (n_units,)):
            raise ValueError(
                f"target_units is a mask of shape {chosen.shape}, but the ranked units have shape {shape}."
            )
        mask = chosen.reshape(-1).copy()
    elif chosen.dtype.kind in "UO":
        if not names:
            raise ValueError("target_units names features, but the data has no feature names; give indices or a mask.")
        mask[[i for name in chosen for i in columns_named(str(name), names, X, what="target unit")]] = True
    elif chosen.size:
        if chosen.dtype.kind not in "iu" or chosen.min() < -n_units or chosen.max() >= n_units:
            raise ValueError(f"target_units={units!r} must be names, a mask, or indices below {n_units}.")
        mask[chosen] = True
    if not 0 < mask.sum() < n_units:
        raise ValueError(f"target_units must hold some but not all of the {n_units} units, got {int(mask.sum())}.")
    return mask
