"""``robustxai audit``: the report on a model of one's own table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from robustxai._files import write_text
from robustxai.audit import AuditResult
from robustxai.audit import audit as audit_model
from robustxai.cli._asked import read_file
from robustxai.cli._budgets import Budgets
from robustxai.cli._fit import Training, fitted_folder
from robustxai.cli._model_folder import ModelFolder, check_free
from robustxai.cli._options import names_of
from robustxai.cli._output import note, print_json, say
from robustxai.cli._own_table import (
    AsJson,
    Budget,
    Data,
    Defense,
    Drop,
    DropUnlabeled,
    Encoding,
    HeldOut,
    Immutable,
    MaxSwitches,
    MinFrequency,
    Monotone,
    NaValues,
    Overwrite,
    OwnK,
    Seed,
    Sep,
    Target,
    UnknownCategory,
    columns_of,
)
from robustxai.cli._running import notes, stoppable, work_bar
from robustxai.cli._training import check_defense, content_of, held_out_rows, read_training_table

__all__ = ["audit"]

_ENDINGS = (".html", ".htm", ".md")


def audit(
    table: Data,
    target: Target = None,
    model: Annotated[
        Path | None,
        typer.Option(
            help="Folder that 'robustxai fit' wrote. Without it a model is trained on four fifths of the rows first.",
            rich_help_panel="The model",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Report: .html or .md.", rich_help_panel="Output")] = Path("report.html"),
    k: OwnK = None,
    group: Annotated[
        list[str],
        typer.Option(
            help="Columns by which stability and AUC are compared: --group sex,age.", rich_help_panel="The report"
        ),
    ] = [],  # noqa: B006
    n_rows: Annotated[
        int | None,
        typer.Option(
            "--n-rows",
            help="Rows that are audited: 500, or 100 to 160 where a row has many changes.",
            rich_help_panel="The report",
        ),
    ] = None,
    compare: Annotated[
        bool, typer.Option(help="Also train and audit logistic regression and R2ET.", rich_help_panel="The report")
    ] = True,
    sources: Annotated[
        bool,
        typer.Option(
            "--sources",
            help="Also separate where instability comes from, which trains the model eleven times again.",
            rich_help_panel="The report",
        ),
    ] = False,
    defense: Defense = "r2et",
    test_size: HeldOut = 0.2,
    seed: Seed = 0,
    min_frequency: MinFrequency = 20,
    budget: Budget = [],  # noqa: B006
    immutable: Immutable = [],  # noqa: B006
    monotone: Monotone = [],  # noqa: B006
    max_switches: MaxSwitches = None,
    unknown: UnknownCategory = "missing",
    drop: Drop = [],  # noqa: B006
    na_values: NaValues = [],  # noqa: B006
    sep: Sep = None,
    encoding: Encoding = None,
    drop_unlabeled: DropUnlabeled = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write a report on how far the reasons of a model hold: robustxai audit data.csv --model model --out report.html

    Rows that trained the model are left out where the file is the one of its training. On another file all rows are
    audited.
    """
    with stoppable(True), notes():
        if out.suffix.lower() not in _ENDINGS:
            raise ValueError(f"--out {out} must end in .html or .md, which says how the report is written.")
        check_free(out, overwrite)
        given = Budgets.given(budget, immutable, monotone, max_switches)
        with work_bar() as progress:
            y: np.ndarray | None
            places: np.ndarray | None
            if model is None:
                check_defense(defense)
                marks, some = names_of(na_values), {"sep": sep, "encoding": encoding, "drop_unlabeled": drop_unlabeled}
                X, labels = read_training_table(table, target, drop=names_of(drop), na_values=marks, **some)
                columns_of(immutable, list(X), "--immutable")
                asked = Training(
                    str(target), defense, 4 if k is None else k, seed, test_size, min_frequency, given, marks
                )
                folder = fitted_folder(table, X, labels, asked, progress)
                X, y = folder.schema.coded(X), labels
                places = held_out_rows(labels, test_size, seed)[1]
            else:
                folder = ModelFolder.read(model)
                X, y, places = _rows_of(table, folder, target, na_values, sep, encoding, unknown)
            groups = columns_of(group, list(X), "--group")
            if places is not None:
                X, y = X.iloc[places], None if y is None else y[places]
            threat = given.over(folder.budgets).threat(folder.schema, X)
            bar = progress.add_task("auditing", total=1.0)
            found = audit_model(
                folder.pipe, X, y, k=folder.k if k is None else k, threat=threat, groups=list(groups) or None,
                n_rows=n_rows, n_compared=None if compare else 0, random_state=seed, sources=sources,
                progress=lambda done, step: progress.update(bar, completed=done, description=step),
            )  # fmt: skip
        write_text(out, found.to_markdown() if out.suffix.lower() == ".md" else found.to_html())
    if as_json:
        print_json("audit", k=found.k, settings=found.settings, summary=found.summary, warnings=found.warnings,
                   verdict=found.verdict, comparison=found.comparison, subgroups=found.subgroups, columns=found.columns,
                   written=str(out))  # fmt: skip
        return
    _say(found)
    say(f"Written: {out}")


def _rows_of(
    table: Path,
    folder: ModelFolder,
    target: str | None,
    na_values: list[str],
    sep: str | None,
    encoding: str | None,
    unknown: str,
) -> tuple[pd.DataFrame, np.ndarray | None, np.ndarray | None]:
    """Return the labeled rows of a file, their labels, and the places of those that the model was not trained on."""
    file = read_file(table, folder, na_values, sep, encoding, unknown)
    label = folder.target if target is None else target
    if label not in file.table.names and target is None:
        note(f"{table.name} has no column {label!r}, so that there is no AUC and no comparison with other models.")
        return file.frame, None, None
    marks = names_of(na_values) or folder.na_values
    y = file.labels(label, folder.classes, marks)
    labeled = np.flatnonzero([one is not None for one in y])
    if not len(labeled):
        raise ValueError(f"{table} has no label in any row of {label!r}. Leave --target out to audit without labels.")
    frame, y = file.frame.iloc[labeled].reset_index(drop=True), np.array(y[labeled].tolist())
    if content_of(table) != folder.training.get("content") or label != folder.target:
        return frame, y, None
    places = held_out_rows(y, float(folder.training["test_size"]), int(folder.training["seed"]))[1]
    note(f"the model was trained on rows of {table.name}: the {len(places):,} rows that were held out are audited.")
    return frame, y, places


def _say(found: AuditResult) -> None:
    """Print what matters most."""
    values = found.summary.set_index("measure")["value"]
    say(
        f"P@{found.k} of {len(found.frame)} rows: {values['P@k, proven']:.2f} proven, "
        f"{values['P@k, strongest attack']:.2f} under the strongest attack; two different rows share "
        f"{values['similarity of rows']:.2f} of their reasons."
    )
    texts: list[Any] = [*found.warnings, *([found.verdict] if found.verdict else [])]
    for text in texts:
        say(f"* {text}")
