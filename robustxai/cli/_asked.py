"""Rows of a file that a command asks a model about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import pandas as pd

from robustxai._arguments import Choice
from robustxai._validation import nearest_name
from robustxai.cli._model_folder import ModelFolder
from robustxai.cli._options import names_of
from robustxai.cli._output import note
from robustxai.datasets import NewRows, Unknown, read_new_rows

__all__ = ["asked_rows", "predictions", "read_file"]


def read_file(
    path: Path, folder: ModelFolder, na_values: list[str], sep: str | None, encoding: str | None, unknown: str
) -> NewRows:
    """Read the columns of a model from a file, and print what was seen in it."""
    Choice(get_args(Unknown), kind="way").check("--unknown", unknown)
    marks = names_of(na_values) or folder.na_values
    # marks of one column may be about one that this file does not have
    found = read_new_rows(
        path, folder.schema, na_values=marks, sep=sep, encoding=encoding, unknown=cast(Unknown, unknown)
    )
    for text in found.notes:
        note(f"{path.name}: {text}")
    return found


def asked_rows(found: NewRows, identifier: str | None, rows: Sequence[str], most: int | None) -> pd.DataFrame:
    """Return the rows that are asked about, labeled by their numbers in the file, from 1, or by a column.

    Raises
    ------
    ValueError
        A row or a column that does not exist, or labels that occur twice.
    """
    frame = found.frame.set_axis(pd.RangeIndex(1, len(found.frame) + 1))
    if identifier is not None:
        names = found.table.names
        if identifier not in names:
            raise ValueError(
                f"--id names the column {identifier!r}, which is not in {found.path}.{nearest_name(identifier, names)}"
            )
        labels = [text.strip() for text in found.table.columns[names.index(identifier)]]
        if len(set(labels)) < len(labels):
            twice = next(label for label in labels if labels.count(label) > 1)
            raise ValueError(
                f"--id {identifier} names two rows {twice!r}. Give a column with a value of its own in every row."
            )
        frame = frame.set_axis(pd.Index(labels, dtype=object))
    if rows:
        known = {str(label): place for place, label in enumerate(frame.index)}
        for row in rows:
            if row not in known:
                what = f"a value of {identifier}" if identifier is not None else f"a number from 1 to {len(frame)}"
                raise ValueError(f"There is no row {row!r} in {found.path}: --row takes {what}.")
        return frame.iloc[[known[row] for row in dict.fromkeys(rows)]]
    if most is not None and most < 1:
        raise ValueError(f"--n-rows must be 1 or more, got {most}.")
    if most is not None and len(frame) > most:
        note(f"the first {most:,} of {len(frame):,} rows; --n-rows {len(frame)} takes all, --row single ones.")
        return frame.iloc[:most]
    return frame


def predictions(folder: ModelFolder, rows: pd.DataFrame) -> dict[str, Any]:
    """Return the labels of the rows, their predicted classes and the probabilities of these."""
    proba = np.asarray(folder.pipe.predict_proba(rows))
    codes = proba.argmax(axis=1)
    return {
        "row": list(rows.index),
        "predicted": [folder.classes[code] for code in codes],
        "probability": proba[np.arange(len(rows)), codes],
    }
