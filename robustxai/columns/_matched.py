"""A table and an estimator that must have the columns of a threat model."""

from __future__ import annotations

from typing import Any

import pandas as pd

from robustxai._frames import is_table
from robustxai.columns._frame import raw_frame
from robustxai.columns._map import ColumnMap, column_map
from robustxai.columns._table_threat import TableThreat

__all__ = ["check_table", "map_of"]


def check_table(X: Any, threat: TableThreat) -> pd.DataFrame:
    """Return X as a pandas DataFrame with the columns of the threat model, or raise TypeError or ValueError."""
    if not is_table(X):
        raise TypeError(
            f"X must be a DataFrame, because threat is a TableThreat, which speaks of its columns; got "
            f"{type(X).__name__}. Pass the raw rows, as the Pipeline takes them, or a ThreatModel for features."
        )
    frame = raw_frame(X, threat.columns)
    if not len(frame):
        raise ValueError("X has no rows. Give at least one.")
    return frame


def map_of(estimator: Any, threat: TableThreat) -> ColumnMap:
    """Return the column map of a fitted Pipeline or classifier, which must have the columns of the threat model."""
    found = column_map(estimator)
    if not found.named and len(found.frame_columns) == len(threat.columns):
        found = column_map(estimator, feature_names=[str(name) for name in threat.columns])
        return ColumnMap(found.records, threat.columns, found.transformers, False, found.originals)
    if found.frame_columns != threat.columns:
        missing = [name for name in found.frame_columns if name not in threat.columns]
        extra = [name for name in threat.columns if name not in found.frame_columns]
        what = "has them in another order"
        if missing or extra:
            parts = [f"lacks {missing[0]!r}" if missing else "", f"has {extra[0]!r} too" if extra else ""]
            what = " and ".join(filter(None, parts))
        raise ValueError(
            f"threat was made of another table than the one that the estimator was fitted on: it {what}. Make it of "
            f"the training table, TableThreat.from_frame(X_train, ...), with the columns {list(found.frame_columns)}."
        )
    return found
