"""What attacks on explanations and on predictions share: a scikit-learn transformer around a fitted victim."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn
from typing_extensions import Self

from robustxai._inherited_params import InheritedParamsMixin
from robustxai._validation import check_number
from robustxai.attacks._rows_at_once import rows_at_once
from robustxai.nets import frozen
from robustxai.perturbation import PerturbationSet, ThreatModel

__all__ = ["AttackTransformer"]


class AttackTransformer(InheritedParamsMixin, OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Base of all attacks: parameters and inputs are checked, the victim is kept, nothing is learned.

    A subclass names its own parameters in ``__init__``, hands the rest on, and says in `transform` where the inputs go.

    Parameters
    ----------
    estimator : fitted classifier
        The victim. It is used as it is, and ``clone(attack)`` keeps it: an attack never trains anything.
    threat : ThreatModel, optional
        What the attacker may do; ``ThreatModel()`` (l2, epsilon 0.5) by default.
    batch_size : int, optional
        Rows that are searched at once. By default as many as a CPU is fastest with, at most 1,024 (of a table) and some
        dozens (of images for a large network); on a GPU up to 65,536, as far as a few GB go.
    """

    def __init__(
        self, estimator: Any = None, *, threat: ThreatModel | None = None, batch_size: int | None = None, **unknown: Any
    ) -> None:
        self._refuse(unknown)
        self.estimator = estimator
        self.threat = threat
        self.batch_size = batch_size

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters, the victim and X of shape (n_samples, *features); nothing is learned.

        Raises
        ------
        NotFittedError
            The victim is not fitted.
        ValueError, TypeError
            No victim, or a parameter out of its range.
        """
        self._check_fit(X)
        return self

    def __sklearn_clone__(self) -> Self:
        # clone() would strip the victim of its weights, and an attack on an untrained network measures nothing
        params = self.get_params(deep=False)
        victim = params.pop("estimator")
        return type(self)(victim, **{name: copy.deepcopy(value) for name, value in params.items()})

    def _check_fit(self, X: Any) -> np.ndarray:
        """X as an array, once the parameters are found in order."""
        self._check_params()
        return validate_data(self, X, dtype=[np.float64, np.float32], allow_nd=True)

    def _check_params(self) -> None:
        if self.estimator is None:
            name = type(self).__name__
            raise ValueError(f"{name} has no estimator to attack: pass a fitted classifier, {name}(clf).")
        check_is_fitted(
            self.estimator,
            msg=f"The {type(self.estimator).__name__} under attack is not fitted yet: call its fit(X, y) first.",
        )
        if self.batch_size is not None:
            check_number("batch_size", self.batch_size, minimum=1, integer=True)
        if self.threat is not None and not isinstance(self.threat, ThreatModel):
            raise TypeError(
                f"threat must be a ThreatModel, for instance ThreatModel(epsilon=0.5), got {self.threat!r}."
            )

    def _validate(self, X: Any) -> np.ndarray:
        return validate_data(self, X, reset=False, dtype=[np.float64, np.float32], order="C", allow_nd=True)

    def _predicted(self, X: np.ndarray, y: Any = None) -> Tensor:
        """Class indices of `y`, or those that the victim predicts (it has its feature names back), shape (n,)."""
        rows, names = X.astype(np.float32), getattr(self, "feature_names_in_", None)
        return self.estimator.encode_target(rows if names is None else pd.DataFrame(rows, columns=names), y)

    def _threat(self) -> ThreatModel:
        return self.threat if self.threat is not None else ThreatModel()

    def _bind(self, X: np.ndarray) -> tuple[ThreatModel, PerturbationSet]:
        """The threat model, without names, and its set for inputs like X."""
        threat = self._threat().resolve(X, getattr(self, "feature_names_in_", None))
        return threat, threat.bind(X, device=self.estimator.device_)

    def _frozen_module(self) -> nn.Module:
        """A copy of the victim's module, in evaluation mode and without gradients of its weights."""
        return frozen(self.estimator.module_)

    def _rows_at_once(self, module: nn.Module, x: Tensor) -> int:
        return rows_at_once(module, x) if self.batch_size is None else int(self.batch_size)

    def _tensor(self, X: np.ndarray) -> Tensor:
        return torch.tensor(X, dtype=torch.float32, device=self.estimator.device_)
