"""Raw tables: which features a column of a user's table became.

``column_map`` reads it off a fitted pipeline.
"""

from robustxai.columns._map import ColumnMap, column_map

__all__ = ["ColumnMap", "column_map"]
