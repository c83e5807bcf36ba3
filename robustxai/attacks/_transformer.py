"""Base of all attacks: a scikit-learn transformer around a fitted estimator."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import validate_data
from torch import Tensor, nn
from typing_extensions import Self

from robustxai._all_or_nothing import all_or_nothing
from robustxai._arguments import (
    COUNT,
    Constraint,
    check_arguments,
    optional,
)
from robustxai._doubts import spread_of, warn_of_ball
from robustxai._frames import column_names, in_numbers, is_table, like
from robustxai._inherited_params import InheritedParamsMixin
from robustxai._models import named_rows, unwrap
from robustxai.columns import ANY_THREAT_ARGUMENTS, TableThreat, as_any_threat, check_table, map_of
from robustxai.engine import frozen, rows_at_once
from robustxai.explainers import attribution_shape
from robustxai.perturbation import PerturbationSet, ThreatModel, as_threat
from robustxai.protocols import Estimator, Norm
from robustxai.ranking import count_units

__all__ = ["AttackTransformer"]

#: Rows that are read to recognize a one-hot group.
_LOOKED_AT = 1000


class AttackTransformer(InheritedParamsMixin, OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Base of all attacks: check parameters and inputs and keep the target estimator; nothing is learned.

    A subclass names its own parameters in ``__init__``, passes the rest on, and computes perturbed inputs in
    `transform`.

    Parameters
    ----------
    estimator : fitted classifier, Pipeline or search
        Target estimator. ``clone(attack)`` keeps it, because an attack never trains anything. Of a Pipeline the last
        step is attacked: X comes in the columns that the Pipeline takes. The threat model, the perturbed inputs and the
        attributions are in the features that the last step sees, by the names that
        ``pipe[:-1].get_feature_names_out()`` gives where X has column names. Measure them on ``pipe[-1]``.
    threat : ThreatModel or TableThreat, optional
        Perturbations that are allowed; ``ThreatModel()`` (l2, epsilon 0.5) by default. Under a
        :class:`robustxai.columns.TableThreat` X is a DataFrame of raw rows, and so is what comes back: rows that the
        table can have.
    epsilon, norm : float and {2, inf, "2", "inf"}, optional
        Shorthand for ``threat=ThreatModel(epsilon, norm=norm)``.
    batch_size : int, optional
        Rows that are searched at once. The default is the fastest number on a CPU, at most 1,024 (tables) and some
        dozens (images in a large network); on a GPU up to 65,536, within a few GB.
    """

    _constraints: ClassVar[Mapping[str, Constraint]] = {
        **ANY_THREAT_ARGUMENTS,
        "batch_size": optional(COUNT),
    }

    def __init__(
        self,
        estimator: Estimator | None = None,
        *,
        threat: ThreatModel | TableThreat | None = None,
        epsilon: float | None = None,
        norm: Norm | None = None,
        batch_size: int | None = None,
        **unknown: Any,
    ) -> None:
        self._refuse(unknown)
        self.estimator = estimator
        self.threat = threat
        self.epsilon = epsilon
        self.norm = norm
        self.batch_size = batch_size

    #: Attributes that the target estimator must have.
    _needs: ClassVar[tuple[str, ...]] = ("predict", "explain", "encode_target", "module_", "device_", "explainer_")

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters, the target estimator and X of shape (n_samples, *features); nothing is learned.

        Raises
        ------
        NotFittedError
            The target estimator is not fitted.
        ValueError, TypeError
            No target estimator, a target without explanations, or a parameter out of its range.
        """
        with all_or_nothing(self):
            self._warn_of_ball(self._check_fit(X))
        return self

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return names of the features of the perturbed inputs: of a Pipeline, those that its last step sees."""
        return super().get_feature_names_out(None if self._before else input_features)

    def __sklearn_clone__(self) -> Self:
        # a plain clone() drops the weights of the estimator, and an attack on an untrained network measures nothing
        params = self.get_params(deep=False)
        estimator = params.pop("estimator")
        return type(self)(estimator, **{name: copy.deepcopy(value) for name, value in params.items()})

    def _check_fit(self, X: Any) -> np.ndarray:
        """Check the parameters and return X as an array."""
        self._check_params()
        if self._table_threat is not None:
            frame, found = check_table(X, self._table_threat), map_of(self.estimator, self._table_threat)
            self.n_features_in_, self.feature_names_in_ = frame.shape[1], np.asarray(frame.columns, dtype=object)
            return found.transform(frame)
        rows = self._seen(X)
        self._check_column_order(rows, getattr(self._target_estimator, "feature_names_in_", None))
        with in_numbers(rows):
            return validate_data(self, rows, dtype=[np.float64, np.float32], allow_nd=True)

    def _warn_of_ball(self, X: np.ndarray, epsilon: float | None = None) -> None:
        """Warn where the threat model is tiny or huge beside the data."""
        if self._table_threat is not None:
            return
        threat, names = self.resolved_threat(), getattr(self, "feature_names_in_", None)
        unit = threat.units(X[:_LOOKED_AT], names)
        spread = spread_of(self._target_estimator, X)
        radius = threat.epsilon if epsilon is None else epsilon
        warn_of_ball("epsilon", radius, spread, norm=threat.norm, unit=unit, names=names)

    def _check_params(self) -> None:
        check_arguments(self)
        if self.estimator is None:
            name = type(self).__name__
            raise ValueError(f"{name} has no estimator to attack: pass a fitted classifier, {name}(clf).")
        unwrap(self.estimator, needs=self._needs, what=type(self).__name__, role=" under attack")

    @property
    def _target_estimator(self) -> Any:
        """Classifier that is attacked: the estimator, or the last step of a Pipeline."""
        return unwrap(self.estimator, needs=(), what=type(self).__name__)[0]

    @property
    def _before(self) -> list[Any]:
        """Fitted transformers before the target estimator."""
        return unwrap(self.estimator, needs=(), what=type(self).__name__)[1]

    def _seen(self, X: Any) -> Any:
        """Return X as the target estimator sees it, a pandas DataFrame or an array."""
        return named_rows(X, self._before)

    def _validate(self, rows: Any) -> np.ndarray:
        """Return rows, as the target estimator sees them, as an array."""
        self._check_column_order(rows, getattr(self, "feature_names_in_", None))
        with in_numbers(rows):
            return validate_data(self, rows, reset=False, dtype=[np.float64, np.float32], order="C", allow_nd=True)

    @staticmethod
    def _check_column_order(rows: Any, names: Any) -> None:
        """Raise where the columns are not those that the target estimator was fitted with, in its order."""
        columns = column_names(rows)
        if columns is None or names is None or columns == list(names):
            return
        if sorted(map(str, columns)) != sorted(map(str, names)):
            return  # scikit-learn's error names the missing and new columns
        place = next(i for i, name in enumerate(names) if columns[i] != name)
        raise ValueError(
            "The feature names should match those that were passed during fit.\n"
            "Feature names must be in the same order as they were in fit.\n"
            f"Column {place} is {columns[place]!r}, and was {names[place]!r} in fit; pass "
            "X[list(clf.feature_names_in_)] of the classifier that is attacked."
        )

    def _as_fitted(self, rows: Any) -> Any:
        """Return `rows` as the estimator takes them without a warning: with names if it was fitted with names."""
        names = getattr(self._target_estimator, "feature_names_in_", None)
        if names is None:
            return np.asarray(rows)
        return rows if is_table(rows) else pd.DataFrame(rows, columns=self._feature_names())

    def _feature_names(self) -> Any:
        """Return the names of the features that the target estimator sees, or None."""
        fitted = getattr(self._target_estimator, "feature_names_in_", None)
        return fitted if self._table_threat is not None else getattr(self, "feature_names_in_", fitted)

    def _given_back(self, X: Any, rows: Any, values: Any) -> Any:
        """Return the array `values`, of the shape of `rows` (X as the estimator sees it), in the container of X."""
        template = X if is_table(X) else rows
        return like(template, np.asarray(values), column_names(rows))

    def _predicted(self, X: np.ndarray, y: Any = None) -> Tensor:
        """Return class indices of `y`, or those that the estimator predicts (with its feature names), shape (n,)."""
        return self._target_estimator.encode_target(self._as_fitted(X.astype(np.float32)), y)

    def _probability(self, X: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Return the target estimator's probability of the classes with the indices `target`, shape (n,)."""
        proba = self._target_estimator.predict_proba(self._as_fitted(X.astype(np.float32)))
        return np.asarray(proba, dtype=np.float64)[np.arange(len(X)), target]

    def resolved_threat(self) -> ThreatModel:
        """Return the threat model that `threat`, or the shorthand `epsilon` and `norm`, describes.

        Raises
        ------
        TypeError
            `threat` is a TableThreat, which is no set of features by itself.
        """
        return as_threat(self.threat, epsilon=self.epsilon, norm=self.norm)  # type: ignore[arg-type]

    @property
    def _table_threat(self) -> TableThreat | None:
        """The threat model where it is one of raw tables."""
        if not isinstance(self.threat, TableThreat):
            return None
        as_any_threat(self.threat, epsilon=self.epsilon, norm=self.norm)  # refuses what contradicts it
        return self.threat

    def _probabilities(self, points: list[Any]) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return probabilities of the class predicted at the first points, there and at the second points."""
        if not hasattr(self._target_estimator, "predict_proba"):
            return None, None
        before, after = (np.asarray(self._target_estimator.predict_proba(rows)) for rows in points)
        places = np.arange(len(before)), before.argmax(axis=1)
        return before[places], after[places]

    def set_params(self, **params: Any) -> Self:
        """Set parameters; a threat model replaces an earlier shorthand by `epsilon` and `norm`."""
        if params.get("threat") is not None:
            params = {"epsilon": None, "norm": None, **params}
        return super().set_params(**params)

    def _bind(self, X: np.ndarray) -> tuple[ThreatModel, PerturbationSet]:
        """Return the threat model without names, and its set for inputs like X."""
        threat = self.resolved_threat().resolve(X, getattr(self, "feature_names_in_", None))
        return threat, threat.bind(X, device=self._target_estimator.device_)

    def _frozen_module(self) -> nn.Module:
        """Copy the estimator's module, in evaluation mode, in float32 and without gradients of its weights."""
        return frozen(self._target_estimator.module_).float()

    def _rows_at_once(self, module: nn.Module, x: Tensor) -> int:
        return rows_at_once(module, x) if self.batch_size is None else int(self.batch_size)

    def _n_units(self, X: np.ndarray) -> int:
        """Return the number of units that the explanation of inputs of shape (n, *features) ranks."""
        return count_units(attribution_shape(self._target_estimator.explainer_, X.shape[1:]))

    def _tensor(self, X: np.ndarray) -> Tensor:
        return torch.tensor(X, dtype=torch.float32, device=self._target_estimator.device_)
