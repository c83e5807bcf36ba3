"""Paired comparison of methods over tables and splits, as a frame and in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import get_args

import numpy as np
import pandas as pd

from robustxai._arguments import Choice, Number, Table, Text, checked
from robustxai._markdown import markdown_table
from robustxai._statistics import corrected_t, holm, sign_flip_p, wilcoxon_p
from robustxai._validation import nearest_name
from robustxai.protocols import PairedTest

__all__ = ["ALPHA", "CELLS", "TEST_SHARE", "compare_methods", "comparison_markdown", "pairs_of"]

CELLS = Table(("data", "seed"), source="run_experiment")
#: Share between 0 and 1, both excluded, such as a level of significance.
ALPHA = Number(0, 1, above=True, below=True)
TEST_SHARE = Number(0, 1, below=True)
#: Heading, factor and decimals of a metric in a table.
MetricFormat = tuple[str, float, int]

#: Metrics that are compared by default. P@k is never compared without the AUC that it costs.
_METRICS: dict[str, MetricFormat] = {
    "roc_auc": ("AUC, in points", 100, 2),
    "precision_at_k": ("P@k under the strongest attack, in points", 100, 1),
}


def pairs_of(cells: pd.DataFrame, metric: str, by: str) -> pd.DataFrame:
    """Return a metric with one row per pair of table and split, and one column per method.

    Raises
    ------
    ValueError
        A column is missing, or a method has two values for one pair.
    """
    for column in (metric, by):
        if column not in cells:
            raise ValueError(f"The cells have no column {column!r}.{nearest_name(column, map(str, cells.columns))}")
    keys = ["data", "seed", by]
    twice = cells.duplicated(keys)
    if twice.any():
        names = ", ".join(str(value) for value in cells.loc[twice, keys].iloc[0])
        raise ValueError(
            f"There are several rows of one table, split and method ({names}). Pass those of one study: one rule of "
            "choice, one epsilon, one explainer."
        )
    order = dict.fromkeys(cells[by])
    return cells.pivot(index=["data", "seed"], columns=by, values=metric)[list(order)].astype(float)


@checked(
    cells=CELLS,
    reference=Text(),
    metric=Text(),
    by=Text(),
    test=Choice(get_args(PairedTest)),
    level=ALPHA,
    test_share=TEST_SHARE,
)
def compare_methods(
    cells: pd.DataFrame,
    reference: str,
    *,
    metric: str = "precision_at_k",
    by: str = "defense",
    test: PairedTest = "sign_flip",
    level: float = 0.95,
    test_share: float = 0.25,
) -> pd.DataFrame:
    """Compare every method with a reference method over the same tables and splits.

    Every split shifts all methods together, so that differences on the same split are far less noisy than the means.
    All pairs of table and split in `cells` are pooled: pass one table for a comparison on that table.

    The interval is that of the corrected resampled t-test (Nadeau and Bengio, 2003): random splits of a table share
    rows, so that their differences are correlated. Tests by signs take the pairs as independent, and their p-values
    are therefore somewhat too small; read them beside the interval. Five pairs cannot give a p-value below 2/32 =
    0.0625 in a test by signs, whatever the differences: pool several tables, or run more splits.

    Parameters
    ----------
    cells : DataFrame
        One row per table (``data``), split (``seed``) and method, such as the result of ``run_experiment``.
    reference : str
        Method that the others are compared with.
    metric : str, default="precision_at_k"
        Column that is compared.
    by : str, default="defense"
        Column of the methods.
    test : {"sign_flip", "wilcoxon", "corrected_t"}, default="sign_flip"
        Two-sided test of ``p``: exact sign flips of the differences, Wilcoxon's signed ranks (exact, with ties too),
        or the t-test of the interval. Sign flips assume the least and use the size of the differences.
    level : float, default=0.95
        Level of the interval.
    test_share : float, default=0.25
        Share of test rows in a split, for the correction; 0.25 is the split of the benchmark. Use 0 for independent
        samples, such as the folds of different tables.

    Returns
    -------
    DataFrame
        One row per other method that shares a pair with the reference, in the order of `cells`: `by`, ``difference``
        (method less reference, mean over tables of the mean over splits), ``low``, ``high``, ``p``, ``p_holm`` (Holm's
        correction over the rows) and ``n_pairs``.

    Raises
    ------
    ValueError
        An unknown column or reference, or several rows of one table, split and method.

    Examples
    --------
    >>> import pandas as pd
    >>> from robustxai.benchmark import compare_methods
    >>> scores = {"vanilla": [0.5, 0.6, 0.4], "r2et": [0.9, 0.8, 0.9]}
    >>> rows = [("adult", s, m, v) for m, values in scores.items() for s, v in enumerate(values)]
    >>> cells = pd.DataFrame(rows, columns=["data", "seed", "defense", "precision_at_k"])
    >>> compare_methods(cells, "r2et")[["defense", "difference", "p", "n_pairs"]].round(3)
       defense  difference     p  n_pairs
    0  vanilla      -0.367  0.25        3
    """
    table = pairs_of(cells, metric, by)
    if reference not in table:
        raise ValueError(f"There is no method {reference!r} in {by!r}.{nearest_name(reference, map(str, table))}")
    lines = []
    for method in table.columns.drop(reference):
        found = (table[method] - table[reference]).dropna()
        if len(found):
            differences, tables = found.to_numpy(), found.index.get_level_values("data").to_numpy()
            mean, low, high, p = corrected_t(differences, tables, level=level, test_share=test_share)
            if test != "corrected_t":
                p = {"sign_flip": sign_flip_p, "wilcoxon": wilcoxon_p}[test](differences)
            lines.append((method, mean, low, high, p, len(found)))
    frame = pd.DataFrame(lines, columns=[by, "difference", "low", "high", "p", "n_pairs"])
    frame.insert(5, "p_holm", holm(frame["p"].to_numpy(dtype=float)))
    return frame


def comparison_markdown(
    cells: pd.DataFrame,
    reference: str,
    *,
    by: str = "defense",
    metrics: Mapping[str, MetricFormat] = _METRICS,
    label: Callable[[str], str] = str,
) -> str:
    """Return the paired differences from `reference` in Markdown, one table per metric: each data set, and all pooled.

    Parameters
    ----------
    cells, reference, by
        As in :func:`compare_methods`.
    metrics : mapping of str to (str, float, int)
        Column -> heading, factor and decimals. A column that `cells` lack is left out.
    label : callable, optional
        Makes the text of a method's name.

    Returns
    -------
    str
        Empty if no method shares a pair with the reference.
    """
    parts, most = [], 0
    for metric, (heading, factor, decimals) in metrics.items():
        scaled = cells.assign(**{metric: factor * cells[metric]}) if metric in cells else cells.iloc[:0]
        if reference not in set(scaled.get(by, ())):
            continue
        pooled = compare_methods(scaled, reference, metric=metric, by=by).set_index(by)
        if pooled.empty:
            continue
        names = list(dict.fromkeys(scaled["data"]))
        each = [
            compare_methods(rows, reference, metric=metric, by=by).set_index(by)
            for _, rows in scaled.groupby("data", sort=False)
            if reference in set(rows[by])
        ]
        columns = [*each, pooled] if len(names) > 1 else each
        body = []
        for method, row in pooled.iterrows():
            values = [_interval(own, str(method), decimals) for own in columns]
            tests = [f"{row['p']:.2g}", f"{row['p_holm']:.2g}", f"{row['n_pairs']:.0f}"]
            body.append([label(str(method)), *values, *tests])
        shown = [name for name in names if reference in set(scaled.loc[scaled["data"] == name, by])]
        headings = [f"less {label(reference)}", *map(str, shown), *["all tables"][: len(names) > 1]]
        parts.append(f"**{heading}**\n\n{markdown_table([*headings, 'p', 'p by Holm', 'pairs'], body)}\n")
        most = max(most, int(pooled["n_pairs"].max()))
    return "\n".join([_note(reference, label, cells, most), *parts]) if parts else ""


def _interval(rows: pd.DataFrame, method: str, decimals: int) -> str:
    if method not in rows.index:
        return "-"
    row = rows.loc[method]
    mean, low, high = (_signed(float(row[name]), decimals) for name in ("difference", "low", "high"))
    return mean if np.isnan(row["low"]) else f"{mean} [{low}, {high}]"


def _signed(value: float, decimals: int) -> str:
    text = f"{value:+.{decimals}f}"
    return text if float(text) else text[1:]  # no sign of zero


def _note(reference: str, label: Callable[[str], str], cells: pd.DataFrame, most: int) -> str:
    splits = int(cells.groupby("data")["seed"].nunique().max())
    text = (
        f"Differences on the same splits, method less {label(reference)}. In brackets: 95 % intervals of the "
        "corrected resampled t-test (Nadeau and Bengio, 2003), because random 75 : 25 splits of a table overlap. p: "
        f"exact two-sided sign-flip test of up to {most} pairs of table and split, taken as independent; then with "
        "Holm's correction over the methods."
    )
    if splits < 6:
        text += (
            f" With {splits} split{'s' if splits > 1 else ''} of one table p is at least {2 / 2**splits:g}, so that no "
            "table has a test of its own."
        )
    return text + "\n"
