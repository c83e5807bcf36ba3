"""Results of the commands for a table of one's own: files, JSON, and tables on the screen."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import robustxai
from robustxai._files import written_at_once
from robustxai.cli._model_folder import check_free
from robustxai.cli._streams import console, messages

__all__ = ["check_table_file", "note", "print_json", "print_rows", "say", "shown", "write_table"]

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_PARQUET = ".parquet"
#: Rows that are printed.
_MOST_ROWS = 20


def check_table_file(out: Path | None, overwrite: bool) -> None:
    """Raise ValueError or FileExistsError, before any work, for a file that cannot be the output."""
    if out is None:
        return
    if out.suffix.lower() not in (*_SEPARATORS, _PARQUET):
        raise ValueError(f"--out {out} must end in .csv, .tsv or .parquet, which says how the table is written.")
    if out.suffix.lower() == _PARQUET:
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise ImportError(f"{out} needs pyarrow: pip install 'robustxai[parquet]', or write .csv.") from None
    check_free(out, overwrite)


def write_table(frame: pd.DataFrame, out: Path) -> None:
    """Write a table atomically, in the form that the name of the file says."""
    with written_at_once(out) as file:
        if out.suffix.lower() == _PARQUET:
            import pyarrow.parquet

            # a column of the raw values of several columns has several types
            mixed = [name for name in frame if frame[name].dtype == object]
            plain = frame.assign(**{name: _texts(frame[name]) for name in mixed})
            pyarrow.parquet.write_table(pyarrow.Table.from_pandas(plain, preserve_index=False), file)
        else:
            sep = _SEPARATORS[out.suffix.lower()]
            frame.to_csv(file, index=False, sep=sep, float_format="%.8g", lineterminator="\n", errors="surrogateescape")


def _texts(column: pd.Series) -> list[str | None]:
    return [None if value is None or value != value else str(value) for value in column]


def print_json(command: str, **content: Any) -> None:
    """Print one JSON document: the command, the version, and its content, with null for what is not known."""
    words = {"command": command, "robustxai": robustxai.__version__, **content}
    console.file.write(json.dumps(_plain(words), ensure_ascii=False, allow_nan=False, indent=1) + "\n")


def _plain(value: Any) -> Any:
    """Return a value in the types of JSON."""
    if isinstance(value, pd.DataFrame):
        return [_plain(row) for row in value.to_dict("records")]
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple, np.ndarray, pd.Series)):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, (bool, int, str)):
        return value
    return value.isoformat() if isinstance(value, (datetime.date, pd.Timestamp)) else str(value)


def print_rows(decisions: pd.DataFrame, lines: Callable[[Any], Sequence[Sequence[str]]]) -> None:
    """Print a heading for every row and its lines below, in aligned cells; the first rows where there are many."""
    for row in decisions.head(_MOST_ROWS).to_dict("records"):
        say(f"Row {row['row']}: {row['predicted']} (probability {row['probability']:.3f})")
        cells = lines(row["row"])
        widths = [max(map(len, column)) for column in zip(*cells)]
        for line in cells:
            say("   " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
    if len(decisions) > _MOST_ROWS:
        note(f"{len(decisions) - _MOST_ROWS:,} more rows are not shown; --out FILE.csv or --json has all of them.")


def shown(value: Any) -> str:
    """Return a value of a table for people."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, Mapping):
        return "; ".join(f"{name} = {shown(one)}" for name, one in value.items())
    if isinstance(value, (float, np.floating)):
        value = float(value)
        return f"{value:.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:.6g}"
    return str(value)


def say(text: str) -> None:
    """Print a sentence of the result."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def note(text: str) -> None:
    """Print a sentence beside the result."""
    messages.print(f"note: {text}", markup=False, highlight=False, soft_wrap=True)
