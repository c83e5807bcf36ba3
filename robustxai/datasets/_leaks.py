"""Detection of single columns that leak the label."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.stats import rankdata

__all__ = ["leaking_columns"]

#: AUC of a single column above which it probably encodes the label: the best single columns of breast cancer, Bank
#: (without the duration) and COMPAS have .975, .77 and .70.
LEAK = 0.98
#: Largest number of evenly drawn rows; few rows suffice for an AUC near 1.
_MAX_ROWS = 20_000
#: Smallest number of rows of a class for which an AUC is reported.
_MIN_ROWS = 20
_BINS = 32
_FOLDS = 3


def leaking_columns(X: pd.DataFrame, y: pd.Series) -> Iterator[tuple[str, float]]:
    """Return the columns whose single AUC on held-out rows is above 0.98, with the AUC.

    The model of a column is the share of a class among the training rows of the same value (of a category) or of the
    same of 32 quantiles (of a number); a gap is a value. Three folds; of several classes the mean over one against the
    rest, weighted by their numbers.
    """
    rows = np.arange(len(X))
    if len(rows) > _MAX_ROWS:
        rows = np.linspace(0, len(X) - 1, _MAX_ROWS).astype(int)
    classes, values = pd.factorize(y.iloc[rows])
    counts = np.bincount(classes, minlength=len(values))
    frequent = np.flatnonzero(counts >= _MIN_ROWS)
    if len(values) < 2 or len(frequent) < 2:
        return
    if len(values) == 2:
        frequent = frequent[:1]
    # at random, because rows may be sorted by label
    folds = np.random.default_rng(0).permutation(len(rows)) % _FOLDS
    for name in X.columns:
        column = X[name].iloc[rows]
        aucs = [_auc(column, classes == one, folds) for one in frequent]
        auc = float(np.average(aucs, weights=counts[frequent]))
        if auc > LEAK:
            yield str(name), auc


def _auc(column: pd.Series, positive: np.ndarray, folds: np.ndarray) -> float:
    """Compute the mean over folds of the AUC of a column's rate of positives per bin."""
    scores = []
    for fold in range(_FOLDS):
        train = folds != fold
        bins = _binned(column, train)
        total = np.bincount(bins[train], minlength=bins.max() + 1)
        rate = positive[train].mean()
        rates = (np.bincount(bins[train & positive], minlength=len(total)) + rate) / (total + 1)
        held = positive[~train]
        n_positive = int(held.sum())
        if n_positive in (0, len(held)):
            return 0.5
        ranks = rankdata(rates[bins[~train]])
        above = ranks[held].sum() - n_positive * (n_positive + 1) / 2
        scores.append(above / (n_positive * (len(held) - n_positive)))
    return float(np.mean(scores))


def _binned(column: pd.Series, train: np.ndarray) -> np.ndarray:
    """Return the bin number of every value; 0 is a gap."""
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return pd.factorize(column)[0] + 1
    values = column.to_numpy(dtype=float)
    gaps = np.isnan(values)
    known = np.unique(values[train & ~gaps])
    if not len(known):
        return np.zeros(len(values), dtype=int)
    edges = (
        known if len(known) <= _BINS else np.unique(np.quantile(values[train & ~gaps], np.linspace(0, 1, _BINS)[1:-1]))
    )
    return np.where(gaps, 0, 1 + np.searchsorted(edges, np.where(gaps, 0, values), side="left"))
