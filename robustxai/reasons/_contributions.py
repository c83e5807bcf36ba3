"""Contributions of the columns of a raw table."""

from __future__ import annotations

import copy
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch

from robustxai._arguments import COUNT, Choice, checked
from robustxai._frames import in_numbers
from robustxai._switches import own_switches
from robustxai.explainers import log_odds
from robustxai.protocols import ContributionMethod, ContributionOutput, Estimator
from robustxai.reasons._explained import ExplainedTable

__all__ = ["METHOD", "explain_columns", "seen"]

#: Constraint on `method`.
METHOD = Choice(get_args(ContributionMethod))
#: Constraint on `output`.
OUTPUT = Choice(("log_odds", "probability"))


@checked(method=METHOD, output=OUTPUT, n_points=COUNT)
def explain_columns(
    estimator: Estimator,
    X: Any,
    y: Any = None,
    *,
    baseline: Any = None,
    method: ContributionMethod = "integrated_gradients",
    output: ContributionOutput = "log_odds",
    n_points: int = 16,
) -> pd.DataFrame:
    r"""Explain decisions by the contributions of the raw columns of a table.

    .. math:: C_j(r) = \sum_{i \in G_j} \bigl(T(r)_i - T(b)_i\bigr)\, \bar g_i, \qquad
        \sum_j C_j(r) = f_c(T(r)) - f_c(T(b))

    with T the steps before the classifier, b the baseline row and :math:`\bar g` as in
    :class:`~robustxai.explainers.ColumnContributions`. The sum is exact up to the error of the midpoint rule, for
    integrated gradients.

    Parameters
    ----------
    estimator : fitted Pipeline, classifier or search
        Its steps must not mix columns; :func:`~robustxai.columns.column_map` says which do.
    X : DataFrame of shape (n, n_columns)
        Raw rows, as the pipeline takes them.
    y : array-like of shape (n,) or a single label, optional
        Explain these classes instead of the predicted ones.
    baseline : raw row (dict, Series, table of one row) or table of raw rows, optional
        b. By default the medians and modes of the training data. Of a table, such as the accepted applicants, the mean
        of the features is taken.
    method : {"integrated_gradients", "gradient_times_input"}, default="integrated_gradients"
        The second takes one gradient and does not add up.
    output : {"log_odds", "probability"}, default="log_odds"
        The explained score f.
    n_points : int, default=16
        Points of the midpoint rule.

    Returns
    -------
    DataFrame of shape (n, n_columns)
        Contributions in units of the score, one column per raw column that the pipeline uses, with the index of X. Its
        ``attrs`` hold "residual", the largest absolute difference between the sum of a row and the difference of its
        scores.

    Raises
    ------
    TypeError, ValueError, NotFittedError
        A pipeline that is not fitted or mixes columns, rows that are no table, columns that are missing, too many or in
        another order, a baseline that is no row of the table.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.pipeline import make_pipeline
    >>> from robustxai import SoftplusClassifier
    >>> from robustxai.datasets import make_preprocessor
    >>> from robustxai.reasons import explain_columns
    >>> X = pd.DataFrame({"age": [20, 40, 60, 30] * 20, "home": ["own", "rent", "own", "rent"] * 20})
    >>> pipe = make_pipeline(make_preprocessor(X), SoftplusClassifier(max_epochs=20)).fit(X, X["age"] > 35)
    >>> explain_columns(pipe, X[:2], y=True, baseline={"age": 20, "home": "own"}).round(1).columns.tolist()
    ['age', 'home']
    """
    table = ExplainedTable.of(estimator, X, "explain_columns")
    b = table.baseline(baseline)
    explainer = table.explainer(method, output, n_points, b)
    names = list(table.columns.columns)
    if not len(table.frame):
        return pd.DataFrame(np.empty((0, len(names))), index=table.frame.index, columns=names)
    with own_switches(), in_numbers(table.x):
        rows = seen(table, table.x)
        target = table.model.encode_target(rows, y).cpu().numpy()
        labels = table.model.classes_[target]
        values = np.asarray(table.model.explain(rows, labels, explainer=explainer))  # type: ignore[call-arg]
        difference = _scores(table, table.x, target, output)
        difference -= _scores(table, np.repeat(b[None], len(target), axis=0), target, output)
    frame = pd.DataFrame(values, index=table.frame.index, columns=names)
    frame.attrs["residual"] = float(np.abs(values.sum(axis=1) - difference).max())
    return frame


def seen(table: ExplainedTable, x: np.ndarray) -> Any:
    """Return features as the classifier takes them, with the names of its fit."""
    names = getattr(table.model, "feature_names_in_", None)
    return x if names is None else pd.DataFrame(x, columns=names)


def _scores(table: ExplainedTable, x: np.ndarray, target: np.ndarray, output: str) -> np.ndarray:
    """Return the explained score of class `target` at every row of x, in float64."""
    module = copy.deepcopy(table.model.module_).double().cpu()
    with torch.no_grad():
        margin = log_odds(module(torch.from_numpy(x)), torch.from_numpy(target))
    return (margin if output == "log_odds" else margin.sigmoid()).numpy()
