"""A user's own csv file in the form of the other data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robustxai._validation import nearest_name
from robustxai.datasets._base import PathLike
from robustxai.datasets._table_source import as_bunch, as_categories, read_csv
from robustxai.exceptions import DataNotFoundError

__all__ = ["load_table"]

_ADVICE = "A table is a comma-separated file, compressed or not, with a header row and one row for each sample."


def load_table(path: PathLike, target: str | None = None, *, return_X_y: bool = False) -> Any:
    r"""Load a csv file with a header row and a column that holds the class label.

    Parameters
    ----------
    path : path-like
        The file; ``.gz``, ``.bz2``, ``.xz`` and ``.zip`` are decompressed.
    target : str, default=None
        Name of the label's column; the last column if None.
    return_X_y : bool, default=False
        Return ``(X, y)`` instead of a Bunch.

    Returns
    -------
    Bunch with `data`, `target`, `frame`, `feature_names`, `target_names`, `DESCR` and `filename`, or (X, y)
        Text columns are pandas categories; numbers and true/false columns keep their dtype.

    Raises
    ------
    DataNotFoundError
        If there is no such file, or it is not a readable table of at least two columns.
    ValueError
        If there is no column `target`, or a row has no label.

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
    if not path.is_file():
        raise DataNotFoundError(f"There is no file {path}. {_ADVICE}")
    frame = read_csv(path, _ADVICE)
    if frame.shape[1] < 2:
        raise DataNotFoundError(
            f"{path} has a single column, {frame.columns[0]!r}; a label alone is no data. {_ADVICE}"
        )
    if target is None:
        target = str(frame.columns[-1])
    elif target not in frame.columns:
        raise ValueError(f"{path} has no column {target!r}.{nearest_name(target, frame.columns)}")
    if n_without := int(frame[target].isna().sum()):
        raise ValueError(f"{n_without} of {len(frame)} rows have no label in {target!r}; remove them first.")
    frame = as_categories(frame)
    return as_bunch(frame, target, descr=f"Table {path.name}.", filename=str(path), return_X_y=return_X_y)
