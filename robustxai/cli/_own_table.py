"""Options of the commands for a table of one's own: ``fit``, ``explain``, ``reasons``, ``certify`` and ``audit``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from robustxai._validation import nearest_name
from robustxai.experiments.columns import MODELS

__all__ = [
    "TRAINED",
    "AsJson",
    "Budget",
    "Data",
    "Defense",
    "Drop",
    "DropUnlabeled",
    "Encoding",
    "HeldOut",
    "Id",
    "Immutable",
    "K",
    "MaxSwitches",
    "MinFrequency",
    "Model",
    "Monotone",
    "NaValues",
    "Overwrite",
    "OwnK",
    "Row",
    "Seed",
    "Sep",
    "TableOut",
    "Target",
    "UnknownCategory",
    "columns_of",
    "label_of",
]

#: Models that ``--defense`` names: those that explain themselves.
TRAINED = tuple(name for name in MODELS if name != "gradient_boosting")
_TABLE, _THREAT, _OUTPUT = "The table", "How a row may change", "Output"


def _option(panel: str, *names: str, words: str) -> typer.models.OptionInfo:
    """Return an option under a heading of the help."""
    made: typer.models.OptionInfo = typer.Option(*names, help=words, rich_help_panel=panel)
    return made


Data = Annotated[
    Path,
    typer.Argument(metavar="TABLE", help="CSV, TSV or Parquet file with a header; may be compressed (.gz, .zip)."),
]
Model = Annotated[Path, _option("The model", "--model", words="Folder that 'robustxai fit' wrote.")]
Target = Annotated[str | None, _option(_TABLE, "--target", words="Column of the label.")]
Drop = Annotated[
    list[str],
    _option(_TABLE, "--drop", words="Columns to leave out, such as an id: --drop a,b, or once for each column."),
]
NaValues = Annotated[
    list[str],
    _option(
        _TABLE,
        "--na-values",
        words="Values that mean missing, such as -9, or COLUMN=-9 for one column; ? and NA and their kin are known.",
    ),
]
Sep = Annotated[
    str | None, _option(_TABLE, "--sep", words="Separator, or a word such as tab or semicolon. Detected by default.")
]
Encoding = Annotated[
    str | None, _option(_TABLE, "--encoding", words="Encoding of the text, such as cp1252. Detected by default.")
]
DropUnlabeled = Annotated[bool, _option(_TABLE, "--drop-unlabeled", words="Leave out rows without a label.")]
UnknownCategory = Annotated[
    str,
    _option(
        _TABLE, "--unknown", words="What a category that the model never saw is: an error, or a field that is missing."
    ),
]
Id = Annotated[
    str | None,
    _option(
        _TABLE, "--id", words="Column whose values name the rows in the output. Their numbers, from 1, by default."
    ),
]
Row = Annotated[list[str], _option(_TABLE, "--row", words="Only this row, by its number or its --id; may be repeated.")]
Defense = Annotated[str, _option("The model", "--defense", words=f"What is trained: one of {', '.join(TRAINED)}.")]
K = Annotated[int, _option("The model", "--k", words="Number of reasons of a decision.")]
OwnK = Annotated[int | None, _option("The model", "--k", words="Number of reasons; that of the model by default.")]
TableOut = Annotated[Path | None, _option(_OUTPUT, "--out", words="File for the table: .csv, .tsv or .parquet.")]
HeldOut = Annotated[
    float,
    _option(
        "The model", "--test-size", words="Share of the rows that are held out, on which all figures are measured."
    ),
]
Seed = Annotated[int, _option("The model", "--seed", words="Seed of the rows that are held out and of the training.")]
Budget = Annotated[
    list[str],
    _option(
        _THREAT,
        "--budget",
        words="Largest change of a number, in its unit or as a share of its range: age=1, income=5%. Without a column, "
        "such as 2%, it is that of all others. 5% by default, of whole numbers at least 1.",
    ),
]
MinFrequency = Annotated[
    int,
    _option(
        "The model",
        "--min-frequency",
        words="Categories in fewer training rows count as one of their column: what is learned of so few rows is "
        "chance. 1 keeps all apart.",
    ),
]
Immutable = Annotated[
    list[str], _option(_THREAT, "--immutable", words="Columns that never change: --immutable sex,race.")
]
Monotone = Annotated[
    list[str], _option(_THREAT, "--monotone", words="Numbers that only rise or only fall: age=up, balance=down.")
]
MaxSwitches = Annotated[
    int | None,
    _option(
        _THREAT,
        "--max-switches",
        words="Most columns of categories that switch, each to any other category. 1 by default: one wrong entry.",
    ),
]
Overwrite = Annotated[bool, _option(_OUTPUT, "--overwrite", words="Replace an output that is there.")]
AsJson = Annotated[
    bool, _option(_OUTPUT, "--json", words="Print one JSON document, for scripts, in place of tables and sentences.")
]


def columns_of(values: Sequence[str], known: Sequence[str], option: str) -> tuple[str, ...]:
    """Return the columns of ``--x a --x b`` or ``--x a,b``; a name that has a comma is taken as it is.

    Raises
    ------
    ValueError
        A column that does not exist, with the nearest one.
    """
    found: list[str] = []
    for value in values:
        found += [value] if value in known else [name.strip() for name in value.split(",") if name.strip()]
    for name in found:
        if name not in known:
            raise ValueError(
                f"{option} names the column {name!r}, which is not in the table.{nearest_name(name, known)}"
            )
    return tuple(dict.fromkeys(found))


def label_of(text: str | None, classes: Sequence[object], option: str) -> object | None:
    """Return the class that a text on the command line means."""
    if text is None:
        return None
    by_text = {str(label): label for label in classes}
    if text not in by_text:
        raise ValueError(f"{option} {text!r} is none of the classes of the model.{nearest_name(text, by_text)}")
    return by_text[text]
