"""Tables of the R2ET paper's experiments on images, pairs and graphs, with the paper's figures and the differences."""

from __future__ import annotations

import math

import pandas as pd

from robustxai._arguments import Table, checked
from robustxai._markdown import markdown_table
from robustxai.experiments.r2et._shape_published import FIGURES, PUBLISHED_SHAPES

__all__ = ["EQ_6", "PAPER_SETS", "shapes_markdown", "shapes_summary"]

#: End of the names of methods that are the paper's R2ET.
EQ_6 = ", Eq. 6"
#: Data set -> published data sets that stand beside it.
PAPER_SETS: dict[str, tuple[str, ...]] = {"mnist": ("mnist",), "cifar10": ("cifar10",), "abide": ("adhd", "bp")}
#: Column of the cells -> heading, decimals, and factor.
_COLUMNS: dict[str, tuple[str, int, float]] = {
    "roc_auc": ("AUC", 4, 1.0),
    "accuracy": ("accuracy", 3, 1.0),
    "precision_at_k_er_paper": ("P@{k} ER, paper's attack", 1, 100.0),
    "precision_at_k_mse_paper": ("P@{k} MSE, paper's attack", 1, 100.0),
    "precision_at_k_er_code": ("P@{k} ER, code's step", 1, 100.0),
    "precision_at_k_mse_code": ("P@{k} MSE, code's step", 1, 100.0),
    "precision_at_k_boundary_code": ("P@{k} boundary, code's radius", 1, 100.0),
    "precision_at_k": ("P@{k} worst of ours", 1, 100.0),
    "between_rows_precision": ("B", 1, 100.0),
    "precision_at_k_boundary": ("P@{k} boundary", 1, 100.0),
    "precision_at_k_random": ("P@{k} random", 1, 100.0),
    "thickness": ("thickness", 4, 1.0),
    "comprehensiveness": ("COMP ↑", 3, 1.0),
    "sufficiency": ("SUFF ↓", 3, 1.0),
    "decision_flip_fraction": ("DFFOT ↓", 3, 1.0),
    "fit_seconds": ("fit s", 0, 1.0),
}
_RESULTS = Table(
    ("data", "method", "seed", "size", "n_train", "n_rows", "epsilon", "k"),
    source="R2ETShapes.run",
)


@checked(results=_RESULTS)
def shapes_markdown(results: pd.DataFrame) -> str:
    """Return a Markdown table per data set, mean ± s.d. over seeds; P@k in per cent, as in the paper.

    In brackets stand the paper's figure and the difference (ours minus the paper's); beside connectomes those of its
    two data sets, ADHD and BP.
    """
    lines: list[str] = []
    for data, rows in results.groupby("data", sort=False):
        first = rows.iloc[0]
        columns = [name for name in _COLUMNS if name in rows and rows[name].notna().any()]
        heads = [_COLUMNS[name][0].format(k=first["k"]) + _brackets(str(data), name) for name in columns]
        lines += [f"## {data}", "", _protocol(rows), ""]
        body = []
        for method, group in rows.groupby("method", sort=False):
            body.append([str(method), *(_entry(group, name, str(data), str(method)) for name in columns)])
        body += [
            [f"{method} (paper)", *(_published_entry(str(data), method, name) for name in columns)]
            for method in _without_row(rows)
        ]
        lines += [markdown_table(["method", *heads], body), ""]
    return "\n".join(lines)


@checked(results=_RESULTS)
def shapes_summary(results: pd.DataFrame) -> str:
    """Return one paragraph per data set: what R2ET gains over Vanilla here and in the paper, and the best network."""
    return "\n".join(_summary(str(data), rows) for data, rows in results.groupby("data", sort=False))


def _protocol(rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    numbers = [f"size {first['size']}", f"{first['n_train']:,} training samples"]
    if "epochs" in rows:  # results of older versions have no such columns
        numbers.append(f"{first['epochs']:.0f} epochs (the first {first['warm_up_epochs']:.0f} plain for all)")
        numbers.append(f"{first['paper_steps']:.0f} steps of the paper's attacks")
    numbers.append(f"{first['n_rows']} attacked samples, epsilon {first['epsilon']:g} in l2")
    seeds = rows["seed"].nunique()
    return f"{'; '.join(numbers)}; {seeds} {'splits or folds' if first['data'] == 'abide' else 'seeds'}.".capitalize()


def _summary(data: str, rows: pd.DataFrame) -> str:
    means = rows.groupby("method", sort=False)[["precision_at_k", "precision_at_k_er_paper", "roc_auc"]].mean()
    k = rows["k"].iloc[0]
    sentences = []
    for method in ("R2ET" + EQ_6, "R2ET-mm" + EQ_6, "R2ET, normalized", "R2ET-mm, normalized"):
        if method not in means.index or "Vanilla" not in means.index:
            continue
        own, plain = means.loc[method], means.loc["Vanilla"]
        er, worst = (
            f"{100 * own[name]:.1f} ({100 * (own[name] - plain[name]):+.1f})"
            for name in ("precision_at_k_er_paper", "precision_at_k")
        )
        text = f"{method}: {er} under the paper's ERAttack, {worst} under the strongest attack"
        text += f", {100 * (own['roc_auc'] - plain['roc_auc']):+.2f} points of AUC"
        if method.endswith(EQ_6):
            text += f"; the paper prints {_published_gain(data, method)} under its ERAttack"
        sentences.append(text)
    networks = means.drop("Logistic regression", errors="ignore")["precision_at_k"]
    best = networks.idxmax()
    sentences.append(
        f"the highest of the networks under the strongest attack is {best} with {100 * networks[best]:.1f}"
    )
    return (
        f"* **{data}**, P@{k} (in brackets: minus Vanilla). " + ". ".join(s[0].upper() + s[1:] for s in sentences) + "."
    )


def _published_gain(data: str, method: str) -> str:
    """Return the paper's figure under ERAttack with its gain over Vanilla, for each of its data sets."""
    parts = []
    for name in PAPER_SETS[data]:
        figures = PUBLISHED_SHAPES[name]
        own, plain = figures[method.removesuffix(EQ_6)][0], figures["Vanilla"][0]
        parts.append(f"{own:.1f} ({own - plain:+.1f})" + (f" for {name.upper()}" if name != data else ""))
    return " and ".join(parts)


def _brackets(data: str, column: str) -> str:
    """Return the part of a heading that says what stands in brackets."""
    names = [name for name in PAPER_SETS[data] if not math.isnan(_published(name, "Vanilla", column))]
    if not names:
        return ""
    if names == [data]:
        return " (paper, difference)"
    return f" ({'; '.join(f'{name.upper()}, difference' for name in names)})"


def _published(name: str, method: str, column: str) -> float:
    """Return a figure of the paper in the unit of the tables; nan if it has none."""
    column = column.replace("_code", "_paper")  # the paper's figures stand beside both lengths of the steps
    figures = PUBLISHED_SHAPES[name].get(method.removesuffix(EQ_6))
    return math.nan if figures is None or column not in FIGURES else figures[FIGURES.index(column)]


def _without_row(rows: pd.DataFrame) -> list[str]:
    """Return the paper's forms of R2ET that have no row of ours, if there is a form of the library."""
    methods = set(rows["method"])
    forms = [method for method in PUBLISHED_SHAPES["mnist"] if method.startswith("R2ET")]
    if not any(method.startswith("R2ET") for method in methods):
        return []
    return [form for form in forms if form + EQ_6 not in methods]


def _published_entry(data: str, method: str, column: str) -> str:
    decimals = _decimals(column)
    values = [_published(name, method, column) for name in PAPER_SETS[data]]
    known = [f"{value:.{decimals}f}" for value in values if not math.isnan(value)]
    return f"({'; '.join(known)})" if known else "-"


def _decimals(column: str) -> int:
    """Return the decimals that the paper prints."""
    return {"thickness": 4}.get(column, 1 if column.startswith("precision") else 2)


def _entry(group: pd.DataFrame, column: str, data: str, method: str) -> str:
    _, decimals, factor = _COLUMNS[column]
    if group[column].isna().all():
        return "-"
    values = group[column] * factor
    text = f"{values.mean():.{decimals}f}" + (f" ± {values.std(ddof=1):.{decimals}f}" if len(values) > 1 else "")
    own, parts = _decimals(column), []
    for name in PAPER_SETS[data]:
        published = _published(name, method, column)
        if not math.isnan(published):
            parts.append(f"{published:.{own}f}, {values.mean() - published:+.{own}f}")
    return f"{text} ({'; '.join(parts)})" if parts else text
