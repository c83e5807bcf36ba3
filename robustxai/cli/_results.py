"""Tables and figures of experiments: on the screen and as files."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pandas as pd
from rich import box
from rich.markup import escape
from rich.table import Table

from robustxai._files import file_name, write_csv, write_text, written_at_once
from robustxai.benchmark import COLUMNS, CriticalDifferenceDisplay, FrontierDisplay, by_explanation, summarize
from robustxai.cli._streams import messages

__all__ = [
    "SHOWN",
    "can_plot",
    "draw",
    "figures",
    "point_to_warnings",
    "ranks",
    "rich_table",
    "stem_of",
    "titled",
    "write_results",
]


#: Columns that fit a terminal; the files have all columns.
SHOWN = (
    "roc_auc",
    "precision_at_k",
    "between_rows_precision",
    "precision_at_k_auto",
    "certified_precision_at_k",
    "precision_at_k_random",
    "comprehensiveness",
    "fit_seconds",
)


def write_results(results: pd.DataFrame, markdown: str, out: Path, stem: str) -> list[Path]:
    """Write the rows and their table."""
    written = [out / f"{stem}.md", out / f"{stem}.csv"]
    write_text(written[0], markdown)
    write_csv(results, written[1])
    return written


def point_to_warnings(rows: pd.DataFrame, csv: Path) -> None:
    """Name the models whose figures are doubtful; the sentences themselves would fill the screen."""
    if "warning" not in rows:
        return
    doubtful = rows[rows["warning"].fillna("") != ""]
    if len(doubtful):
        names = {data: ", ".join(dict.fromkeys(own["defense"])) for data, own in doubtful.groupby("data", sort=False)}
        which = "; ".join(f"{data}: {models}" for data, models in names.items())
        text = f"note: some figures are doubtful ({which}); the column 'warning' of {csv} says why."
        messages.print(text, markup=False, soft_wrap=True)


def titled(name: str, explanation: str) -> str:
    """Return the name of a data set with that of the explanation, unless that is the gradient."""
    return name if explanation in ("", "gradient") else f"{name}, {explanation.replace('_', ' ')}"


def stem_of(name: str, explanation: str) -> str:
    """Return the same as a part of a file's name."""
    return file_name(name) if explanation in ("", "gradient") else f"{file_name(name)}-{explanation}"


def rich_table(name: str, cells: pd.DataFrame) -> Table:
    first = cells.iloc[0]
    seeds = cells["seed"].nunique()
    title = f"{escape(name)}: epsilon {first['epsilon']:g}, mean over {seeds} seed{'s' if seeds > 1 else ''}"
    # narrow, to fit a terminal of 80 columns
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    table.add_column("defense", no_wrap=True)
    shown = [column for column in SHOWN if column in cells]
    for column in shown:
        heading = COLUMNS[column][0].format(k=first["k"]).replace(" ", "\n")
        table.add_column(heading, justify="right", no_wrap=True)
    for (_, defense), row in summarize(cells.drop(columns="training_explainer", errors="ignore")).iterrows():
        values = [(row[column, "mean"], COLUMNS[column][1]) for column in shown]
        table.add_row(str(defense), *("-" if pd.isna(value) else f"{value:.{digits}f}" for value, digits in values))
    return table


def figures(cells: pd.DataFrame, out: Path) -> list[Path]:
    """Draw one frontier per data set and explanation, if matplotlib is installed."""
    if not can_plot():
        return []
    paths = []
    for name, explanation, rows in by_explanation(cells):
        if "precision_at_k" not in rows or rows["precision_at_k"].isna().all():
            continue
        path = out / f"frontier-{stem_of(name, explanation)}.png"
        paths.append(draw(FrontierDisplay.from_results(rows), titled(name, explanation), path))
    explanations: dict[str, list[pd.DataFrame]] = {}
    for _, explanation, rows in by_explanation(cells):
        explanations.setdefault(explanation, []).append(rows)
    for explanation, tables in explanations.items():
        paths += ranks(pd.concat(tables), "defense", out / f"{stem_of('critical-difference', explanation)}.png")
    return paths


def ranks(cells: pd.DataFrame, by: str, path: Path) -> list[Path]:
    """Draw the average ranks of the methods, if there are two with a P@k on the same two splits or more."""
    if "precision_at_k" not in cells:
        return []
    known = cells.pivot_table(index=["data", "seed"], columns=by, values="precision_at_k").dropna(axis=1)
    if len(known) < 2 or known.shape[1] < 2:
        return []
    return [draw(CriticalDifferenceDisplay.from_results(cells, by=by), "all tables", path)]


def can_plot() -> bool:
    if importlib.util.find_spec("matplotlib") is None:
        messages.print("No figure: pip install 'robustxai[plot]' for matplotlib.", markup=False)
        return False
    import matplotlib

    matplotlib.use("Agg")
    return True


def draw(display: Any, title: str, path: Path) -> Path:
    """Write the figure of a display, with the name of its data set as title."""
    display.figure_.suptitle(title)
    with written_at_once(path) as file:
        display.figure_.savefig(file, format="png", dpi=120)
    return path
