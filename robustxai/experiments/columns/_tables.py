"""Tables of the contributions of columns in Markdown."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from robustxai._arguments import Instance, Named, Table, checked, optional
from robustxai._markdown import markdown_table
from robustxai.benchmark import comparison_markdown

__all__ = ["columns_comparison", "columns_markdown", "columns_protocol"]

#: Heading, column and decimals.
_COLUMNS = (
    ("AUC", "roc_auc", 4),
    ("P@{k} attacked", "precision_at_k", 3),
    ("P@{k} certified", "certified_precision_at_k", 3),
    ("P@{k} between rows", "between_rows_precision", 3),
    ("COMP", "comprehensiveness", 3),
    ("SUFF", "sufficiency", 3),
    ("fit seconds", "fit_seconds", 1),
)
_RESULTS = Table(
    ("data", "defense", "seed", "k", "share", "max_switches", "n_rows", *(column for _, column, _ in _COLUMNS)),
    source="ColumnsStudy.run",
)
_LABELS = optional(Named(Instance(str)))
#: Model from which the others are compared.
_REFERENCE = "logistic_regression"


@checked(results=_RESULTS)
def columns_protocol(results: pd.DataFrame) -> str:
    """Say what the rows have in common: tables, splits, rows, and how a row may change."""
    first = results.iloc[0]
    splits = results.groupby("data", sort=False)["seed"].nunique()
    tables = ", ".join(f"{data} ({n} split{'s' if n > 1 else ''})" for data, n in splits.items())
    switches = f"at most {first['max_switches']} column{'s' if first['max_switches'] != 1 else ''} of categories"
    return (
        f"Tables: {tables}; {results['n_rows'].max()} test rows of each. A number changes by at most "
        f"{100 * first['share']:g} % of the range of its column, {switches} switches. The prediction is kept. Mean ± "
        "standard deviation over the splits; a dash where nothing can be proven."
    )


@checked(results=_RESULTS, labels=_LABELS)
def columns_markdown(results: pd.DataFrame, labels: Mapping[str, str] | None = None) -> str:
    """Return one line per data set and model, mean ± standard deviation over splits; a dash for nan.

    Parameters
    ----------
    results : DataFrame
        Rows of :meth:`ColumnsStudy.run`.
    labels : mapping of str to str, optional
        Name of a model to the label of its line.
    """
    k = results["k"].iloc[0]
    headings = ["data", "model", *(heading.format(k=k) for heading, _, _ in _COLUMNS)]
    body = []
    for (data, defense), rows in results.groupby(["data", "defense"], sort=False):
        values = [_mean_and_sd(rows[column], decimals) for _, column, decimals in _COLUMNS]
        body.append([str(data), (labels or {}).get(str(defense), _plain(str(defense))), *values])
    return markdown_table(headings, body)


@checked(results=_RESULTS)
def columns_comparison(results: pd.DataFrame) -> str:
    """Return the paired differences from logistic regression in AUC and attacked P@k; empty without it."""
    k = results["k"].iloc[0]
    metrics = {
        "roc_auc": ("AUC, in points", 100.0, 2),
        "precision_at_k": (f"P@{k} attacked, in points", 100.0, 1),
    }
    return comparison_markdown(results, _REFERENCE, metrics=metrics, label=_plain)


def _plain(defense: str) -> str:
    return defense.replace("_", " ")


def _mean_and_sd(values: pd.Series, decimals: int) -> str:
    """Return nothing but a dash where one split has no value: a mean of the others would refer to other models."""
    mean, sd = values.mean(skipna=False), values.std(ddof=1, skipna=False)
    if pd.isna(mean):
        return "-"
    return f"{mean:.{decimals}f}" + ("" if pd.isna(sd) else f" ± {sd:.{decimals}f}")
