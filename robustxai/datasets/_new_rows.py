"""Rows of a file with the columns of a table that is known: what a fitted model explains."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from robustxai._validation import nearest_name
from robustxai.datasets._dialect import TextTable
from robustxai.datasets._schema import ColumnSchema, TableSchema
from robustxai.datasets._table import MissingMarks, by_column, text_table
from robustxai.datasets._user_columns import Seen, is_gap_mark, read_amounts, typed
from robustxai.exceptions import TableError

__all__ = ["NewRows", "Unknown", "read_new_rows"]

#: What becomes of a category that the table did not have.
Unknown: TypeAlias = Literal["error", "missing"]


@dataclass(frozen=True)
class NewRows:
    """Rows of a file.

    Parameters
    ----------
    path : Path
        The file.
    frame : DataFrame of shape (n, n_columns)
        The known columns, in their order.
    table : TextTable
        All columns of the file, as text.
    notes : tuple of str
        What was seen.
    """

    path: Path
    frame: pd.DataFrame
    table: TextTable
    notes: tuple[str, ...]

    def labels(self, name: str, classes: Sequence[Any], na_values: MissingMarks = ()) -> np.ndarray:
        """Return the labels in one of the columns of the file, None where there is none.

        Parameters
        ----------
        name : str
            The column.
        classes : sequence
            Labels that may occur.
        na_values : scalar, sequence or mapping
            As of :func:`load_table`.

        Raises
        ------
        TableError
            No such column, or a label that is none of the classes.
        """
        table = self.table
        if name not in table.names:
            raise TableError(f"{self.path} has no column {name!r}.{nearest_name(name, table.names)}")
        one = TextTable([name], [table.columns[table.names.index(name)]], table.lines, table.sep, table.words)
        column = typed(self.path, one, name, by_column(na_values, table.names), Seen())[name]
        known = {str(label): label for label in classes}
        labels = np.array([None if pd.isna(value) else known.get(_plain(value), _STRANGE) for value in column], object)
        strange = np.flatnonzero([label is _STRANGE for label in labels])
        if len(strange):
            row = int(strange[0])
            raise TableError(
                f"{self.path}: the label {_plain(column.iloc[row])!r} in row {row + 1} of {name!r} is none of the "
                f"classes of the model: {', '.join(map(repr, known))}."
            )
        return labels


_STRANGE = object()


def _plain(value: Any) -> str:
    """Return a label as text, without the fraction that gaps give to whole numbers."""
    is_whole = isinstance(value, (float, np.floating)) and value == round(value)
    return str(int(value)) if is_whole else str(value)


def read_new_rows(
    path: Path,
    schema: TableSchema,
    *,
    na_values: MissingMarks = (),
    sep: str | None = None,
    encoding: str | None = None,
    unknown: Unknown = "error",
) -> NewRows:
    """Read the columns of a known table from a file; other columns, such as the label, are left alone.

    Numbers, dates and gaps are read as by :func:`load_table`, and categories that differ in capitals or in blanks from
    one that is known are taken as it.

    Parameters
    ----------
    path : Path
        Text or Parquet.
    schema : TableSchema
        The columns.
    na_values, sep, encoding
        As of :func:`load_table`.
    unknown : {"error", "missing"}, default="error"
        What becomes of a category that the table did not have.

    Raises
    ------
    TableError
        A column that is missing, something else in a column of numbers, an unknown category; the message names the
        place in the file.
    """
    notes: list[str] = []
    table = text_table(path, sep, encoding, notes.append)
    absent = [name for name in schema.names if name not in table.names]
    if absent:
        others = [name for name in table.names if name not in schema.names]
        near = difflib.get_close_matches(absent[0], others, n=1, cutoff=0.6)
        hint = f" Is it the column {near[0]!r}? Rename it." if near else f" It has {', '.join(table.names[:12])}."
        raise TableError(
            f"{path} has no column {absent[0]!r}, which the model needs"
            + (f" (nor {', '.join(map(repr, absent[1:6]))})" if absent[1:] else "")
            + f".{hint}"
        )
    marks = by_column(na_values, table.names)
    for name in filter(None, marks):
        if name not in table.names:
            raise TableError(f"{path} has no column {name!r}.{nearest_name(name, table.names)}")
    seen, columns = Seen(), {}
    for column in schema.columns:
        texts = table.columns[table.names.index(column.name)]
        own = [*marks.get(None, ()), *marks.get(column.name, ())]
        if column.kind == "number":
            columns[column.name] = read_amounts(path, table, column.name, own, seen)
        else:
            columns[column.name] = _categories(path, column, texts, table.lines, own, unknown, seen)
    seen.tell(notes.append)
    return NewRows(path, pd.DataFrame(columns), table, tuple(notes))


def _categories(
    path: Path,
    column: ColumnSchema,
    texts: list[str],
    lines: list[int],
    na_values: list[str],
    unknown: Unknown,
    seen: Seen,
) -> pd.Categorical:
    known: dict[str, Any] = {_folded(str(level)): level for level in column.levels}
    known |= {str(level): level for level in column.levels}
    values: list[Any] = []
    strange: dict[str, int] = {}
    for row, text in enumerate(texts):
        word = text.strip()
        value = known.get(word, known.get(_folded(word)))
        if value is None and not is_gap_mark(word, na_values):
            if word not in strange and unknown == "error":
                levels = [str(level) for level in column.levels]
                near = difflib.get_close_matches(word, levels, n=1, cutoff=0.5)
                hint = f" Did you mean {near[0]!r}?" if near else f" It saw {', '.join(map(repr, levels[:8]))}."
                raise TableError(
                    f"{path}: {word[:60]!r} in row {row + 1} (line {lines[row]}) of {column.name!r} is a category that "
                    f"the model never saw.{hint} Correct it, leave the field empty, or read such fields as missing "
                    "(--unknown missing)."
                )
            strange[word] = strange.get(word, 0) + 1
        values.append(value)
    if strange:
        shown = ", ".join(f"{word[:40]!r} ({n} row{'s' * (n != 1)})" for word, n in list(strange.items())[:3])
        seen.add(
            "Categories that the model never saw are read as missing in {columns}.",
            column.name,
            f" ({shown}{' and more' if len(strange) > 3 else ''})",
        )
    return pd.Categorical(values, categories=list(column.levels))


def _folded(word: str) -> str:
    return " ".join(word.split()).casefold()
