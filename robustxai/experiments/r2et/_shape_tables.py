"""Tables of the R2ET paper's experiments on images, pairs and graphs, with the paper's figures.

The paper's figures for methods of which no row is the paper's, such as its own R2ET, stand in rows of their own.
"""

from __future__ import annotations

import pandas as pd

from robustxai._arguments import Table, checked
from robustxai._markdown import markdown_table
from robustxai.experiments.r2et._methods import paper_name, row_label

__all__ = ["PUBLISHED_SHAPES", "shapes_markdown"]

#: Chen et al., 2023, Table 1: P@k in % under ERAttack and under the MSE attack. The figures
#: beside abide are those of ADHD, another data set.
PUBLISHED_SHAPES: dict[str, dict[str, tuple[float, float]]] = {
    "mnist": {
        "Vanilla": (59.0, 64.0),
        "WD": (59.1, 64.8),
        "SP": (62.9, 66.9),
        "Est-H": (85.2, 90.2),
        "R2ET\\H": (82.8, 89.7),
        "R2ET": (85.7, 90.8),
        "R2ET-mm": (85.3, 91.4),
    },
    "cifar10": {
        "Vanilla": (66.5, 68.3),
        "WD": (64.2, 65.6),
        "SP": (67.2, 71.9),
        "Est-H": (77.1, 78.7),
        "R2ET\\H": (67.3, 72.2),
        "R2ET": (75.0, 77.4),
        "R2ET-mm": (78.0, 79.1),
    },
    "abide": {
        "Vanilla": (45.5, 81.1),
        "WD": (47.6, 79.4),
        "SP": (42.5, 81.3),
        "Est-H": (58.2, 83.7),
        "R2ET\\H": (60.7, 86.8),
        "R2ET": (71.6, 91.3),
        "R2ET-mm": (58.8, 87.5),
    },
}

#: Columns that the paper has figures for, in its order.
_PLACES = ("precision_at_k_er_paper", "precision_at_k_mse_paper")
#: Column of the cells -> heading, decimals, and factor.
_COLUMNS: dict[str, tuple[str, int, float]] = {
    "roc_auc": ("AUC", 4, 1.0),
    "accuracy": ("accuracy", 3, 1.0),
    "precision_at_k_er_paper": ("P@{k} ER, paper's attack (paper's figure)", 1, 100.0),
    "precision_at_k_mse_paper": ("P@{k} MSE, paper's attack (paper's figure)", 1, 100.0),
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


@checked(
    results=Table(("data", "method", "seed", "size", "n_train", "n_rows", "epsilon", "k"), source="R2ETShapes.run")
)
def shapes_markdown(results: pd.DataFrame) -> str:
    """Return a Markdown table per data set, mean ± s.d. over seeds; P@k in per cent, as in the paper."""
    lines: list[str] = []
    # results of older versions have no B, the P@k between two different rows
    columns = [name for name in _COLUMNS if name in results or name != "between_rows_precision"]
    for data, rows in results.groupby("data", sort=False):
        first = rows.iloc[0]
        heads = [_COLUMNS[name][0].format(k=first["k"]) for name in columns]
        lines += [
            f"## {data} ({first['size']}, {first['n_train']} training samples, {first['n_rows']} attacked, "
            f"epsilon {first['epsilon']:g} in l2, {rows['seed'].nunique()} seeds)",
            "",
        ]
        body = []
        for method, group in rows.groupby("method", sort=False):
            cells = [_entry(group, name, str(data), str(method)) for name in columns]
            body.append([row_label(str(method)), *cells])
        ours = {paper_name(str(method)) for method in rows["method"].unique()}
        for method in rows["method"].unique():
            if method not in ours and method in PUBLISHED_SHAPES[str(data)]:
                figures = dict(zip(_PLACES, PUBLISHED_SHAPES[str(data)][method]))
                cells = [f"({figures[name]:g})" if name in figures else "-" for name in columns]
                body.append([f"{method} (paper)", *cells])
        lines += [markdown_table(["method", *heads], body), ""]
    return "\n".join(lines)


def _entry(group: pd.DataFrame, column: str, data: str, method: str) -> str:
    _, decimals, factor = _COLUMNS[column]
    if column not in group or group[column].isna().all():
        return "-"
    values = group[column] * factor
    text = f"{values.mean():.{decimals}f}" + (f" ± {values.std(ddof=1):.{decimals}f}" if len(values) > 1 else "")
    published = PUBLISHED_SHAPES[data].get(paper_name(method))
    return f"{text} ({published[_PLACES.index(column)]:g})" if column in _PLACES and published else text
