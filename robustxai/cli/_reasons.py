"""``robustxai reasons``: ranked reasons of decisions, and how far they hold."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import pandas as pd
import typer

from robustxai._arguments import Choice
from robustxai._files import file_name, write_text
from robustxai.audit import reason_letter
from robustxai.cli._asked import asked_rows, predictions, read_file
from robustxai.cli._budgets import Budgets
from robustxai.cli._model_folder import ModelFolder, check_free
from robustxai.cli._output import check_table_file, print_json, print_rows, say, shown, write_table
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
    label_of,
)
from robustxai.cli._running import notes, stoppable, work_bar
from robustxai.cli._training import METHOD, N_POINTS
from robustxai.exceptions import MismatchWarning
from robustxai.protocols import ReasonDirection
from robustxai.reasons import reasons as rank_reasons

__all__ = ["reasons"]

#: Rows whose reasons are proven between two steps of the bar: all by default, because few rows take as long as twenty.
_AT_ONCE = 20


def reasons(
    table: Data,
    model: Model = Path("model"),
    out: TableOut = None,
    letters: Annotated[
        Path | None, typer.Option(help="Folder for a page in HTML for every row.", rich_help_panel="Output")
    ] = None,
    k: OwnK = None,
    favorable: Annotated[
        str | None,
        typer.Option(help="The class that people hope for; the second of two by default.", rich_help_panel="The model"),
    ] = None,
    direction: Annotated[
        str,
        typer.Option(
            help="Reasons against the favorable class (adverse), for it (favorable), or either kind (both).",
            rich_help_panel="The model",
        ),
    ] = "adverse",
    budget: Budget = [],  # noqa: B006
    immutable: Immutable = [],  # noqa: B006
    monotone: Monotone = [],  # noqa: B006
    max_switches: MaxSwitches = None,
    row: Row = [],  # noqa: B006
    n_rows: Annotated[
        int, typer.Option("--n-rows", help="First rows only: a row takes about a second.", rich_help_panel="The table")
    ] = 20,
    identifier: Id = None,
    unknown: UnknownCategory = "error",
    na_values: NaValues = [],  # noqa: B006
    sep: Sep = None,
    encoding: Encoding = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Rank the reasons of decisions, and say how far they hold: robustxai reasons data.csv --model model --row 3

    A reason is proven where no admissible change of the row, which leaves the decision as it is, takes it from the
    first four; attacked where one does, which is shown; undecided otherwise. Its radius is the share of the budgets
    within which it is proven.
    """
    with stoppable(True), notes():
        check_table_file(out, overwrite)
        if letters is not None:
            check_free(letters, overwrite)
        Choice(get_args(ReasonDirection), kind="direction").check("--direction", direction)
        folder = ModelFolder.read(model)
        given = label_of(favorable, folder.classes, "--favorable")
        budgets = Budgets.given(budget, immutable, monotone, max_switches).over(folder.budgets)
        found = read_file(table, folder, na_values, sep, encoding, unknown)
        rows = asked_rows(found, identifier, row, None if row else n_rows)
        options: dict[str, Any] = {"top": folder.k if k is None else k, "favorable": given}
        options |= {"threat": budgets.threat(folder.schema, rows), "direction": cast(ReasonDirection, direction)}
        options |= {"method": METHOD, "n_points": N_POINTS}
        parts, pages = [], []
        with work_bar() as progress, warnings.catch_warnings():
            warnings.simplefilter("ignore", MismatchWarning)  # the direction is the user's
            for first in progress.track(range(0, len(rows), _AT_ONCE), description="ranking and proving"):
                part = rank_reasons(folder.pipe, rows.iloc[first : first + _AT_ONCE], **options)
                parts.append(part.frame)
                pages += _letters(part, letters)
        lines = pd.concat(parts, ignore_index=True)
        decided = pd.DataFrame(predictions(folder, rows))
        lines.insert(1, "predicted", lines["row"].map(decided.set_index("row")["predicted"]))
        if out is not None:
            write_table(lines.assign(changes=[_in_words(changes) for changes in lines["changes"]]), out)
    written = [*([] if out is None else [out]), *pages]
    if as_json:
        print_json("reasons", favorable=given, direction=direction, budgets=budgets.to_json(), decisions=decided,
                   reasons=lines, written=[str(path) for path in written])  # fmt: skip
        return
    if out is None:
        by_row = dict(list(lines.groupby("row", sort=False)))
        print_rows(decided, lambda label: [_line(one) for _, one in by_row.get(label, lines[:0]).iterrows()])
    counts = lines["status"].value_counts()
    words = ", ".join(f"{int(counts.get(status, 0))} {status}" for status in ("proven", "attacked", "undecided"))
    say(f"{len(lines)} reasons of {len(rows)} rows: {words}.")
    if written:
        say("Written: " + ", ".join(map(str, written[:3])) + (f" and {len(written) - 3} more" if written[3:] else ""))


def _line(one: Any) -> list[str]:
    """Return the cells of a reason: column and value, contribution, and how far it holds."""
    holds = {
        "proven": "proven",
        "attacked": f"attacked: displaced by {_in_words(one['changes'])}",
        "undecided": "undecided",
    }[one["status"]]
    part = f", proven within {one['radius']:.0%} of the budgets" if 0 < one["radius"] < 1 else ""
    return [f"{one['rank']}. {one['column']} = {shown(one['value'])}", f"{one['contribution']:+.3g}", holds + part]


def _letters(part: Any, folder: Path | None) -> list[Path]:
    """Write a page for every row that has reasons."""
    if folder is None:
        return []
    paths = []
    for label in dict.fromkeys(part.frame["row"]):
        paths.append(folder / f"{file_name(str(label))}.html")
        write_text(paths[-1], reason_letter(part, label).to_html())
    return paths


def _in_words(changes: dict[Any, Any] | None) -> str | None:
    return None if not changes else "; ".join(f"{name} = {shown(value)}" for name, value in changes.items())
