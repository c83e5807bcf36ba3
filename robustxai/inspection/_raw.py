"""Raw values behind the features of a model, and the range of the data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from robustxai._frames import as_pandas, column_names, in_numbers
from robustxai.perturbation import ThreatModel

__all__ = ["inside_the_data", "raw_values"]

#: Share of a column's range by which its values may differ from a scaled feature's, scaled back.
_TOLERANCE = 1e-4


def inside_the_data(model: Any, rows: Any) -> ThreatModel:
    """Return the default threat model, limited to the range of the training data and of `rows`.

    Each column of a table has its own range. Pixels and edges share one range.
    """
    with in_numbers(rows):
        x = np.asarray(rows, dtype=np.float64)
    low, high = x.min(axis=0), x.max(axis=0)
    trained = getattr(model, "feature_range_", None)
    if trained is not None and np.shape(trained)[1:] == low.shape:
        low, high = np.minimum(low, trained[0]), np.maximum(high, trained[1])
    if low.ndim > 1:
        return ThreatModel(bounds=(float(low.min()), float(high.max())))
    return ThreatModel(bounds=(low, high))


def raw_values(X: Any, seen: Any, *points: Any) -> list[np.ndarray]:
    """Convert points from the features of a model to the units of the user's columns.

    A feature that is a shifted and scaled column of X, as by a StandardScaler or MinMaxScaler, is scaled back. Shift
    and scale are estimated from the rows of X. All other features, such as levels of a category, are unchanged.

    Parameters
    ----------
    X : array-like or table of shape (n_samples, n_columns)
        Rows in the user's columns.
    seen : array-like or table of shape (n_samples, n_features)
        The same rows in the model's features.
    *points : array-like of shape (n_points, n_features)
        Points to convert.
    """
    features = np.asarray(seen, dtype=np.float64)
    factor, offset = np.ones(features.shape[1]), np.zeros(features.shape[1])
    frame, names = as_pandas(X), column_names(seen)
    if not isinstance(frame, pd.DataFrame):
        frame = pd.DataFrame(np.asarray(X))
        names = list(range(features.shape[1])) if frame.shape[1] == features.shape[1] else None
    for place, name in enumerate(names or []):
        column = next((c for c in (name, str(name).split("__", 1)[-1]) if c in frame.columns), None)
        if column is None or not pd.api.types.is_numeric_dtype(frame[column]):
            continue
        found = _affine(features[:, place], frame[column].to_numpy(dtype=np.float64, na_value=np.nan))
        if found is not None:
            factor[place], offset[place] = found
    return [offset + factor * np.asarray(part, dtype=np.float64) for part in points]


def _affine(feature: np.ndarray, column: np.ndarray) -> tuple[float, float] | None:
    """Return (factor, offset) with column = offset + factor * feature, or None if the relation is not affine."""
    known = np.isfinite(column) & np.isfinite(feature)
    # clipped values lie at the ends
    inner = known & (feature > feature[known].min(initial=np.inf)) & (feature < feature[known].max(initial=-np.inf))
    use = inner if len(np.unique(feature[inner])) > 1 else known
    if len(np.unique(feature[use])) < 2:
        return None
    factor, offset = np.polyfit(feature[use], column[use], 1)
    size = np.ptp(column[use])
    if not size or np.abs(offset + factor * feature[use] - column[use]).max() > _TOLERANCE * size:
        return None
    return float(factor), float(offset)
