"""Tables of the R2ET paper in Markdown: our results as mean ± s.d. over seeds, the paper's figures in brackets.

The paper's figures for its own R2ET stand in rows of their own, because no row of ours is its Eq. 6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from robustxai._arguments import Each, Instance, Number, Table, checked
from robustxai._markdown import markdown_table
from robustxai.experiments.r2et._methods import LIBRARY_FORMS, row_label
from robustxai.experiments.r2et._paper import STABLE, UNCONSTRAINED, Study, figure_of_merit
from robustxai.experiments.r2et._published import PUBLISHED

__all__ = ["paper_markdown", "reference_aucs"]

#: Heading, and a function from the rows of one method to the text of the column.
Column = tuple[str, Callable[["_MethodRows"], str]]


@dataclass(frozen=True)
class _MethodRows:
    """Cells of one method on one data set, and the values for comparison."""

    method: str
    data: str
    rows: pd.DataFrame
    from_random: pd.DataFrame
    linear_auc: float
    best_auc: float
    vanilla_seconds: float

    def mean(self, column: str) -> float:
        return float(self.rows[column].mean())

    def value(self, column: str, decimals: int, scale: float = 1.0, *, random: bool = False) -> str:
        """Return mean ± s.d. over seeds; a dash without values."""
        values = (self.from_random if random else self.rows).get(column, pd.Series(dtype=float)) * scale
        if values.isna().all():
            return "-"
        return f"{values.mean():.{decimals}f}" + (f" ± {values.std(ddof=1):.{decimals}f}" if len(values) > 1 else "")

    def published(self, ours: str, table: int, item: int = 0) -> str:
        """Append the paper's figure to `ours`, if the paper has one for the same method."""
        figure = "" if self.method in LIBRARY_FORMS else _figure(self.method, self.data, table, item)
        return f"{ours} {figure}" if figure else ours

    def merit(self) -> str:
        share = figure_of_merit(self.mean("roc_auc"), self.mean("precision_at_k"), self.linear_auc, self.best_auc)
        return "-" if np.isnan(share) else f"{100 * share:.0f} %"

    def fit_ratio(self) -> str:
        return f"{self.mean('fit_seconds') / self.vanilla_seconds:.1f}"


class _PaperRow(_MethodRows):
    """Row of a method that only the paper has: its figures, and dashes."""

    def value(self, column: str, decimals: int, scale: float = 1.0, *, random: bool = False) -> str:
        return "-"

    def published(self, ours: str, table: int, item: int = 0) -> str:
        return _figure(self.method, self.data, table, item) or "-"

    def merit(self) -> str:
        return "-"

    def fit_ratio(self) -> str:
        return "-"


def _figure(method: str, data: str, table: int, item: int) -> str:
    """Return the paper's figure in brackets; empty if it has none."""
    figures = PUBLISHED[table].get(method, {}).get(data)
    return "" if figures is None or np.isnan(figures[item]) else f"({figures[item]:g})"


@checked(tests=Table(("method", "choice", "roc_auc"), source="Study.tests"))
def reference_aucs(tests: pd.DataFrame) -> tuple[float, float]:
    """Return the test AUC of logistic regression and of the best unconstrained network on one data set."""
    linear = tests.loc[tests["method"] == "Logistic regression", "roc_auc"].mean()
    free = tests[(tests["choice"] == "auc") & tests["method"].isin(UNCONSTRAINED)]
    return float(linear), float(free.groupby("method")["roc_auc"].mean().max())


@checked(study=Instance(Study), tables=Each(Number(1, 4, integer=True)), figures=Each(Number(1, integer=True)))
def paper_markdown(study: Study, tables: Sequence[int] = (1, 2, 3, 4), figures: Sequence[int] = (3,)) -> str:
    """Return Tables 1 to 4, the figure of merit and the numbers of Figure 3 in Markdown, data set by data set."""
    parts = []
    for data, tests in study.tests.groupby("data", sort=False):
        linear, best = reference_aucs(tests)
        parts.append(
            f"## {data}\n\nAUC of logistic regression {linear:.4f}, of the best unconstrained network {best:.4f}.\n"
        )
        by_rule = dict(iter(tests.groupby("choice", sort=False)))
        most_stable = by_rule["precision"]
        k = most_stable["k"].iloc[0]
        for number in tables:
            if number == 4:
                again = study.retrained[study.retrained["data"] == data] if len(study.retrained) else study.retrained
                parts.append(_table(_TABLES[4], k, str(data), again, most_stable, linear, best))
            else:
                parts.append(_table(_TABLES[number], k, str(data), most_stable, most_stable, linear, best))
        if "merit" in by_rule:
            parts.append(_table(_MERIT, k, str(data), by_rule["merit"], most_stable, linear, best))
        if 3 in figures and len(study.flips):
            parts.append(_flips(study.flips[study.flips["data"] == data]))
    return "\n".join(parts)


def _common(*without: str) -> tuple[Column, ...]:
    """Return the columns that qualify stability, for every table."""
    columns: tuple[Column, ...] = (
        ("AUC", lambda r: r.value("roc_auc", 4)),
        ("P@{k} worst", lambda r: r.value("precision_at_k", 3)),
        ("B", lambda r: r.value("between_rows_precision", 3)),
        ("merit", lambda r: r.merit()),
        ("sensitivity", lambda r: r.value("prediction_sensitivity", 3)),
        ("DFFOT ↓", lambda r: r.value("decision_flip_fraction", 2)),
        ("COMP ↑", lambda r: r.value("comprehensiveness", 2)),
        ("SUFF ↓", lambda r: r.value("sufficiency", 2)),
        ("fit / Vanilla", lambda r: r.fit_ratio()),
    )
    return tuple(column for column in columns if column[0] not in without)


_TABLES: dict[int, tuple[str, tuple[Column, ...]]] = {
    1: (
        "Table 1: P@{k} under the paper's attacks (the paper's figure) and under the strongest",
        (
            ("P@{k} ER, %", lambda r: r.published(r.value("precision_at_k_er_paper", 1, 100), 1, 0)),
            ("P@{k} MSE, %", lambda r: r.published(r.value("precision_at_k_mse_paper", 1, 100), 1, 1)),
            *_common(),
        ),
    ),
    2: (
        "Table 2: thickness",
        (
            ("P@{k} ER, %", lambda r: r.value("precision_at_k_er_paper", 1, 100)),
            ("thickness", lambda r: r.published(r.value("thickness", 4), 2)),
            *_common(),
        ),
    ),
    3: (
        "Table 3: faithfulness",
        (
            ("DFFOT ↓", lambda r: r.published(r.value("decision_flip_fraction", 2), 3, 0)),
            ("COMP ↑", lambda r: r.published(r.value("comprehensiveness", 2), 3, 1)),
            ("SUFF ↓", lambda r: r.published(r.value("sufficiency", 2), 3, 2)),
            *_common("DFFOT ↓", "COMP ↑", "SUFF ↓"),
        ),
    ),
    4: (
        "Table 4: P@{k} under the paper's ERAttack, from random weights and retrained (the rest: retrained)",
        (
            ("random, %", lambda r: r.published(r.value("precision_at_k_er_paper", 1, 100, random=True), 4, 0)),
            ("retrained, %", lambda r: r.published(r.value("precision_at_k_er_paper", 1, 100), 4, 1)),
            *_common(),
        ),
    ),
}
_MERIT = (f"Figure of merit: the most accurate candidate with P@{{k}} of at least {STABLE}", _common())


def _table(
    layout: tuple[str, tuple[Column, ...]],
    k: int,
    data: str,
    rows: pd.DataFrame,
    most_stable: pd.DataFrame,
    linear: float,
    best: float,
) -> str:
    title, columns = layout
    if "between_rows_precision" not in most_stable:  # results from before it was measured
        columns = tuple(column for column in columns if column[0] != "B")
    vanilla = most_stable.loc[most_stable["method"] == "Vanilla", "fit_seconds"].mean()
    body = []
    for method, group in rows.groupby("method", sort=False):
        random = most_stable[most_stable["method"] == method]
        values = _MethodRows(str(method), data, group, random, linear, best, vanilla)
        body.append([row_label(str(method)), *(fill(values) for _, fill in columns)])
    for method in rows["method"].unique():
        if method in LIBRARY_FORMS:
            figures = _PaperRow(str(method), data, rows, rows, linear, best, vanilla)
            line = [fill(figures) for _, fill in columns]
            if set(line) != {"-"}:
                body.append([f"{method} (paper)", *line])
    headings = ["method", *(heading.format(k=k) for heading, _ in columns)]
    return _titled(title.format(k=k), headings, body)


def _flips(rows: pd.DataFrame) -> str:
    """Return the correlations of Figure 3."""
    body = [
        [
            row_label(str(row["method"])),
            *(
                "-" if np.isnan(row[name]) else f"{row[name]:.2f}"
                for name in ("pearson_thickness", "spearman_thickness", "pearson_hessian_norm", "spearman_hessian_norm")
            ),
            f"{100 * row['n_censored'] / row['n_rows']:.0f} %",
        ]
        for _, row in rows.iterrows()
    ]
    headings = ["method", "linear thickness", "rank thickness", "linear Hessian", "rank Hessian", "never flipped"]
    return _titled("Figure 3: correlation of the first flip with thickness and Hessian norm", headings, body)


def _titled(title: str, headings: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    return f"**{title}**\n\n{markdown_table(headings, body)}\n"
