"""Tables of results: mean and standard deviation over seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from robustxai._arguments import Choice, Each, Instance, Named, PathName, Table, Text, checked, optional
from robustxai._files import write_csv, write_text
from robustxai._markdown import markdown_table
from robustxai.benchmark._comparison import comparison_markdown

__all__ = ["COLUMNS", "by_explanation", "comparisons", "ranked_markdown", "summarize", "to_markdown", "write_tables"]

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
def by_explanation(cells: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield data set, explainer and their cells, whose ``defense`` says what it was trained on where that is not clear.

    It is clear if the defense is trained on the measured explanation or on none, and has no other row in the table.
    Results without a column ``explainer`` have the explainer "".
    """
    for data, table in cells.groupby("data", sort=False):
        groups = table.groupby("explainer", sort=False) if "explainer" in table else [("", table)]
        for explainer, rows in groups:
            if "training_explainer" not in rows:
                yield str(data), str(explainer), rows
                continue
            trainings = rows.groupby("defense")["training_explainer"].transform("nunique")
            unclear = (trainings > 1) | ~rows["training_explainer"].isin(["none", explainer])
            names = rows["defense"] + " (trained on " + rows["training_explainer"].str.replace("_", " ") + ")"
            yield str(data), str(explainer), rows.assign(defense=rows["defense"].where(~unclear, names))


@checked(cells=_CELLS)
def summarize(cells: pd.DataFrame) -> pd.DataFrame:
    """Compute mean and standard deviation over seeds, one row per data set and defense.

    Returns
    -------
    DataFrame
        Indexed by (data, defense) in the order of `cells`, or by (data, explainer, training_explainer, defense) if
        there are several explanations or trainings; columns are pairs (metric, "mean" | "sd"). A metric that one
        of the seeds lacks (such as a corrected P@k if all rows share one top-k set) is NaN, because a mean over the
        other seeds would refer to other models than the rest of the row.
    """
    metrics = [name for name in COLUMNS if name in cells]
    explained = [name for name in ("explainer", "training_explainer") if name in cells]
    several = any(cells.groupby(["data", "defense"])[name].nunique().max() > 1 for name in explained)
    groups = cells.groupby(["data", *(explained if several else ()), "defense"], sort=False)[metrics]
    # a metric in each row, so that every sum runs over neighbors in memory
    values, group = cells[metrics].to_numpy(dtype=float).T.copy(), groups.ngroup().to_numpy()
    index = groups.size().index
    means, deviations = np.empty((len(index), len(metrics))), np.full((len(index), len(metrics)), np.nan)
    for number in range(len(index)):
        own = np.ascontiguousarray(values[:, group == number])
        n = own.shape[1]
        means[number] = own.sum(axis=1) / n
        if n > 1:
            deviations[number] = np.sqrt(((own - means[number][:, None]) ** 2).sum(axis=1) / (n - 1))
    parts = {"mean": pd.DataFrame(means, index, metrics), "sd": pd.DataFrame(deviations, index, metrics)}
    table = pd.concat(parts, axis=1).swaplevel(axis=1)
    return table[[(metric, part) for metric in metrics for part in ("mean", "sd")]]


@checked(cells=_CELLS, reference=optional(Text()))
def to_markdown(cells: pd.DataFrame, *, reference: str | None = None) -> str:
    """Return the tables of all data sets and explanations in Markdown, and paired differences from a defense.

    Parameters
    ----------
    cells : DataFrame
        As ``run_experiment`` returns them. Values of the tables are mean ± s.d.
    reference : str, optional
        Defense that the others are compared with (:func:`compare_methods`); by default "r2et", or else "vanilla", if
        it is among them.
    """
    lines: list[str] = []
    for data, explainer, subset in by_explanation(cells):
        table = summarize(subset.drop(columns="training_explainer", errors="ignore"))
        first = subset.iloc[0]
        metrics = [name for name in table.columns.unique(level=0) if table[name]["mean"].notna().any()]
        headings = ["defense", *(COLUMNS[m][0].format(k=first["k"]) for m in metrics)]
        body = [[str(defense), *(_cell(row, m) for m in metrics)] for (_, defense), row in table.iterrows()]
        lines += [f"### {_title(data, explainer, subset)}", "", markdown_table(headings, body), ""]
    return "\n".join([*lines, *comparisons(cells, reference)])


@checked(cells=_CELLS, reference=optional(Text()))
def comparisons(cells: pd.DataFrame, reference: str | None = None) -> Iterator[str]:
    """Yield the paired differences under each explanation; nothing without seeds or without a reference."""
    tables: dict[str, list[pd.DataFrame]] = {}
    for _, explainer, rows in by_explanation(cells):
        tables.setdefault(explainer, []).append(rows)
    for explainer, parts in tables.items():
        rows = pd.concat(parts)
        known = {str(name).partition(" (trained on ")[0]: str(name) for name in reversed(rows["defense"].unique())}
        wanted = reference or next((name for name in _REFERENCES if name in known), None)
        if wanted is not None and "seed" in rows:
            chosen = known.get(wanted, wanted)
            named = "" if explainer in ("", "gradient") else f", {explainer.replace('_', ' ')}"
            compared = comparison_markdown(rows, chosen)
            if compared:
                yield f"### Against {chosen}{named}\n\n{compared}"


def _title(data: str, explainer: str, rows: pd.DataFrame) -> str:
    first, seeds = rows.iloc[0], rows["seed"].nunique()
    # gradients are the explanation of a table that does not name one
    named = "" if explainer in ("", "gradient") else f", {explainer.replace('_', ' ')}"
    where = f"epsilon {first['epsilon']:g} in l{first['norm']}"
    return f"{data}{named} ({first['n_features']} features, {where}, {seeds} seeds)"


#: Columns of `ranked_markdown`: stability, what qualifies it, and what it costs.
_RANKED = (
    "roc_auc",
    "precision_at_k",
    "between_rows_precision",
    "corrected_precision_at_k",
    "commonest_top_k_share",
    "certified_precision_at_k",
    "thickness",
    "first_flip",
    "prediction_sensitivity",
    "comprehensiveness",
    "sufficiency",
    "decision_flip_fraction",
    "fit_seconds",
)


@checked(
    cells=_CELLS,
    columns=Each(Choice(COLUMNS, kind="column"), least=1),
    labels=optional(Named(Instance(str))),
    more=optional(Named(Instance(pd.Series))),
)
def ranked_markdown(
    cells: pd.DataFrame,
    columns: Sequence[str] = _RANKED,
    *,
    labels: Mapping[str, str] | None = None,
    more: Mapping[str, pd.Series] | None = None,
) -> str:
    """Return one Markdown table per data set and explanation, the defense with the highest P@k first.

    Parameters
    ----------
    cells : DataFrame
        Rows of :func:`run_experiment`.
    columns : sequence of str
        Columns of the cells, as mean ± s.d. over seeds.
    labels : mapping of str to str, optional
        Name of a defense to the label of its lines.
    more : mapping of str to Series, optional
        Heading of a further column to its texts or numbers, indexed by (data, explainer, training_explainer, defense),
        such as the results of tests. Without a value there is a dash.
    """
    lines: list[str] = []
    for data, explainer, rows in by_explanation(cells):
        # the names in the cells, which `more` is indexed by
        names = rows.assign(own=cells.loc[rows.index, "defense"]).groupby("defense", sort=False).first()
        means = summarize(rows.drop(columns="training_explainer", errors="ignore")).loc[data]
        order = means["precision_at_k"]["mean"].sort_values(ascending=False, kind="stable", na_position="last").index
        shown = [name for name in columns if name in means and means[name]["mean"].notna().any()]
        body = []
        for label in order:
            own = str(names.loc[label, "own"])
            key = (data, explainer, names.loc[label].get("training_explainer", "none"), own)
            given = [column.get(key, "-") for column in (more or {}).values()]
            text = str(label).replace(own, (labels or {}).get(own, own.replace("_", " ")), 1)
            body.append([text, *(_cell(means.loc[label], name) for name in shown), *map(str, given)])
        headings = ["defense", *(COLUMNS[m][0].format(k=rows["k"].iloc[0]) for m in shown), *(more or {})]
        lines += [f"### {_title(data, explainer, rows)}", "", markdown_table(headings, body), ""]
    return "\n".join(lines)


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
