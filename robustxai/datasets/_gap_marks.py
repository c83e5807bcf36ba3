"""Indicators of missing numbers as features."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

__all__ = ["GapMarks", "is_marked_by"]


def _gaps(X: Any) -> np.ndarray:
    """Return the mask of missing values, (n_samples, n_columns)."""
    return np.asarray(X.isna() if hasattr(X, "isna") else pd.isna(np.asarray(X)), dtype=bool)


class GapMarks(TransformerMixin, BaseEstimator):
    """One feature, 1 where a number is missing and 0 elsewhere, for each column that has gaps in some rows of `fit`.

    Columns that are missing in the same rows share one feature, that of the first: copies of a feature would share
    its attribution, and which of them ranks among the top k would be chance.

    Parameters
    ----------
    names : dict of hashable to str
        Column to the name of its feature.
    """

    def __init__(self, names: dict[Any, str]) -> None:
        self.names = names

    def fit(self, X: Any, y: Any = None) -> GapMarks:
        """Find the columns with gaps."""
        gaps = _gaps(X)
        partly = np.flatnonzero(gaps.any(axis=0) & ~gaps.all(axis=0))
        first = {gaps[:, place].tobytes(): place for place in reversed(partly)}
        self.places_ = np.array(sorted(first.values()), dtype=int)
        self.n_features_in_ = gaps.shape[1]
        if hasattr(X, "columns"):
            self.feature_names_in_ = np.asarray(list(X.columns), dtype=object)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the marks, float32 of shape (n_samples, n_columns with gaps)."""
        check_is_fitted(self)
        return _gaps(X)[:, self.places_].astype(np.float32)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the marks."""
        check_is_fitted(self)
        names = list(self.names.values())
        return np.array([names[place] for place in self.places_], dtype=object)


#: Number of rows with and without a gap from which agreement with another column is not due to chance.
_EVIDENCE = 10


def is_marked_by(gaps: np.ndarray, column: pd.Series) -> bool:
    """Return whether a column with two values, such as ``pdays_known``, already marks the rows with a gap."""
    if min(gaps.sum(), len(gaps) - gaps.sum()) < _EVIDENCE:
        return False
    codes, values = pd.factorize(column)
    return len(values) == 2 and not (codes < 0).any() and bool(np.array_equal(codes == codes[gaps][0], gaps))
