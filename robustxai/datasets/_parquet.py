"""Parquet files of users, as the text that the reader of tables types and checks like that of any other file."""

from __future__ import annotations

import datetime
import decimal
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from robustxai._table_bytes import table_bytes
from robustxai.datasets._dialect import TextTable
from robustxai.exceptions import TableError

__all__ = ["is_parquet", "read_parquet"]

_MARK = b"PAR1"
#: Values that a field of a table can hold.
_PLAIN = (str, bool, int, float, np.generic, decimal.Decimal, datetime.date)


def is_parquet(path: Path) -> bool:
    """Return whether a file begins as Parquet files do."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MARK)) == _MARK
    except OSError:  # whoever reads it says why it cannot be read
        return False


def read_parquet(path: Path) -> TextTable:
    """Return the columns of a Parquet file; those of texts stay texts, also where all of them look like numbers.

    Raises
    ------
    TableError
        A damaged file, one without rows, or a column whose entries are no single values.
    ImportError
        pyarrow is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise ImportError(
            f"{path} is a Parquet file, and pyarrow, which reads them, is not installed: pip install "
            "'robustxai[parquet]', or write the table as CSV."
        ) from None
    try:
        frame = pd.read_parquet(io.BytesIO(table_bytes(path)), engine="pyarrow")
    except Exception as error:  # of pyarrow, which has many
        reason = str(error).partition("\n")[0][:200]
        raise TableError(
            f"{path} cannot be read as a table: it is a Parquet file that was cut or altered ({reason})."
        ) from error
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    if not len(frame):
        raise TableError(f"{path} has no rows, so that there is nothing to learn from. Give a file with rows.")
    names = [str(name) for name in frame.columns]
    if len(names) < 2:
        raise TableError(f"{path} has {len(names)} column{'s' * (len(names) != 1)}, and a label alone is no data.")
    columns, words = [], set()
    for place, name in enumerate(names):
        values = frame.iloc[:, place]
        columns.append(_texts(path, name, values))
        if all(isinstance(value, str) for value in values.dropna().unique()):
            words.add(name)
    return TextTable(names, columns, list(range(1, len(frame) + 1)), ",", frozenset(words))


def _texts(path: Path, name: str, values: pd.Series) -> list[str]:
    """Return the entries as a program writes them, "" for a gap."""
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return [_instant(value) for value in values]
    entries = values.astype(object).where(values.notna(), None).tolist()
    strange = next((value for value in entries if value is not None and not isinstance(value, _PLAIN)), None)
    if strange is not None:
        raise TableError(
            f"{path}: the column {name!r} holds {type(strange).__name__} entries, which are no single values. Leave it "
            f"out (drop=[{name!r}], --drop {name}), or turn it into columns of numbers or texts before."
        )
    return ["" if value is None else _instant(value) if _has_time(value) else str(value) for value in entries]


def _has_time(value: Any) -> bool:
    return isinstance(value, datetime.datetime)


def _instant(value: Any) -> str:
    """Return a date, with its time of day where it has one."""
    if pd.isna(value):
        return ""
    stamp = pd.Timestamp(value)
    return str(stamp.date()) if stamp == stamp.normalize() and stamp.tz is None else stamp.isoformat(sep=" ")
