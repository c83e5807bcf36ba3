"""Preprocessing of tables with numbers, categories and gaps to float32 features."""

from __future__ import annotations

import warnings
from typing import Any, get_args

import numpy as np
import pandas as pd
from sklearn import compose
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, StandardScaler
from typing_extensions import Self

from robustxai._arguments import COUNT, Choice, Rows, checked
from robustxai._frames import as_pandas, like
from robustxai._validation import outside
from robustxai.datasets._gap_marks import GapMarks, is_marked_by
from robustxai.exceptions import DataWarning
from robustxai.protocols import Preprocessing

__all__ = ["as_float32", "as_text", "is_different_in_most_rows", "make_preprocessor"]

#: Level of missing values in a column of categories.
MISSING = "missing"


class ColumnTransformer(compose.ColumnTransformer):
    """scikit-learn's ColumnTransformer for tables of any kind, which it converts to pandas.

    It has scikit-learn's name, because make_pipeline calls a step by it. Its output is scikit-learn's, too.

    The steps see every column as pandas has it, so that a Pipeline may be fitted on tables of one kind and used on
    those of another.
    """

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """See ``ColumnTransformer``."""
        return super().fit(as_pandas(X), y, **params)

    def fit_transform(self, X: Any, y: Any = None, **params: Any) -> Any:
        """See ``ColumnTransformer``."""
        return super().fit_transform(as_pandas(X), y, **params)

    def transform(self, X: Any, **params: Any) -> Any:
        """See ``ColumnTransformer``."""
        return super().transform(as_pandas(X), **params)


def as_text(X: pd.DataFrame) -> pd.DataFrame:
    """Convert categories, strings, booleans and None, NaN or NA to text without gaps."""
    if all(isinstance(dtype, pd.StringDtype) for dtype in X.dtypes) and not X.isna().to_numpy().any():
        return X.astype(str)  # as most single rows are, for which the conversions below take longer than the network
    return X.astype(object).where(X.notna(), MISSING).astype(str)


def as_float32(X: Any) -> Any:
    """Convert a table or an array to float32, in the container that ``set_output`` selects."""
    return like(X, np.asarray(X, dtype=np.float32))


@checked(X=Rows(), scale=Choice(get_args(Preprocessing)), min_frequency=COUNT)
def make_preprocessor(X: Any, *, scale: Preprocessing = "minmax", min_frequency: int = 1) -> ColumnTransformer:
    """Make the unfitted scikit-learn transformer that fits the columns of a table.

    * Numbers: gaps become the median, then ``scale``. A column without any value becomes constant. That a number is
      missing often tells something, as it does of a category, so that a column with gaps has a second feature,
      ``column_missing``, 1 in the rows with a gap and 0 in the others. Columns that are missing in the same rows share
      one, and there is none where a column with two values tells the same already (Bank's ``pdays_known``).
    * Categories, strings, true/false: one feature for each level, one altogether for a column with two levels. A gap
      is a level of its own, ``"missing"``: the most frequent level would claim a fact that nobody recorded. A level
      that `fit` did not see gives zeros, with a warning from scikit-learn.
    * Text that is different in most rows, such as an identifier, or numbers that were read as text, becomes as many
      features as it has values: a `DataWarning` names the column.
    * Dates are refused: turn them into numbers first, as `load_table` does (days since 1970-01-01).

    The kind of a column is its dtype in `X`; codes such as 1, 2, 3 that stand for categories must be made categories
    first. Numbers come first in the output, then the marks of their gaps, then the levels, all float32, named
    ``column``, ``column_missing`` and ``column_level``; ``set_output(transform="pandas")`` (or
    "polars") keeps the names.

    Parameters
    ----------
    X : DataFrame of shape (n_samples, n_columns)
        Of pandas, polars, pyarrow or any other library that narwhals knows; what the transformer is given later may be
        of another one. Names and dtypes are read, and which columns tell the same as a gap; nothing is fitted.
    scale : {"minmax", "standard"}, default="minmax"
        ``"minmax"`` maps what `fit` saw to [0, 1] and clips what lies outside, so that all features, the levels
        included, have one range, as an attack's epsilon needs it. ``"standard"`` gives mean 0 and variance 1.
    min_frequency : int, default=1
        Categories of a column with fewer rows than this share one feature, and so do levels that `fit` did not see.
        By default every category has its own. With 20, what is learned of a single category rests on 20 rows or more.

    Returns
    -------
    ColumnTransformer

    Raises
    ------
    TypeError
        If `X` is no DataFrame, or has columns that are neither numbers nor categories, such as dates.

    Examples
    --------
    >>> import pandas as pd
    >>> from robustxai.datasets import make_preprocessor
    >>> X = pd.DataFrame({"age": [20, 40, None], "home": ["own", None, "rent"]})
    >>> make_preprocessor(X).set_output(transform="pandas").fit_transform(X)
       age  age_missing  home_missing  home_own  home_rent
    0  0.0          0.0           0.0       1.0        0.0
    1  1.0          0.0           1.0       0.0        0.0
    2  0.5          1.0           0.0       0.0        1.0
    """
    X = as_pandas(X)
    if not isinstance(X, pd.DataFrame):
        raise TypeError(f"X must be a DataFrame, whose dtypes tell the columns apart; got {type(X).__name__}.")
    numbers, levels, others = [], [], []
    for column, dtype in X.dtypes.items():
        if pd.api.types.is_bool_dtype(dtype) or isinstance(dtype, pd.CategoricalDtype):
            levels.append(column)
        elif pd.api.types.is_numeric_dtype(dtype):
            numbers.append(column)
        elif pd.api.types.is_string_dtype(dtype) or pd.api.types.is_object_dtype(dtype):
            levels.append(column)
        else:
            others.append(f"{column} ({dtype})")
    if others:
        raise TypeError(
            f"Neither numbers nor categories: {', '.join(others)}. Turn a date into a number, such as "
            "(X[column] - pd.Timestamp(0)) / pd.Timedelta(days=1), or leave these columns out."
        )
    for column in levels:
        if (n := is_different_in_most_rows(X[column])) is not None:
            warnings.warn(
                f"The column {column!r} holds {n} different values in {len(X)} rows and becomes about as many "
                "features; an identifier is better left out, and numbers or dates better converted before.",
                DataWarning,
                stacklevel=outside(),
            )
    scaler = MinMaxScaler(clip=True) if scale == "minmax" else StandardScaler()
    to_numbers = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        scaler,
        FunctionTransformer(as_float32, feature_names_out="one-to-one"),
    )
    to_levels = make_pipeline(
        FunctionTransformer(as_text, feature_names_out="one-to-one"),
        OneHotEncoder(
            handle_unknown="ignore" if min_frequency == 1 else "infrequent_if_exist",
            drop="if_binary",
            min_frequency=None if min_frequency == 1 else min_frequency,
            sparse_output=False,
            dtype=np.float32,
        ),
    )
    marks = {}
    pairs = [column for column in levels if X[column].nunique() == 2]
    for column in numbers:
        gaps = X[column].isna().to_numpy()
        if not any(is_marked_by(gaps, X[other]) for other in pairs):
            marks[column] = f"{column}_missing"
            while marks[column] in X.columns:
                marks[column] += "_"
    return ColumnTransformer(
        [("numbers", to_numbers, numbers), ("gaps", GapMarks(marks), list(marks)), ("levels", to_levels, levels)],
        verbose_feature_names_out=False,
    )


#: Columns with fewer different values are categories, however few the rows.
_FEW_LEVELS = 30


def is_different_in_most_rows(column: pd.Series) -> int | None:
    """Return the number of values of a column that is unique in more than half of the rows, as an identifier is."""
    n_values = column.nunique()
    return n_values if n_values > max(_FEW_LEVELS, column.notna().sum() / 2) else None
