"""Contributions of the raw columns of a table: how stable they are, for whom, and what is proven.

``robustxai benchmark --units columns`` runs it.
"""

from robustxai.experiments.columns._cell import MODELS, ColumnsCell, run_columns_cell
from robustxai.experiments.columns._study import ColumnsStudy
from robustxai.experiments.columns._tables import columns_comparison, columns_markdown, columns_protocol

__all__ = [
    "MODELS",
    "ColumnsCell",
    "ColumnsStudy",
    "columns_comparison",
    "columns_markdown",
    "columns_protocol",
    "run_columns_cell",
]
