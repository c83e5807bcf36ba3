"""``robustxai fit``: a model of one's own table, in a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from rich.progress import Progress

from robustxai.audit import audit
from robustxai.cli._budgets import Budgets
from robustxai.cli._model_folder import ModelFolder, check_free
from robustxai.cli._options import names_of
from robustxai.cli._output import print_json, say
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
    K,
    MaxSwitches,
    MinFrequency,
    Monotone,
    NaValues,
    Overwrite,
    Seed,
    Sep,
    Target,
    columns_of,
)
from robustxai.cli._running import notes, stoppable, work_bar
from robustxai.cli._training import check_defense, content_of, held_out_rows, read_training_table, train
from robustxai.datasets import TableSchema

__all__ = ["Training", "fit", "fitted_folder"]


def fit(
    table: Data,
    target: Target = None,
    out: Annotated[
        Path, typer.Option(help="Folder for the model: --model of the other commands.", rich_help_panel="Output")
    ] = Path("model"),
    defense: Defense = "r2et",
    k: K = 4,
    test_size: HeldOut = 0.2,
    n_rows: Annotated[
        int,
        typer.Option(
            "--n-rows", help="Held-out rows that are attacked for P@k; 0 leaves it out.", rich_help_panel="The model"
        ),
    ] = 50,
    seed: Seed = 0,
    min_frequency: MinFrequency = 20,
    drop: Drop = [],  # noqa: B006
    na_values: NaValues = [],  # noqa: B006
    sep: Sep = None,
    encoding: Encoding = None,
    drop_unlabeled: DropUnlabeled = False,
    budget: Budget = [],  # noqa: B006
    immutable: Immutable = [],  # noqa: B006
    monotone: Monotone = [],  # noqa: B006
    max_switches: MaxSwitches = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Train a model with stable reasons on a table: robustxai fit data.csv --target y --out model

    A fifth of the rows is held out. AUC and P@4 (how many of the four reasons of a row an attacker leaves in place) are
    measured on them. Budgets that are given here are those of the later commands, too.
    """
    with stoppable(True), notes():
        check_free(out, overwrite)
        check_defense(defense)
        budgets = Budgets.given(budget, immutable, monotone, max_switches)
        options = {"sep": sep, "encoding": encoding, "drop_unlabeled": drop_unlabeled}
        X, y = read_training_table(table, target, drop=names_of(drop), na_values=names_of(na_values), **options)
        columns_of(immutable, list(X), "--immutable")
        with work_bar() as progress:
            marks = names_of(na_values)
            asked = Training(str(target), defense, k, seed, test_size, min_frequency, budgets, marks)
            made = fitted_folder(table, X, y, asked, progress)
            figures = _measured(made, X, y, n_rows, seed, progress)
        made.held_out.update(figures)
        written = made.write(out, overwrite=overwrite)
    if as_json:
        training = {name: value for name, value in made.training.items() if name != "content"}
        paths = [str(path) for path in written]
        print_json("fit", model=str(out), target=target, classes=made.classes, columns=made.schema.names, **training,
                   held_out=figures, budgets=budgets.to_json(), written=paths)  # fmt: skip
        return
    n_train, n_test = made.training["n_train"], made.training["n_test"]
    say(f"{defense} on {len(made.schema.names)} columns: {n_train:,} rows trained it, {n_test:,} were held out.")
    say(_in_words(figures, k))
    say("Written: " + ", ".join(str(path) for path in written))
    say(f"Next: robustxai reasons {table} --model {out}, or robustxai audit {table} --model {out} --out report.html")


@dataclass(frozen=True)
class Training:
    """What is trained, and on which share of the rows."""

    target: str
    defense: str
    k: int
    seed: int
    test_size: float
    min_frequency: int
    budgets: Budgets
    na_values: tuple[str, ...]


def fitted_folder(path: Path, X: pd.DataFrame, y: np.ndarray, asked: Training, progress: Progress) -> ModelFolder:
    """Train on the rows that are not held out."""
    places, others = held_out_rows(y, asked.test_size, asked.seed)
    schema = TableSchema.of(X.iloc[places])
    # what the training rows do not have counts as rare where something is rare
    rare = [one.name for one in schema.columns if _has_rare(X[one.name].iloc[places], asked.min_frequency)]
    schema = schema.with_levels_of(X, rare)
    asked.budgets.threat(schema)  # a budget that is wrong is told before the training
    options = {"k": asked.k, "seed": asked.seed, "min_frequency": asked.min_frequency}
    pipe = train(schema.coded(X.iloc[places]), y[places], asked.defense, progress=progress, **options)
    training: dict[str, Any] = {"defense": asked.defense, "seed": asked.seed, "test_size": asked.test_size}
    training |= {"min_frequency": asked.min_frequency}
    training |= {"content": content_of(path), "n_train": len(places), "n_test": len(others)}
    return ModelFolder(pipe, schema, asked.target, asked.k, asked.budgets, asked.na_values, training)


def _has_rare(column: pd.Series, min_frequency: int) -> bool:
    """Return whether a column has categories in fewer rows, which have one feature together."""
    counts = column.value_counts()
    return bool(((counts > 0) & (counts < min_frequency)).any())


def _measured(
    made: ModelFolder, X: pd.DataFrame, y: np.ndarray, n_rows: int, seed: int, progress: Progress
) -> dict[str, Any]:
    """Return AUC and P@k of the rows that were held out."""
    _, places = held_out_rows(y, made.training["test_size"], seed)
    rows = made.schema.coded(X.iloc[places])
    threat = made.budgets.threat(made.schema, rows)
    bar = progress.add_task("", total=1.0)

    def show(done: float, step: str) -> None:
        progress.update(bar, completed=done, description=f"held-out rows: {step}")

    effort: dict[str, Any] = {"n_rows": max(n_rows, 1), "shares": (), "n_compared": 0, "n_examples": 1}
    found = audit(made.pipe, rows, y[places], k=made.k, threat=threat, random_state=seed, progress=show, **effort)
    values = found.summary.set_index("measure")
    area = values.loc["ROC AUC"]
    figures = {"roc_auc": float(area["value"]), "roc_auc_low": float(area["low"]), "roc_auc_high": float(area["high"])}
    if n_rows:
        figures["n_attacked"] = len(found.frame)
        figures["precision_at_k"] = float(values.loc["P@k, strongest attack", "value"])
        figures["certified_precision_at_k"] = float(values.loc["P@k, proven", "value"])
        figures["between_rows_precision"] = float(values.loc["similarity of rows", "value"])
    return figures


def _in_words(figures: dict[str, Any], k: int) -> str:
    area, low, high = (figures[name] for name in ("roc_auc", "roc_auc_low", "roc_auc_high"))
    words = f"Held-out rows: AUC {area:.3f} ({low:.3f} to {high:.3f})"
    if "precision_at_k" not in figures:
        return f"{words}."
    names = ("certified_precision_at_k", "precision_at_k", "between_rows_precision")
    proven, attacked, shared = (figures[name] for name in names)
    return (
        f"{words}; P@{k} of {figures['n_attacked']} of them between {proven:.2f} (proven) and {attacked:.2f} "
        f"(attacked); two different rows share {shared:.2f} of their reasons."
    )
