"""Loader of a user's text file, with the result of the other loaders."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from robustxai._arguments import FLAG, Each, Either, Has, Instance, Number, PathName, Text, checked, optional
from robustxai._validation import nearest_name, outside
from robustxai.datasets._base import PathLike
from robustxai.datasets._dialect import TextTable, read_rows
from robustxai.datasets._file_text import Say, read_text
from robustxai.datasets._leaks import leaking_columns
from robustxai.datasets._parquet import is_parquet, read_parquet
from robustxai.datasets._table_source import as_bunch, as_categories
from robustxai.datasets._user_columns import Seen, typed
from robustxai.exceptions import DataWarning, TableError

__all__ = ["by_column", "load_table", "text_table"]

#: Integers or texts with more different values, and fewer than ten rows each, are no classes.
_MANY_CLASSES = 20
#: Common names of label columns.
_LABEL_NAMES = re.compile(
    r"(?i)(true_?|is_?)?(label|labels|target|class|classes|y|outcome|response|diagnosis|churn(ed)?|default(ed)?|fraud|"
    r"survived|species|approved|two_year_recid|risk_?(performance|flag)|income_?bracket)"
)

#: Constraint on `drop`.
_NAMES = Either((Text(), Each(Text())), words="the name of a column, or a sequence of names")
#: Constraint on `na_values`.
_MARK = Either((Instance(str), Number()))
MissingMarks: TypeAlias = str | float | Iterable[str | float] | Mapping[str, str | float | Iterable[str | float]]
_MARKS = Either(
    (_MARK, Each(_MARK), Has(("items",))), words="a text, a number, a sequence of them, or a dict of them by column"
)


@checked(
    path=PathName(),
    target=optional(Text()),
    drop=_NAMES,
    na_values=_MARKS,
    sep=optional(Text()),
    encoding=optional(Text()),
    drop_unlabeled=FLAG,
    return_X_y=FLAG,
)
def load_table(
    path: PathLike,
    target: str | None = None,
    *,
    drop: str | Sequence[str] = (),
    na_values: MissingMarks = (),
    sep: str | None = None,
    encoding: str | None = None,
    drop_unlabeled: bool = False,
    return_X_y: bool = False,
) -> Any:
    r"""Load a table with a column that holds the class label.

    The file is text, or Parquet, with a row for each sample: separator, encoding, header, numbers as people write them
    (``1,234.50``, ``$5``, ``12%``, decimal commas), dates (as days since 1970-01-01), gaps and an index are found by
    looking. What is seen beyond a plain comma-separated UTF-8 file is said, by a `DataWarning` for each kind that names
    the argument, and the option of the command line, which decides otherwise. What cannot be read safely is refused:
    rows that do not fit the header, numbers with something else among them, infinite numbers, a text of its own in most
    rows (an identifier), a label that is missing, constant or no class. The file is never changed.

    Parameters
    ----------
    path : path-like
        The file; ``.gz``, ``.bz2``, ``.xz`` and ``.zip`` are decompressed. Parquet (extra ``parquet``) is recognized by
        its content; `sep` and `encoding` have no meaning then, and texts of digits are categories.
    target : str, default=None
        Name of the label's column; the last column if None, as most files have it. Columns of a file without a header
        are called ``column_1``, ``column_2``, ...
    drop : str or sequence of str, default=()
        Columns that are left out, such as an identifier or one that is known only after the label.
    na_values : scalar, sequence, or mapping of str to either, default=()
        What stands for missing besides empty fields, ``NA``, ``NaN``, ``null``, ``?`` and their kin: in all columns, or
        by column, as a mapping or as ``"column=value"``. A number is meant however it is written: -9 is -9.0.
    sep : str, default=None
        The separator, one character or its name (``"tab"``, ``"semicolon"``); found if None.
    encoding : str, default=None
        Such as ``"cp1252"``; found if None.
    drop_unlabeled : bool, default=False
        Whether rows without a label are left out; they are an error otherwise, because a label that is missing may
        tell something too.
    return_X_y : bool, default=False
        Return ``(X, y)`` instead of a Bunch.

    Returns
    -------
    Bunch with `data`, `target`, `frame`, `feature_names`, `target_names`, `DESCR`, `filename` and `notes`, or (X, y)
        Text columns are pandas categories; numbers and true/false columns keep their dtype. `notes` is the list of what
        was seen.

    Raises
    ------
    TableError
        A ValueError and a DataNotFoundError: there is no such file, or it cannot be used as it stands. The message
        names the place in the file and the argument that helps.

    Warns
    -----
    DataWarning
        For everything that was seen in the file, columns that tell the label by themselves among it (an AUC above 0.98
        on held-out rows).

    Examples
    --------
    >>> import os, tempfile
    >>> from robustxai.datasets import load_table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "loans.csv")
    ...     with open(path, "w") as file:
    ...         _ = file.write("income,home,paid\n31,rent,yes\n54,own,no\n")
    ...     loans = load_table(path)
    >>> loans.feature_names, list(loans.target)
    (['income', 'home'], ['yes', 'no'])
    """
    path = Path(path).expanduser()
    notes: list[str] = []
    table = text_table(path, sep, encoding, notes.append)
    left_out = [drop] if isinstance(drop, str) else [str(name) for name in drop]
    marks = by_column(na_values, table.names)
    for name in (*left_out, *filter(None, marks), *([] if target is None else [target])):
        if name not in table.names:
            raise TableError(f"{path} has no column {name!r}.{nearest_name(name, table.names)}")
    if target is not None and target in left_out:
        raise TableError(
            f"{target!r} is both the label (target=, --target) and left out (drop=, --drop). Name it once."
        )
    table = table.without(left_out)
    if len(table.names) < 2:
        raise TableError(
            f"{path} has a single column without {left_out}; a label alone is no data. Leave out fewer columns."
        )
    label = table.names[-1] if target is None else target
    seen = Seen()
    frame = typed(path, table, label, marks, seen)
    _check_label(path, frame, label, table.lines, target is None, drop_unlabeled, notes)
    frame = frame[frame[label].notna()].reset_index(drop=True)
    if target is None:
        others = [name for name in frame.columns if name != label and _LABEL_NAMES.fullmatch(name)]
        if others and not _LABEL_NAMES.fullmatch(label):
            notes.append(
                f"The label is the last column, {label!r}; target={others[0]!r} (--target {others[0]}) takes another."
            )
    if frame[label].dtype == float and (frame[label] == frame[label].round()).all():
        frame[label] = frame[label].astype("int64")  # gaps alone have made whole numbers fractions
    frame = as_categories(frame)
    seen.tell(notes.append)
    for name, auc in leaking_columns(frame.drop(columns=label), frame[label]):
        notes.append(
            f"The column {name!r} alone tells the label {label!r} of held-out rows with an AUC of {auc:.3f}: if it "
            "is known "
            f"only together with the label, leave it out (drop=[{name!r}], --drop {name})."
        )
    for note in notes:
        warnings.warn(f"{path.name}: {note}", DataWarning, stacklevel=outside())
    descr = "\n".join([f"Table {path.name}.", *notes])
    bunch = as_bunch(frame, label, descr=descr, filename=str(path), return_X_y=return_X_y)
    if not return_X_y:
        bunch.notes = notes
    return bunch


def text_table(path: Path, sep: str | None, encoding: str | None, say: Say) -> TextTable:
    """Return the columns of a file of text or of a Parquet file, not yet typed."""
    if not path.is_file():
        raise TableError(f"There is no file {path}. Give the path of a table with a header and a row for each sample.")
    if is_parquet(path):
        return read_parquet(path)
    return read_rows(path, read_text(path, encoding, say), sep, say)


def by_column(na_values: MissingMarks, names: Sequence[str]) -> dict[str | None, list[str]]:
    """Return the marks of missing values by column, as text; those of all columns under None."""
    marks: dict[str | None, list[str]] = {}
    if isinstance(na_values, Mapping):
        for name, values in na_values.items():
            marks[str(name)] = _texts(values)
        return marks
    for value in _texts(na_values):
        name, equals, own = value.partition("=")
        if equals and name in names:
            marks.setdefault(name, []).append(own)
        else:
            marks.setdefault(None, []).append(value)
    return marks


def _texts(values: Any) -> list[str]:
    single = isinstance(values, str) or np.isscalar(values)
    return [str(value).strip() for value in ([values] if single else values)]


def _check_label(
    path: Path, frame: pd.DataFrame, label: str, lines: list[int], is_last: bool, drop_unlabeled: bool, notes: list[str]
) -> None:
    """Refuse a label that no classifier can learn."""
    column = frame[label]
    chosen = f"the last column, {label!r}, is taken as the label and" if is_last else f"the label {label!r}"
    gaps = np.flatnonzero(column.isna())
    if len(gaps) == len(column):
        raise TableError(f"{path}: {chosen} has no value in any row. {_others(frame, label)}")
    n_values = column.nunique()
    if _is_continuous(column.dropna()):
        kind = "numbers" if pd.api.types.is_numeric_dtype(column) else "texts"
        raise TableError(
            f"{path}: {chosen} holds {n_values} different {kind} in {len(column)} rows, which are no classes. "
            f"{_others(frame, label)} A number to be predicted must be cut into classes before."
        )
    if len(gaps) and not drop_unlabeled:
        where = f"the first in row {gaps[0] + 1}, line {lines[gaps[0]]}"
        raise TableError(
            f"{path}: {len(gaps)} of {len(frame)} rows have no label in {label!r} ({where}). Pass drop_unlabeled=True "
            "(--drop-unlabeled) to leave them out, or name another column (target=, --target)."
        )
    if len(gaps):
        notes.append(f"{len(gaps)} of {len(frame)} rows have no label in {label!r} and are left out.")
    if n_values == 1:
        (value,) = column.dropna().unique().tolist()
        raise TableError(
            f"{path}: {chosen} has a single value, {value!r}, in all rows, so that there is nothing to tell apart. "
            f"{_others(frame, label)}"
        )


def _is_continuous(column: pd.Series) -> bool:
    """Return whether the values of a label are too many, or too much of a number, to be classes."""
    n_values, n_rows = column.nunique(), len(column)
    if pd.api.types.is_float_dtype(column) and not (column == column.round()).all():
        return n_values > min(_MANY_CLASSES // 2, n_rows / 2)
    return n_values > max(_MANY_CLASSES, n_rows / 10)


def _others(frame: pd.DataFrame, label: str) -> str:
    """Return the columns that could be the label."""
    names = [name for name in frame.columns if name != label]
    fit = [name for name in names if frame[name].notna().all() and 2 <= frame[name].nunique() <= _MANY_CLASSES]
    fit = [name for name in fit if not _is_continuous(frame[name])]
    fit.sort(key=lambda name: (not _LABEL_NAMES.fullmatch(name), frame[name].nunique() > 2))
    if not fit:
        return "Name the column of the label (target=, --target)."
    shown = ", ".join(map(repr, fit[:5]))
    return f"Name the column of the label (target=, --target); these have few values: {shown}."
