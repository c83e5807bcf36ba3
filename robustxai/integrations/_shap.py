"""Contributions in the form of SHAP, for its plots."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from robustxai._arguments import COUNT, FLAG, POSITIVE, Choice, checked, optional
from robustxai._models import GRADIENTS, named_rows, unwrap
from robustxai._switches import own_switches
from robustxai.columns import column_map
from robustxai.explainers import ColumnContributions, log_odds
from robustxai.integrations._extra import extra
from robustxai.protocols import ContributionOutput, Estimator, ExplainableClassifier
from robustxai.reasons import ExplainedTable

__all__ = ["to_shap"]

#: Most points of the midpoint rule.
_MOST = 4096
_WHAT = "to_shap"


@dataclass(frozen=True, eq=False)
class _Explained:
    """Rows and how they are explained.

    Attributes
    ----------
    model : fitted classifier
    x, baseline : ndarray of shape (n, n_features) and (n_features,)
    groups : list of list of int
        Features of every unit.
    names : list of str
        Of the units.
    shown : DataFrame of shape (n, n_units)
        Values for people.
    """

    model: ExplainableClassifier
    x: np.ndarray
    baseline: np.ndarray
    groups: list[list[int]]
    names: list[str]
    shown: pd.DataFrame


@checked(
    by_column=optional(FLAG),
    output=Choice(("log_odds", "probability")),
    n_points=COUNT,
    tolerance=POSITIVE,
)
def to_shap(
    estimator: Estimator,
    X: Any,
    y: Any = None,
    *,
    by_column: bool | None = None,
    baseline: Any = None,
    output: ContributionOutput = "log_odds",
    n_points: int = 16,
    tolerance: float = 1e-3,
) -> Any:
    r"""Return contributions as a ``shap.Explanation``, which all plots of SHAP take.

    .. math:: f_c(b) + \sum_j C_j(x) = f_c(x)

    with the contributions of :class:`~robustxai.explainers.ColumnContributions` by integrated gradients. They are no
    Shapley values, unless the score is additive in the units; they add up like these, which is what the plots need. The
    sum is checked, and the number of points is doubled until it is met. Needs the extra ``shap``.

    Parameters
    ----------
    estimator : fitted classifier, Pipeline or search
        A classifier of the library, or a linear model or ``MLPClassifier`` of scikit-learn.
    X : DataFrame or array of shape (n, n_columns)
        Rows as `estimator` takes them.
    y : label, or array-like of shape (n,), optional
        Explained classes. By default the second of two classes, in every row, as in SHAP, so that rows can be compared;
        the predicted class of each row if there are more.
    by_column : bool, optional
        Whether the units are the columns of X, or the features that the last step of a Pipeline sees. By default the
        columns where X is a DataFrame and the Pipeline does not mix its columns.
    baseline : row or rows, optional
        b. By default the medians and modes of the training data. For columns raw rows, as in
        :func:`~robustxai.reasons.explain_columns`; for features an array. Of several rows the mean is taken.
    output : {"log_odds", "probability"}, default="log_odds"
        The score f.
    n_points : int, default=16
        Points of the midpoint rule, to begin with.
    tolerance : float, default=1e-3
        Largest difference between the two sides of the equation in any row, in units of the score.

    Returns
    -------
    shap.Explanation
        ``values`` of shape (n, n_units), ``base_values`` of shape (n,), ``data`` (numbers; categories as codes, which
        color the points of a plot), ``display_data`` (values as in X) and ``feature_names``.

    Raises
    ------
    ImportError
        SHAP is not installed.
    TypeError, ValueError, NotFittedError
        As :func:`~robustxai.reasons.explain_columns`; a sum that is not met with 4,096 points.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from sklearn.pipeline import make_pipeline
    >>> from robustxai import SoftplusClassifier
    >>> from robustxai.datasets import make_preprocessor
    >>> from robustxai.integrations import to_shap
    >>> X = pd.DataFrame({"age": [20, 40, 60, 30] * 20, "home": ["own", "rent", "own", "rent"] * 20})
    >>> pipe = make_pipeline(make_preprocessor(X), SoftplusClassifier(max_epochs=5)).fit(X, X["age"] > 35)
    >>> explanation = to_shap(pipe, X[:10])  # doctest: +SKIP
    >>> shap.plots.beeswarm(explanation)  # doctest: +SKIP
    """
    shap = extra("shap", "shap", _WHAT)
    units = _by_column(estimator, X, baseline, by_column) or _by_feature(estimator, X, baseline)
    model = units.model
    with own_switches():
        if y is None and len(model.classes_) == 2:
            y = model.classes_[1]
        target = model.encode_target(_named(model, units.x), y).cpu().numpy()
        labels = np.asarray(model.classes_)[target]
        base = _scores(model, np.repeat(units.baseline[None], len(target), axis=0), target, output)
        change = _scores(model, units.x, target, output) - base
        explainer = ColumnContributions(
            "integrated_gradients", output, n_points, units.baseline, units.groups, units.names
        )
        while True:
            values = np.asarray(
                model.explain(_named(model, units.x), labels, explainer=explainer)  # type: ignore[call-arg]
            )
            missed = float(np.abs(values.sum(axis=1) - change).max(initial=0.0))
            if missed <= tolerance:
                break
            if explainer.n_points >= _MOST:
                raise ValueError(
                    f"The contributions miss the score by {missed:.2g} with {explainer.n_points} points: pass a "
                    "larger tolerance. A network of softplus units is smoother than one of ReLU."
                )
            explainer = replace(explainer, n_points=2 * explainer.n_points)
    data = np.column_stack([_numbers(units.shown.iloc[:, j]) for j in range(len(units.names))])
    return shap.Explanation(
        values=values, base_values=base, data=data, display_data=units.shown.to_numpy(dtype=object),
        feature_names=units.names,
    )  # fmt: skip


def _by_column(estimator: Any, X: Any, baseline: Any, by_column: bool | None) -> _Explained | None:
    if by_column is False:
        return None
    if by_column is None:
        _, before = unwrap(estimator, needs=("explain",), what=_WHAT)
        if not before or not isinstance(X, pd.DataFrame):
            return None
        try:
            column_map(estimator)
        except ValueError:  # a step that mixes columns
            return None
    table = ExplainedTable.of(estimator, X, _WHAT)
    names = [str(name) for name in table.columns.columns]
    groups = [group.tolist() for group in table.columns.groups]
    shown = table.frame[list(table.columns.columns)]
    return _Explained(table.model, table.x, table.baseline(baseline), groups, names, shown)


def _by_feature(estimator: Any, X: Any, baseline: Any) -> _Explained:
    needs = ("explain", "encode_target", "predict_proba", *GRADIENTS)
    model, before = unwrap(estimator, needs=needs, what=_WHAT)
    rows = named_rows(X, before)
    x = np.asarray(rows, dtype=np.float64)
    if x.ndim != 2:
        raise ValueError(f"{_WHAT} is about tables, with one row per sample; X has the shape {x.shape}.")
    names = [str(name) for name in getattr(rows, "columns", [f"x{j}" for j in range(x.shape[1])])]
    if baseline is not None:
        b = np.atleast_2d(np.asarray(baseline, dtype=np.float64)).mean(axis=0)
    elif getattr(model, "table_summary_", None) is not None:
        b = np.asarray(model.table_summary_.baseline, dtype=np.float64)  # type: ignore[attr-defined]
    else:
        raise ValueError(
            f"{type(model).__name__} has kept no typical row of its training data. Pass baseline=, an array of "
            f"{x.shape[1]} features or rows of which the mean is taken."
        )
    if b.shape != x.shape[1:]:
        raise ValueError(f"baseline has the shape {b.shape}; give {x.shape[1]} features.")
    return _Explained(model, x, b, [[j] for j in range(x.shape[1])], names, pd.DataFrame(x, columns=names))


def _named(model: Any, x: np.ndarray) -> Any:
    names = getattr(model, "feature_names_in_", None)
    return x if names is None else pd.DataFrame(x, columns=names)


def _scores(model: Any, x: np.ndarray, target: np.ndarray, output: str) -> np.ndarray:
    """Return the explained score of class `target` at every row, in float64."""
    module = copy.deepcopy(model.module_).double().cpu()
    with torch.no_grad():
        margin = log_odds(module(torch.tensor(x)), torch.from_numpy(target))
    return np.asarray((margin if output == "log_odds" else margin.sigmoid()).numpy())


def _numbers(column: pd.Series) -> np.ndarray:
    """Return the values of a column as numbers; categories as codes, gaps as NaN."""
    if pd.api.types.is_numeric_dtype(column) and not isinstance(column.dtype, pd.CategoricalDtype):
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    codes = pd.factorize(column, sort=False)[0].astype(np.float64)
    return np.where(codes < 0, np.nan, codes)
