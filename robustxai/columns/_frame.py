"""Tables of raw columns: their columns in the expected order, single rows, and tables of other kinds again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from robustxai._frames import as_pandas, is_table
from robustxai._validation import nearest_name
from robustxai.columns._feature import is_gap
from robustxai.columns._rule import as_dtype

__all__ = ["as_row", "in_kind_of", "raw_frame"]


def raw_frame(X: Any, columns: Sequence[Any], *, what: str = "X") -> pd.DataFrame:
    """Return a table of exactly these columns as a pandas DataFrame; an array is taken by position.

    Raises
    ------
    TypeError
        Neither a table nor an array of two axes.
    ValueError
        Columns that are missing, too many, or in another order.
    """
    if not is_table(X):
        array = np.asarray(X)
        if array.ndim != 2:
            raise TypeError(f"{what} must be a table of the columns {_some(columns)}, got {type(X).__name__}.")
        if array.shape[1] != len(columns):
            raise ValueError(f"{what} has {array.shape[1]} columns, and {len(columns)} are expected: {_some(columns)}.")
        return pd.DataFrame(array, columns=list(columns)).infer_objects()
    frame = as_pandas(X)
    _check_columns(list(frame.columns), columns, what)
    return frame


def as_row(row: Any, columns: Sequence[Any], dtypes: Mapping[Any, Any], *, what: str = "row") -> pd.DataFrame:
    """Return one row as a pandas DataFrame: of a table of one row, a Series, or a mapping of columns to values.

    A Series or mapping may have its columns in any order.
    """
    if isinstance(row, pd.Series):
        row = dict(row.items())
    if isinstance(row, Mapping):
        _check_columns(list(row), columns, what, ordered=False)
        return pd.DataFrame({name: as_dtype([row[name]], dtypes[name]) for name in columns})
    if not is_table(row):
        raise TypeError(
            f"{what} must be a table of one row, a Series or a dict of columns to values, got {type(row).__name__}."
        )
    frame = raw_frame(row, columns, what=what)
    if len(frame) != 1:
        raise ValueError(f"{what} has {len(frame)} rows; give one, for instance X.iloc[[0]].")
    return frame


def in_kind_of(X: Any, frame: pd.DataFrame) -> Any:
    """Return a pandas DataFrame in the kind and dtypes of the table `X`; of anything else, as it is."""
    if not is_table(X) or isinstance(X, pd.DataFrame):
        return frame
    wrapped = nw.from_native(X, eager_only=True)
    data = {
        name: [None if is_gap(value) else value for value in frame[name].astype(object).tolist()]
        for name in wrapped.columns
    }
    return nw.from_dict(data, schema=wrapped.schema, backend=wrapped.implementation).to_native()


def _check_columns(given: list[Any], wanted: Sequence[Any], what: str, *, ordered: bool = True) -> None:
    missing = [name for name in wanted if name not in given]
    extra = [name for name in given if name not in wanted]
    if missing:
        hint = nearest_name(str(missing[0]), map(str, extra)) if extra else ""
        raise ValueError(f"{what} lacks {_named(missing)}.{hint} It must have the columns {_some(wanted)}.")
    if extra:
        raise ValueError(
            f"{what} has {_named(extra)} too. Leave {'them' if len(extra) > 1 else 'it'} out: the columns must "
            f"be {_some(wanted)}."
        )
    if len(given) != len(wanted):
        twice = next(name for name in given if given.count(name) > 1)
        raise ValueError(f"{what} has the column {twice!r} twice. Give every column once.")
    if ordered and given != list(wanted):
        place = next(i for i, (one, other) in enumerate(zip(given, wanted)) if one != other)
        raise ValueError(
            f"{what} has its columns in another order: {given[place]!r} stands where {wanted[place]!r} belongs. Select "
            f"them in the order {_some(wanted)}."
        )


def _named(names: Sequence[Any]) -> str:
    return f"the column{'s' * (len(names) > 1)} {_some(names)}"


def _some(names: Sequence[Any]) -> str:
    shown = ", ".join(repr(name) for name in list(names)[:6])
    return shown + (f", ... ({len(names)} altogether)" if len(names) > 6 else "")
