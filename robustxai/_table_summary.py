"""What the training inputs tell of a table: which features are one column, and its typical row."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from typing_extensions import Self

from robustxai._arguments import WEIGHTS, Rows, checked

__all__ = ["TableSummary", "fill", "filled", "group_names", "one_hot_groups", "typical_row"]


@checked(X=Rows(2))
def one_hot_groups(X: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the columns of a table of features: runs of marks of which every row has exactly one, and single features.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        Training inputs.

    Returns
    -------
    tuple of ndarray of int
        Indices of the features of each column, in their order.

    Notes
    -----
    A run starts at a feature of zeros and ones, and ends where the marks of every row sum to 1. The features of an
    encoder that drops a category do not sum to 1; each is then a column of its own. A column map of the pipeline
    (:func:`robustxai.columns.column_map`) knows such groups too.

    Examples
    --------
    >>> one_hot_groups(np.array([[0.3, 1, 0, 0], [0.7, 0, 0, 1]]))
    (array([0]), array([1, 2, 3]))
    """
    X = np.asarray(X)
    marks = ((X == 0) | (X == 1)).all(axis=0)
    found, start = [], 0
    while start < X.shape[1]:
        end, total = start, np.zeros(len(X))
        while end < X.shape[1] and marks[end] and total.max(initial=0) <= 1:
            total = total + X[:, end]
            end += 1
            if (total == 1).all():
                break
        whole = end > start and (total == 1).all()
        end = end if whole else start + 1
        found.append(np.arange(start, end))
        start = end
    return tuple(found)


@checked(X=Rows(2), sample_weight=WEIGHTS)
def typical_row(X: np.ndarray, groups: Sequence[np.ndarray], sample_weight: np.ndarray | None = None) -> np.ndarray:
    """Return the median of every feature, and the most frequent marks of every group of marks; float64, (n_features,).

    The median of a scaled amount is the scaled median, so that the row has the medians and modes of the raw columns.
    Features of one column that are not all marks (an amount and the mark of its gaps) have a median each. A row of
    weight 2 counts as two rows.
    """
    X = np.asarray(X, dtype=np.float64)
    if sample_weight is None:
        place = (len(X) - 1) // 2
        row = np.array(np.partition(X, place, axis=0)[place])  # a value of the table, and no mean of two
    else:
        order = X.argsort(axis=0, kind="stable")
        below = sample_weight[order].cumsum(axis=0)
        places = (below >= below[-1] / 2).argmax(axis=0)
        row = np.take_along_axis(X, np.take_along_axis(order, places[None], axis=0), axis=0)[0]
    for group in groups:
        part = X[:, group]
        if len(group) > 1 and ((part == 0) | (part == 1)).all():
            first, kind = _kinds(part)
            row[group] = part[first[np.bincount(kind, weights=sample_weight).argmax()]]
    return row


def _kinds(marks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of different rows of zeros and ones, in their order, and the kind of every row.

    As ``np.unique(marks, axis=0)``, which sorts whole rows, of rows packed to one number where there are few marks.
    """
    packed = np.packbits(marks.astype(bool), axis=1)
    if packed.shape[1] <= 8:
        padded = np.ascontiguousarray(np.pad(packed, [(0, 0), (0, 8 - packed.shape[1])]))
        numbers = padded.view(">u8").reshape(-1).astype(np.uint64)
        _, first, kind = np.unique(numbers, return_index=True, return_inverse=True)
    else:
        _, first, kind = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    return first, kind.reshape(-1)


def group_names(names: Sequence[str], groups: Sequence[np.ndarray]) -> list[str]:
    """Return a name for every column: that of its feature, or the common beginning of those of its features."""
    found = []
    for group in groups:
        several = [str(names[j]) for j in group]
        alike = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*several))
        common = several[0] if len(several) == 1 else "".join(letters[0] for letters in alike).rstrip("_= ")
        found.append(common or several[0])
    return found if len(set(found)) == len(found) else [str(names[group[0]]) for group in groups]


@dataclass(frozen=True, eq=False)
class TableSummary:
    """What an explainer of columns takes from the training inputs.

    Attributes
    ----------
    baseline : ndarray of shape (n_features,)
        The typical row.
    groups : tuple of ndarray of int
        Features of every column.
    names : list of str
        Names of the columns.
    means : ndarray of shape (n_features,)
        Mean of every feature: for marks, how frequent their categories are.
    """

    baseline: np.ndarray
    groups: tuple[np.ndarray, ...]
    names: list[str]
    means: np.ndarray

    @classmethod
    def of(cls, X: np.ndarray, feature_names: Sequence[str] | None, sample_weight: np.ndarray | None = None) -> Self:
        """Return the summary of training inputs of shape (n, n_features), with weights of the rows."""
        groups = one_hot_groups(X)
        names = [f"x{j}" for j in range(X.shape[1])] if feature_names is None else feature_names
        means = np.average(X.astype(np.float64), axis=0, weights=sample_weight)
        return cls(typical_row(X, groups, sample_weight), groups, group_names(names, groups), means)


def filled(
    explainer: Any, X: np.ndarray, feature_names: Sequence[str] | None, sample_weight: np.ndarray | None = None
) -> Any:
    """Return the explainer with what it takes from training inputs of shape (n, *features)."""
    if not hasattr(explainer, "filled"):
        return explainer
    return fill(explainer, TableSummary.of(X, feature_names, sample_weight) if X.ndim == 2 else None)


def fill(explainer: Any, summary: TableSummary | None) -> Any:
    """Return the explainer with what it takes from the training inputs; None stands for inputs that are no table."""
    own = getattr(explainer, "filled", None)
    if own is None or (summary is None and not getattr(explainer, "fills_without_table", False)):
        return explainer
    return own(summary)
