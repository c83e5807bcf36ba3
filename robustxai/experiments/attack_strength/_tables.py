"""Table of the attack strength in Markdown."""

from __future__ import annotations

import pandas as pd

from robustxai._arguments import Table, checked
from robustxai._markdown import markdown_table

__all__ = ["strength_markdown"]

#: Heading, column and decimals.
_COLUMNS = (
    ("pairs", "n_pairs", 0),
    ("AUC", "roc_auc", 4),
    ("B", "between_rows_precision", 3),
    ("P@{k} ensemble", "precision_at_k_auto", 4),
    ("P@{k} pairs", "precision_at_k_pairs", 4),
    ("P@{k} nearest pair", "precision_at_k_nearest", 4),
    ("P@{k} both", "precision_at_k_both", 4),
    ("rows: ensemble lower", "auto_lower", 3),
    ("rows: pairs lower", "pairs_lower", 3),
)


@checked(results=Table(("data", "defense", "k", *(column for _, column, _ in _COLUMNS)), source="run_cells"))
def strength_markdown(results: pd.DataFrame) -> str:
    """Return one line per data set and defense, means over seeds: lowest P@k of either way, and of both."""
    k = results["k"].iloc[0]
    headings = ["data", "defense", *(heading.format(k=k) for heading, _, _ in _COLUMNS)]
    body = []
    for (data, defense), rows in results.groupby(["data", "defense"], sort=False):
        values = [f"{rows[column].mean():.{decimals}f}" for _, column, decimals in _COLUMNS]
        body.append([str(data), str(defense), *values])
    return markdown_table(headings, body)
