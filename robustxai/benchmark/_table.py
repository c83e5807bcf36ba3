"""Tables of results: mean and standard deviation over seeds."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from robustxai._arguments import PathName, Table, Text, checked, optional
from robustxai._files import write_csv, write_text
from robustxai._markdown import markdown_table
from robustxai.benchmark._comparison import comparison_markdown

__all__ = ["COLUMNS", "summarize", "to_markdown", "write_tables"]

#: Column of the cells -> (heading, decimals). The columns that qualify stability stand right beside it: B is the P@k
#: between the explanations of two different rows, "sets" the number of different top-k sets, "commonest" the share of
#: rows with the most frequent set.
COLUMNS: dict[str, tuple[str, int]] = {
    "roc_auc": ("AUC", 4),
    "accuracy": ("accuracy", 3),
    "precision_at_k": ("P@{k} worst", 3),
    "between_rows_precision": ("B", 3),
    "corrected_precision_at_k": ("(P - B) / (1 - B)", 3),
    "distinct_top_k_sets": ("sets", 0),
    "commonest_top_k_share": ("commonest", 2),
    "precision_at_k_auto": ("P@{k} attacked (auto)", 3),
    "certified_precision_at_k": ("P@{k} certified", 3),
    "precision_at_k_er": ("P@{k} ER", 3),
    "precision_at_k_mse": ("P@{k} MSE", 3),
    "precision_at_k_boundary": ("P@{k} boundary", 3),
    "precision_at_k_overlap": ("P@{k} overlap", 3),
    "precision_at_k_random": ("P@{k} random", 3),
    "thickness": ("thickness", 4),
    "first_flip": ("first flip", 1),
    "adversarial_auc": ("adv. AUC", 4),
    "prediction_sensitivity": ("sensitivity", 3),
    "comprehensiveness": ("COMP ↑", 3),
    "sufficiency": ("SUFF ↓", 3),
    "decision_flip_fraction": ("DFFOT ↓", 3),
    "fit_seconds": ("fit s", 1),
}

_CELLS = Table(("data", "defense"), source="run_experiment")
#: Defenses that the others are compared with by default: the first of them that has run.
_REFERENCES = ("r2et", "vanilla")


@checked(cells=_CELLS)
def summarize(cells: pd.DataFrame) -> pd.DataFrame:
    """Compute mean and standard deviation over seeds, one row per data set and defense.

    Returns
    -------
    DataFrame
        Indexed by (data, defense) in the order of `cells`; columns are pairs (metric, "mean" | "sd"). A metric that one
        of the seeds lacks (such as a corrected P@k if all rows share one top-k set) is NaN, because a mean over the
        other seeds would refer to other models than the rest of the row.
    """
    metrics = [name for name in COLUMNS if name in cells]
    groups = cells.groupby(["data", "defense"], sort=False)[metrics]
    parts = {
        "mean": groups.agg(lambda values: values.mean(skipna=False)),
        "sd": groups.agg(lambda values: values.std(ddof=1, skipna=False)),
    }
    table = pd.concat(parts, axis=1).swaplevel(axis=1)
    return table[[(metric, part) for metric in metrics for part in ("mean", "sd")]]


@checked(cells=_CELLS, reference=optional(Text()))
def to_markdown(cells: pd.DataFrame, *, reference: str | None = None) -> str:
    """Return the tables of all data sets in Markdown, values as mean ± s.d., and paired differences from a defense.

    Parameters
    ----------
    cells : DataFrame
        As ``run_experiment`` returns them.
    reference : str, optional
        Defense that the others are compared with (:func:`compare_methods`); by default "r2et", or else "vanilla", if
        it is among them.
    """
    table = summarize(cells)
    lines: list[str] = []
    for data, rows in table.groupby(level="data", sort=False):
        subset = cells[cells["data"] == data]
        first = subset.iloc[0]
        metrics = [name for name in table.columns.unique(level=0) if rows[name]["mean"].notna().any()]
        headings = ["defense", *(COLUMNS[m][0].format(k=first["k"]) for m in metrics)]
        body = [[str(defense), *(_cell(row, m) for m in metrics)] for (_, defense), row in rows.iterrows()]
        lines += [
            f"### {data} ({first['n_features']} features, epsilon {first['epsilon']:g} in l{first['norm']}, "
            f"{subset['seed'].nunique()} seeds)",
            "",
            markdown_table(headings, body),
            "",
        ]
    known = set(cells["defense"])
    chosen = reference or next((name for name in _REFERENCES if name in known), None)
    compared = comparison_markdown(cells, chosen) if chosen and "seed" in cells else ""
    return "\n".join([*lines, f"### Against {chosen}\n\n{compared}"] if compared else lines)


def _cell(row: pd.Series, metric: str) -> str:
    mean, sd = row[metric, "mean"], row[metric, "sd"]
    if pd.isna(mean):
        return "-"
    decimals = COLUMNS[metric][1]
    return f"{mean:.{decimals}f}" + ("" if pd.isna(sd) else f" ± {sd:.{decimals}f}")


@checked(cells=_CELLS, out=PathName())
def write_tables(cells: pd.DataFrame, out: str | Path) -> tuple[Path, Path]:
    """Write ``results.csv`` (one row per cell) and ``results.md`` (the tables); return both paths."""
    out = Path(out)
    csv, markdown = out / "results.csv", out / "results.md"
    write_csv(cells, csv)
    write_text(markdown, to_markdown(cells))
    return csv, markdown
