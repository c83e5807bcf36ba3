"""Classifiers that train until the P@k of held-out rows reaches a target."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from typing import ClassVar

import numpy as np
from typing_extensions import Self

from robustxai._arguments import Number, optional
from robustxai._validation import outside
from robustxai.classifiers._base import BaseExplainableClassifier
from robustxai.classifiers._measurement import interval_of
from robustxai.engine import stackable
from robustxai.exceptions import ShortfallWarning
from robustxai.protocols import Ranking
from robustxai.training import ObjectiveNet, TargetController, held_out_for_target, train_to_target

__all__ = ["TARGET_PRECISION", "ToTarget"]

TARGET_PRECISION = optional(Number(0, 1, above=True, below=True))
#: Fewer rows leave too few to be measured.
_LEAST_ROWS = 100
_ATTRIBUTES = ("precision_", "precision_interval_", "precision_n_rows_")


class ToTarget(BaseExplainableClassifier):
    """Base of classifiers with the parameter `target_precision`, without which they train as others do."""

    #: What `precision_` says, in the warning of a shortfall.
    _says: ClassVar[str]
    #: Advice of that warning, after "Train longer (max_epochs=...)".
    _cure: ClassVar[str]

    k: int
    ranking: Ranking
    target_precision: float | None

    @abstractmethod
    def _controller(self, net: ObjectiveNet, X: np.ndarray) -> TargetController:
        """Return the controller of a training with terms, which measures the rows X."""

    @abstractmethod
    def _kept(self, X: np.ndarray) -> np.ndarray:
        """Return the P@k of each row that `precision_` is the mean of; the classifier is fitted."""

    def check_params(self) -> None:
        super().check_params()
        if self.target_precision is None:
            return
        params = self._net_params()
        if params.get("train_split") is not None:
            raise ValueError("target_precision holds out rows itself. Leave out train_split.")
        if params.get("callbacks") == "disable":
            raise ValueError("target_precision needs callbacks, by which it controls the training; leave them on.")

    def check_data(self, X: np.ndarray) -> None:
        super().check_data(X)
        if self.target_precision is not None and len(X) < _LEAST_ROWS:
            raise ValueError(
                f"target_precision needs at least {_LEAST_ROWS} rows, because a fifth is held out and measured; X has "
                f"{len(X)}. Choose the weight of the penalty by cross-validation instead."
            )

    @stackable
    def train_net(self, net: ObjectiveNet, X: np.ndarray, codes: np.ndarray) -> None:
        if self.target_precision is None:
            super().train_net(net, X, codes)
            return
        rows = held_out_for_target(codes)
        controller = self._controller(net, X[rows.controlled]) if net.terms else None  # None in the warm-up
        train_to_target(net, X, codes, rows, controller)
        self._measured = rows.measured

    def _finish(self, net: ObjectiveNet, X: np.ndarray, classes: np.ndarray) -> Self:
        measured = self.__dict__.pop("_measured", None)
        for name in _ATTRIBUTES:
            self.__dict__.pop(name, None)
        super()._finish(net, X, classes)
        if measured is not None:
            self._measure(X[measured])
        return self

    def _measure(self, X: np.ndarray) -> None:
        """Measure held-out rows, and warn of a shortfall."""
        precision = self._kept(X)
        self.precision_, self.precision_interval_ = float(precision.mean()), interval_of(precision)
        self.precision_n_rows_ = n_rows = len(precision)
        target, (low, high) = self.target_precision, self.precision_interval_
        if target is not None and self.precision_ < target:
            says = self._says.format(p=self.precision_, k=self.k_)
            warnings.warn(
                f"{type(self).__name__} {says} ({low:.3f} to {high:.3f}, {n_rows} held-out rows), which is less than "
                f"target_precision={target:g}. Train longer (max_epochs={2 * self.net_.max_epochs}), {self._cure}.",
                ShortfallWarning,
                stacklevel=outside(),
            )
