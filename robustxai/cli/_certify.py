"""``robustxai certify``: what no admissible change can do to the reasons of a row."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from robustxai.certificates import certify_top_k
from robustxai.cli._asked import asked_rows, predictions, read_file
from robustxai.cli._budgets import Budgets
from robustxai.cli._model_folder import ModelFolder
from robustxai.cli._output import check_table_file, print_json, print_rows, say, write_table
from robustxai.cli._own_table import (
    AsJson,
    Budget,
    Data,
    Encoding,
    Id,
    Immutable,
    MaxSwitches,
    Model,
    Monotone,
    NaValues,
    Overwrite,
    OwnK,
    Row,
    Sep,
    TableOut,
    UnknownCategory,
)
from robustxai.cli._running import notes, stoppable, work_bar

__all__ = ["certify"]

#: Rows that are proven between two steps of the bar.
_AT_ONCE = 20


def certify(
    table: Data,
    model: Model = Path("model"),
    out: TableOut = None,
    k: OwnK = None,
    share: Annotated[
        float,
        typer.Option(
            help="Share of all budgets within which is proven; 0 is switches alone.",
            rich_help_panel="How a row may change",
        ),
    ] = 1.0,
    budget: Budget = [],  # noqa: B006
    immutable: Immutable = [],  # noqa: B006
    monotone: Monotone = [],  # noqa: B006
    max_switches: MaxSwitches = None,
    row: Row = [],  # noqa: B006
    n_rows: Annotated[
        int, typer.Option("--n-rows", help="First rows only: proofs take time.", rich_help_panel="The table")
    ] = 100,
    identifier: Id = None,
    unknown: UnknownCategory = "error",
    na_values: NaValues = [],  # noqa: B006
    sep: Sep = None,
    encoding: Encoding = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Prove how many reasons of each row stay, whatever admissible change is made: robustxai certify data.csv

    The proven P@4 is a lower bound: the share of the four columns with the largest contributions that are still among
    the four largest at every row within the budgets.
    """
    with stoppable(True), notes():
        check_table_file(out, overwrite)
        folder = ModelFolder.read(model)
        budgets = Budgets.given(budget, immutable, monotone, max_switches).over(folder.budgets)
        found = read_file(table, folder, na_values, sep, encoding, unknown)
        rows = asked_rows(found, identifier, row, None if row else n_rows)
        threat = budgets.threat(folder.schema, rows).scaled(share)
        top = folder.k if k is None else k
        parts = []
        with work_bar() as progress:
            for first in progress.track(range(0, len(rows), _AT_ONCE), description="proving"):
                some = rows.iloc[first : first + _AT_ONCE]
                proof = certify_top_k(folder.pipe, some, top, threat=threat, method="affine")
                values = np.asarray(folder.pipe[-1].explain(folder.pipe[:-1].transform(some)))
                names = [str(name) for name in folder.schema.names]
                order = np.argsort(-np.abs(values), axis=1, kind="stable")[:, : proof.k]
                reasons = [", ".join(names[place] for place in one) for one in order]
                parts.append(pd.DataFrame({"reasons": reasons, "certified_precision_at_k": proof.precision_at_k}))
        proven = pd.concat(parts, ignore_index=True)
        lines = pd.concat([pd.DataFrame(predictions(folder, rows)), proven], axis=1)
        if out is not None:
            write_table(lines, out)
    mean = float(lines["certified_precision_at_k"].mean())
    whole = int((lines["certified_precision_at_k"] >= 1).sum())
    if as_json:
        rules = threat.describe().split("\n")
        print_json("certify", k=top, share=share, budgets=budgets.to_json(), threat=rules, rows=lines,
                   mean_certified_precision_at_k=mean, written=None if out is None else str(out))  # fmt: skip
        return
    if out is None:
        by_row = lines.set_index("row")
        print_rows(lines, lambda label: [_line(by_row.loc[label], top)])
    say(f"Proven of {len(lines)} rows: a mean P@{top} of {mean:.3f}; all reasons of {whole} rows.")
    say(f"At every change within {threat.in_words()}.")
    if out is not None:
        say(f"Written: {out}")


def _line(one: pd.Series, top: int) -> list[str]:
    return [f"proven P@{top} {one['certified_precision_at_k']:.2f}", f"of {one['reasons']}"]
