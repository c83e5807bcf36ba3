"""Tables of the R2ET paper in Markdown: our results as mean ± s.d. over seeds, the paper's figures beside them.

In brackets stand the paper's figure for the same method and by how much ours is above it. Figures of methods that were
not run stand in rows of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from robustxai._arguments import Each, Instance, Number, Table, checked
from robustxai._markdown import markdown_table
from robustxai.experiments.r2et._methods import paper_name, row_label
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
        values = self.of(random).get(column, pd.Series(dtype=float)) * scale
        if values.isna().all():
            return "-"
        return f"{values.mean():.{decimals}f}" + (f" ± {values.std(ddof=1):.{decimals}f}" if len(values) > 1 else "")

    def compared(self, column: _Compared, table: int) -> str:
        """Return mean ± s.d., the paper's figure for the same method if it has one, and the difference of the two."""
        ours = self.value(column.column, column.decimals, column.scale, random=column.random)
        theirs = self.theirs(column, table)
        if np.isnan(theirs):
            return ours
        difference = self.difference(column, table)
        return f"{ours} ({theirs:g}{'' if np.isnan(difference) else f'; {difference:+.{column.decimals}f}'})"

    def theirs(self, column: _Compared, table: int) -> float:
        """Return the paper's figure for the same method; NaN if it has none."""
        figures = PUBLISHED[table].get(self.paper_method(), {}).get(self.data)
        return float("nan") if figures is None else figures[column.item]

    def difference(self, column: _Compared, table: int) -> float:
        """Return our mean minus the paper's figure; NaN if one of them is missing."""
        ours = self.of(column.random).get(column.column, pd.Series(dtype=float)).mean() * column.scale
        return float(ours) - self.theirs(column, table)

    def paper_method(self) -> str:
        """Return the paper's name for the method; empty if it is not the paper's."""
        return paper_name(self.method)

    def of(self, random: bool) -> pd.DataFrame:
        """Return the rows of the trainings from random weights, or those of this table."""
        return self.from_random if random else self.rows

    def merit(self) -> str:
        share = figure_of_merit(self.mean("roc_auc"), self.mean("precision_at_k"), self.linear_auc, self.best_auc)
        return "-" if np.isnan(share) else f"{100 * share:.0f} %"

    def fit_ratio(self) -> str:
        return f"{self.mean('fit_seconds') / self.vanilla_seconds:.1f}"


class _PaperRow(_MethodRows):
    """Row of a method that only the paper has: its figures, and dashes."""

    def value(self, column: str, decimals: int, scale: float = 1.0, *, random: bool = False) -> str:
        return "-"

    def compared(self, column: _Compared, table: int) -> str:
        theirs = self.theirs(column, table)
        return "-" if np.isnan(theirs) else f"({theirs:g})"

    def paper_method(self) -> str:
        return self.method

    def merit(self) -> str:
        return "-"

    def fit_ratio(self) -> str:
        return "-"


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
                parts.append(_table(4, k, str(data), again, most_stable, linear, best))
            else:
                parts.append(_table(number, k, str(data), most_stable, most_stable, linear, best))
        if "merit" in by_rule:
            parts.append(_table(None, k, str(data), by_rule["merit"], most_stable, linear, best))
        if "family merit" in by_rule:
            parts.append(_families(k, str(data), by_rule, linear, best))
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


@dataclass(frozen=True)
class _Compared:
    """A column beside the paper's figures.

    Parameters
    ----------
    heading, column : str
        Of the table, and of the results.
    decimals, scale : int and float
        How it is written.
    item : int
        Place of the paper's figure.
    random : bool, default=False
        Whether it is about the training from random weights in a table of retrainings.
    """

    heading: str
    column: str
    decimals: int
    scale: float
    item: int
    random: bool = False

    def of(self, table: int) -> Column:
        """Return the column of the table of this number."""
        return self.heading, lambda rows: rows.compared(self, table)


@dataclass(frozen=True)
class _Layout:
    """One of the paper's tables: its title, its columns, and why its figures may differ from the paper's."""

    title: str
    compared: tuple[_Compared, ...]
    first: tuple[Column, ...] = ()
    without: tuple[str, ...] = ()
    #: Difference beyond which a note names the method; what can put ours below the paper's figure, and above it.
    large: float = 0.0
    below: str = ""
    above: str = ""


#: Unknowns of every table, so that any figure may differ by them.
_UNKNOWN = "data preparation, network widths and weights, none of which the paper states"
_LAYOUTS: dict[int, _Layout] = {
    1: _Layout(
        "Table 1: P@{k} under the paper's attacks (the paper's figure; the difference) and under the strongest",
        (
            _Compared("P@{k} ER, %", "precision_at_k_er_paper", 1, 100, 0),
            _Compared("P@{k} MSE, %", "precision_at_k_mse_paper", 1, 100, 1),
        ),
        large=10,
        below="the attack's scale (radius 1 is large where features lie in [0, 1]; the paper states no scaling) "
        "and its gradient (ReLU networks are attacked through a smooth surrogate; the paper does not say how)",
        above=f"{_UNKNOWN}; here the weights are chosen for P@k under the strongest attack",
    ),
    2: _Layout(
        "Table 2: thickness (the paper's figure; the difference)",
        (_Compared("thickness", "thickness", 4, 1, 0),),
        first=(("P@{k} ER, %", lambda r: r.value("precision_at_k_er_paper", 1, 100)),),
        large=0.02,
        below=f"the distribution, radius and number of draws, which the paper does not state; {_UNKNOWN}",
        above=f"the distribution, radius and number of draws, which the paper does not state; {_UNKNOWN}",
    ),
    3: _Layout(
        "Table 3: faithfulness (the paper's figure; the difference)",
        (
            _Compared("DFFOT ↓", "decision_flip_fraction", 2, 1, 0),
            _Compared("COMP ↑", "comprehensiveness", 2, 1, 1),
            _Compared("SUFF ↓", "sufficiency", 2, 1, 2),
        ),
        without=("DFFOT ↓", "COMP ↑", "SUFF ↓"),
        large=0.1,
        below=f"the value of a removed feature (here its mean in training; the paper does not state one); {_UNKNOWN}",
        above=f"the value of a removed feature (here its mean in training; the paper does not state one); {_UNKNOWN}",
    ),
    4: _Layout(
        "Table 4: P@{k} under the paper's ERAttack (the paper's figure; the difference), from random weights and "
        "retrained (the rest: retrained)",
        (
            _Compared("random, %", "precision_at_k_er_paper", 1, 100, 0, random=True),
            _Compared("retrained, %", "precision_at_k_er_paper", 1, 100, 1),
        ),
        large=10,
        below="the attack, as in Table 1, and the rule that stops the retraining, for which the paper gives no number",
        above=f"{_UNKNOWN}; the rule that stops the retraining, for which the paper gives no number",
    ),
}


def _table(
    number: int | None,
    k: int,
    data: str,
    rows: pd.DataFrame,
    most_stable: pd.DataFrame,
    linear: float,
    best: float,
) -> str:
    """Return the paper's table of this number, or the figure of merit."""
    layout = _MERIT if number is None else _LAYOUTS[number]
    compared = () if number is None else tuple(column.of(number) for column in layout.compared)
    columns = (*layout.first, *compared, *_common(*layout.without))
    if "between_rows_precision" not in most_stable:  # results from before it was measured
        columns = tuple(column for column in columns if column[0] != "B")
    vanilla = most_stable.loc[most_stable["method"] == "Vanilla", "fit_seconds"].mean()
    groups = [(str(method), group) for method, group in rows.groupby("method", sort=False)]
    shown = [
        _MethodRows(method, data, group, most_stable[most_stable["method"] == method], linear, best, vanilla)
        for method, group in groups
    ]
    body = [[row_label(values.method), *(fill(values) for _, fill in columns)] for values in shown]
    if number is not None:
        ours = {paper_name(method) for method, _ in groups}
        for method in PUBLISHED[number]:
            figures = _PaperRow(method, data, rows, rows, linear, best, vanilla)
            line = [fill(figures) for _, fill in columns]
            if method not in ours and set(line) != {"-"}:
                body.append([f"{method} (paper)", *line])
    headings = ["method", *(heading.format(k=k) for heading, _ in columns)]
    note = "" if number is None else _note(number, shown, k)
    return _titled(layout.title.format(k=k), headings, body) + note


def _note(number: int, shown: Sequence[_MethodRows], k: int) -> str:
    """Return the sentences that name the large differences from the paper and their possible reasons."""
    layout = _LAYOUTS[number]
    sentences = []
    for word, sign, reason in (("below", -1, layout.below), ("above", 1, layout.above)):
        names = []
        for column in layout.compared:
            there = [f'"{v.method}"' for v in shown if sign * v.difference(column, number) > layout.large]
            if there:
                names.append(f"{column.heading.format(k=k).removesuffix(' ↓').removesuffix(' ↑')}: {', '.join(there)}")
        if names:
            sentences.append(f"More than {layout.large:g} {word} the paper ({'; '.join(names)}): {reason}.")
    return f"\n{' '.join(sentences)}\n" if sentences else ""


_MERIT = _Layout(f"Figure of merit: the most accurate candidate with P@{{k}} of at least {STABLE}", ())


def _families(k: int, data: str, by_rule: Mapping[Hashable, pd.DataFrame], linear: float, best: float) -> str:
    """Return the best of each family by both rules, each family with the budget of one row."""
    merit, precision = by_rule["family merit"], by_rule["family precision"]
    body = []
    for family in precision["method"].unique():
        line = [str(family)]
        for table in (merit, precision):
            rows = table[table["method"] == family]
            if rows.empty:
                line += ["-"] * 4
                continue
            values = _MethodRows(str(family), data, rows, rows, linear, best, float("nan"))
            line += [str(rows["form"].iloc[0]), values.value("roc_auc", 4), values.value("precision_at_k", 3)]
            line.append(values.merit())
        body.append(line)
    rule = ["form", "AUC", f"P@{k} worst", "merit"]
    headings = ["family", *(f"{name}, by merit" for name in rule), *(f"{name}, by P@{k}" for name in rule)]
    return _titled("The best of each family, with the candidates of one row for each family", headings, body)


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
