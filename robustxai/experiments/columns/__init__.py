"""Contributions of the raw columns of a table: how stable they are, for whom, and what is proven.

``python -m robustxai.experiments.columns OUT`` writes OUT/columns.csv and prints the table. Finished cells are kept
under OUT/cells. ``--data``, ``--defenses`` and ``--seeds`` select a part.
"""

from robustxai.experiments.columns._cell import MODELS, ColumnsCell, run_columns_cell
from robustxai.experiments.columns._tables import columns_markdown

__all__ = ["MODELS", "ColumnsCell", "columns_markdown", "run_columns_cell"]
