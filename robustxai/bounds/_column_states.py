"""Many inputs of a sum of functions of single columns, as the few states that every column has among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from robustxai.bounds._apart import are_apart
from robustxai.bounds._network import Network
from robustxai.explainers import ColumnContributions
from robustxai.protocols import Explainer

__all__ = ["ColumnStates", "is_sum_of_columns"]


def is_sum_of_columns(network: Network, explainer: Explainer) -> bool:
    r"""Return whether the contribution of a column depends on the features of that column alone.

    In a sum :math:`z = b + \sum_j f_j(x_{G_j})` the gradient in the features of column j is that of :math:`f_j`, and so
    are its means along straight lines; the log-odds of two classes and a logit are such sums.
    """
    if not isinstance(explainer, ColumnContributions) or explainer.groups is None:
        return False
    plain = explainer.output == "logit" or (explainer.output == "log_odds" and len(network.logits.bias) == 2)
    return plain and are_apart(network, explainer.groups)


@dataclass(frozen=True, eq=False)
class ColumnStates:
    """The different sets of features of every column among many boxes of one class.

    Attributes
    ----------
    center, half : ndarray of shape (n_states, n_features)
        Boxes in which every state of every column occurs.
    of_box : ndarray of int of shape (n_boxes, n_columns)
        Place of the state of each column of each of the many boxes.
    """

    center: np.ndarray
    half: np.ndarray
    of_box: np.ndarray

    @classmethod
    def of(cls, center: np.ndarray, half: np.ndarray, groups: Any) -> ColumnStates:
        """Find the states of boxes with these middles and half widths, (n_boxes, n_features)."""
        of_box = np.empty((len(center), len(groups)), dtype=int)
        firsts = []
        for column, group in enumerate(groups):
            first, of_box[:, column] = _different(np.column_stack([center[:, list(group)], half[:, list(group)]]))
            firsts.append(first)
        n_states = max(map(len, firsts))
        some_center, some_half = np.zeros((2, n_states, center.shape[1]))
        for first, group in zip(firsts, groups):
            places = first[np.minimum(np.arange(n_states), len(first) - 1)][:, None]
            some_center[:, list(group)] = center[places, list(group)]
            some_half[:, list(group)] = half[places, list(group)]
        return cls(some_center, some_half, of_box)

    def __len__(self) -> int:
        return len(self.center)

    def of_columns(self, values: np.ndarray) -> np.ndarray:
        """Return for every box the values of its columns, of values of shape (n_states, n_columns)."""
        return np.asarray(values[self.of_box, np.arange(self.of_box.shape[1])])


def _different(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of different rows, and for each row the number of the one that is equal to it.

    Equal rows may be told apart, different ones never are taken as one.
    """
    key = (rows * np.random.default_rng(0).normal(size=rows.shape[1])).sum(axis=1)
    _, first, back = np.unique(key, return_index=True, return_inverse=True)
    if not (rows == rows[first[back]]).all():  # different rows with one key
        _, first, back = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return first, back.reshape(-1)
