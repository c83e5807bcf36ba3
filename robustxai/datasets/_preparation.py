"""From a table with numbers, categories and gaps to the float32 features that a net takes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, StandardScaler

from robustxai._validation import check_choice

__all__ = ["make_preprocessor"]

#: The level that stands for "no value" in a column of categories.
MISSING = "missing"


def _as_text(X: pd.DataFrame) -> pd.DataFrame:
    """Any mixture of categories, strings, true/false and None, NaN or NA as plain text without gaps."""
    return X.astype(object).where(X.notna(), MISSING).astype(str)


def _as_float32(X: pd.DataFrame | np.ndarray) -> pd.DataFrame | np.ndarray:
    return X.astype(np.float32)


def make_preprocessor(X: pd.DataFrame, *, scale: str = "minmax") -> ColumnTransformer:
    """Make the unfitted scikit-learn transformer that fits the columns of a table.

    * Numbers: gaps become the median, then ``scale``. A column without any value becomes constant.
    * Categories, strings, true/false: one feature for each level, one altogether for a column with two levels. A gap
      is a level of its own, ``"missing"``: that a value is unknown often tells something, and the most frequent level
      would claim a fact that nobody recorded. A level that `fit` did not see gives zeros, with a warning from
      scikit-learn.

    The kind of a column is its dtype in `X`; codes such as 1, 2, 3 that stand for categories must be made categories
    first. Numbers come first in the output, then the levels, all float32, named ``column`` and ``column_level``;
    ``set_output(transform="pandas")`` keeps the names.

    Parameters
    ----------
    X : DataFrame of shape (n_samples, n_columns)
        Only names and dtypes are read; nothing is fitted.
    scale : {"minmax", "standard"}, default="minmax"
        ``"minmax"`` maps what `fit` saw to [0, 1] and clips what lies outside, so that all features, the levels
        included, have one range, as an attack's epsilon needs it. ``"standard"`` gives mean 0 and variance 1.

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
    >>> X = pd.DataFrame({"age": [20, 40, 30], "home": ["own", None, "rent"]})
    >>> make_preprocessor(X).set_output(transform="pandas").fit_transform(X)
       age  home_missing  home_own  home_rent
    0  0.0           0.0       1.0        0.0
    1  1.0           1.0       0.0        0.0
    2  0.5           0.0       0.0        1.0
    """
    check_choice("scale", scale, ("minmax", "standard"))
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
        raise TypeError(f"Neither numbers nor categories: {', '.join(others)}. Convert or drop these columns.")
    scaler = MinMaxScaler(clip=True) if scale == "minmax" else StandardScaler()
    to_numbers = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        scaler,
        FunctionTransformer(_as_float32, feature_names_out="one-to-one"),
    )
    to_levels = make_pipeline(
        FunctionTransformer(_as_text, feature_names_out="one-to-one"),
        OneHotEncoder(handle_unknown="ignore", drop="if_binary", sparse_output=False, dtype=np.float32),
    )
    return ColumnTransformer(
        [("numbers", to_numbers, numbers), ("levels", to_levels, levels)], verbose_feature_names_out=False
    )
