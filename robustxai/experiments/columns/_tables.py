"""Table of the contributions of columns in Markdown."""

from __future__ import annotations

import pandas as pd

from robustxai._arguments import Table, checked
from robustxai._markdown import markdown_table

__all__ = ["columns_markdown"]

#: Heading, column and decimals.
_COLUMNS = (
    ("AUC", "roc_auc", 4),
    ("P@{k} attacked", "precision_at_k", 3),
    ("P@{k} certified", "certified_precision_at_k", 3),
    ("B", "between_rows_precision", 3),
    ("COMP", "comprehensiveness", 3),
    ("SUFF", "sufficiency", 3),
)


@checked(results=Table(("data", "defense", "k", *(column for _, column, _ in _COLUMNS)), source="run_cells"))
def columns_markdown(results: pd.DataFrame) -> str:
    """Return one line per data set and model, means over seeds."""
    k = results["k"].iloc[0]
    headings = ["data", "model", "splits", *(heading.format(k=k) for heading, _, _ in _COLUMNS)]
    body = []
    for (data, defense), rows in results.groupby(["data", "defense"], sort=False):
        values = [f"{rows[column].mean():.{decimals}f}" for _, column, decimals in _COLUMNS]
        body.append([str(data), str(defense).replace("_", " "), str(len(rows)), *values])
    return markdown_table(headings, body)
