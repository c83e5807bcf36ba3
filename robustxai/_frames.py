"""Tables with column names: detection, conversion to arrays, and tables made of arrays.

A *table* is a pandas DataFrame or any other eager DataFrame that narwhals knows (polars, pyarrow, Modin, cuDF). Inside
the library a table is a pandas DataFrame or an array. What comes back to the user is of the kind that the user gave.

Where two tables of the same samples meet (two explanations, inputs and attacked inputs, inputs and an explanation), the
second is brought into the order of the first by its labels (:func:`aligned`); an array has no labels and is taken by
position.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

__all__ = ["aligned", "as_pandas", "column_names", "in_numbers", "is_table", "like", "stacked", "take"]

#: Largest number of labels in an error message.
_N_NAMED = 5


def is_table(X: Any) -> bool:
    """Return whether `X` is a DataFrame of any kind.

    Raises
    ------
    TypeError
        A table that is lazy, whose rows do not exist yet.
    """
    if isinstance(X, (np.ndarray, list, tuple)):
        return False
    if isinstance(X, pd.DataFrame):
        return True
    wrapped = nw.from_native(X, pass_through=True)
    if isinstance(wrapped, nw.LazyFrame):
        raise TypeError(
            f"{type(X).__module__.partition('.')[0]}'s {type(X).__name__} is a lazy table without rows; "
            "collect it first, for instance by X.collect()."
        )
    return isinstance(wrapped, nw.DataFrame)


def column_names(X: Any) -> list[Any] | None:
    """Return the column labels of a table, None for any other object."""
    if not is_table(X):
        return None
    return list(X.columns) if isinstance(X, pd.DataFrame) else list(nw.from_native(X, eager_only=True).columns)


def as_pandas(X: Any) -> Any:
    """Return `X` as a pandas DataFrame if it is another kind of table, else unchanged.

    Gaps become NaN in columns of numbers and None in all others; categorical columns stay categorical.
    """
    if isinstance(X, pd.DataFrame) or not is_table(X):
        return X
    frame = nw.from_native(X, eager_only=True)
    return pd.DataFrame({name: _column(frame[name]) for name in frame.columns}, index=pd.RangeIndex(len(frame)))


def _column(column: Any) -> Any:
    dtype = column.dtype
    if isinstance(dtype, (nw.Categorical, nw.Enum)):
        return pd.Categorical(column.cast(nw.String).to_numpy())
    if isinstance(dtype, nw.Decimal):
        column = column.cast(nw.Float64)
    return column.to_numpy()


def like(X: Any, values: np.ndarray, names: Sequence[Any] | None = None) -> Any:
    """Return the array `values` in the kind of container of `X`.

    Parameters
    ----------
    X : array-like or table
        Lends its kind, the names of its columns and, if `values` has as many rows, its pandas index.
    values : ndarray of shape (n_samples, n_features), of any shape where X is no table
        What is returned.
    names : sequence of str, optional
        Names of the columns instead of those of `X`.
    """
    if not is_table(X):
        return values
    columns = column_names(X) if names is None else list(names)
    if isinstance(X, pd.DataFrame):
        return pd.DataFrame(values, index=X.index if len(X) == len(values) else None, columns=columns)
    implementation = nw.from_native(X, eager_only=True).implementation
    return nw.from_numpy(np.ascontiguousarray(values), schema=columns, backend=implementation).to_native()


def take(X: Any, rows: Any) -> Any:
    """Return rows of an array or a table, by position."""
    if not is_table(X):
        return np.asarray(X)[rows]
    if isinstance(X, pd.DataFrame):
        return X.iloc[rows]
    frame = nw.from_native(X, eager_only=True)
    return frame[np.arange(len(frame))[rows].tolist(), :].to_native()


def stacked(tables: Sequence[Any]) -> Any:
    """Return the rows of several tables of one kind as one table."""
    if isinstance(tables[0], pd.DataFrame):
        return pd.concat(list(tables))
    return nw.concat([nw.from_native(table, eager_only=True) for table in tables]).to_native()


def aligned(
    first: Any, second: Any, names: tuple[str, str] = ("attribution", "attribution_adv"), *, by_rows: bool = True
) -> Any:
    """Return `second` in the order of `first`, by their labels.

    Columns are brought into order by their names. Two pandas objects with the same row labels in another order are
    brought into order by these. Labels that only one of them has are refused, because no rule pairs them. An object
    without labels (an array, a list, a tensor) is taken by position.

    Parameters
    ----------
    first, second : array-like or table
        Of the same samples.
    names : (str, str)
        How the caller's user calls the two, for messages.
    by_rows : bool, default=True
        Whether row labels are compared; False where `second` was made of `first` row by row.

    Raises
    ------
    ValueError
        Columns or row labels that differ, by name, and what to do about it.
    """
    columns, other_columns = column_names(first), column_names(second)
    if columns is not None and other_columns is not None and columns != other_columns:
        _check_same_labels(columns, other_columns, "columns", names)
        if isinstance(second, pd.DataFrame):
            second = second[columns]
        else:
            second = nw.from_native(second, eager_only=True).select(columns).to_native()
    labeled = (pd.DataFrame, pd.Series)
    both = isinstance(first, labeled) and isinstance(second, labeled)
    if by_rows and both and not first.index.equals(second.index):
        _check_same_labels(first.index, second.index, "row labels", names)
        second = second.loc[first.index]
    return second


def _check_same_labels(labels: Iterable[Any], others: Iterable[Any], what: str, names: tuple[str, str]) -> None:
    """Raise unless `others` is a permutation of `labels`."""
    labels, others = list(labels), list(others)
    known, given = set(labels), set(others)
    if len(known) == len(labels) and len(given) == len(others) and known == given:
        return
    cure = (
        "Select the same columns in both, or pass arrays to compare by position."
        if what == "columns"
        else "Select the same rows in both, or call reset_index(drop=True) on both to compare by position."
    )
    only = [
        f"only {name} has {_named(label for label in own if label not in there)}"
        for name, own, there in ((names[0], labels, given), (names[1], others, known))
        if any(label not in there for label in own)
    ]
    reason = "; ".join(only) or f"some occur more than once: {_named(x for x in labels if labels.count(x) > 1)}"
    raise ValueError(f"{names[0]} and {names[1]} have different {what} ({reason}). {cure}")


def _named(labels: Iterable[Any]) -> str:
    unique = list(dict.fromkeys(labels))
    shown = ", ".join(repr(label) for label in unique[:_N_NAMED])
    return shown + (f" and {len(unique) - _N_NAMED} more" if len(unique) > _N_NAMED else "")


@contextmanager
def in_numbers(X: Any, name: str = "X") -> Iterator[None]:
    """Context that converts `X` to numbers; its errors name the entries that are not numbers, with their columns.

    Raises
    ------
    ValueError
        Text, dates or objects where numbers belong.
    """
    try:
        yield
    except ValueError as error:
        if "could not convert" not in str(error) and "inhomogeneous" not in str(error):
            raise
        columns = [column for column, kind in X.dtypes.items() if not _is_number(kind)] if hasattr(X, "dtypes") else []
        where = f" in the column {columns[0]!r}" if columns else ""
        raise ValueError(
            f"{name} holds something else than numbers{where} ({error}). robustxai.datasets.make_preprocessor makes "
            "numbers of the columns of a table."
        ) from error


def _is_number(kind: Any) -> bool:
    return pd.api.types.is_numeric_dtype(kind)
