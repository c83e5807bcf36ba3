"""``robustxai explain``: the contribution of every column to every decision."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from robustxai.cli._asked import asked_rows, predictions, read_file
from robustxai.cli._model_folder import ModelFolder
from robustxai.cli._output import check_table_file, print_json, print_rows, say, shown, write_table
from robustxai.cli._own_table import (
    AsJson,
    Data,
    Encoding,
    Id,
    Model,
    NaValues,
    Overwrite,
    Row,
    Sep,
    TableOut,
    UnknownCategory,
    label_of,
)
from robustxai.cli._running import notes, stoppable, work_bar
from robustxai.cli._training import METHOD, N_POINTS
from robustxai.reasons import explain_columns

__all__ = ["explain"]

#: Rows that are explained between two steps of the bar.
_AT_ONCE = 1000
#: Contributions of a row that are printed; files and JSON have all.
_SHOWN = 8


def explain(
    table: Data,
    model: Model = Path("model"),
    out: TableOut = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--class",
            help="Explain this class in every row; the predicted one by default.",
            rich_help_panel="The model",
        ),
    ] = None,
    row: Row = [],  # noqa: B006
    n_rows: Annotated[
        int | None, typer.Option("--n-rows", help="First rows only; all by default.", rich_help_panel="The table")
    ] = None,
    identifier: Id = None,
    unknown: UnknownCategory = "error",
    na_values: NaValues = [],  # noqa: B006
    sep: Sep = None,
    encoding: Encoding = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write what every column contributes to every decision: robustxai explain data.csv --model model --out why.csv

    The contributions of a row, in log-odds, add up to the difference between it and the typical row of the training
    data. Columns of the file that the model does not know, such as the label, are left alone.
    """
    with stoppable(True), notes():
        check_table_file(out, overwrite)
        folder = ModelFolder.read(model)
        given = label_of(label, folder.classes, "--class")
        rows = asked_rows(read_file(table, folder, na_values, sep, encoding, unknown), identifier, row, n_rows)
        how: dict[str, Any] = {"method": METHOD, "n_points": N_POINTS}
        parts = []
        with work_bar() as progress:
            for first in progress.track(range(0, len(rows), _AT_ONCE), description="explaining"):
                parts.append(explain_columns(folder.pipe, rows.iloc[first : first + _AT_ONCE], given, **how))
        found = pd.concat(parts)
        decided = pd.DataFrame(predictions(folder, rows), index=found.index)
        first_columns = decided.copy()
        # a raw column may have the name of one of ours
        first_columns.columns = [name if name not in found else f"{name}_" for name in first_columns]
        lines = pd.concat([first_columns, found], axis=1)
        if out is not None:
            write_table(lines, out)
    if as_json:
        print_json(
            "explain", explained_class=given, unit="log-odds", rows=lines, written=None if out is None else str(out)
        )
    elif out is None:
        print_rows(decided, lambda label: _largest(rows.loc[label], found.loc[label]))
    else:
        say(f"Written: {out} ({len(lines):,} rows, contributions in log-odds)")


def _largest(row: pd.Series, contributions: pd.Series) -> list[list[str]]:
    """Return the cells of the largest contributions of a row."""
    order = contributions.abs().sort_values(ascending=False, kind="stable").index[:_SHOWN]
    return [[f"{name} = {shown(row[name])}", f"{contributions[name]:+.3g}"] for name in order]
