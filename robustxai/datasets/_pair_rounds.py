"""Choice of pairs: every item equally often, and no pair twice."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["draw_pairs"]


def draw_pairs(labels: np.ndarray, items: np.ndarray, partners: np.ndarray, same: bool, wanted: int) -> np.ndarray:
    """Draw `wanted` different pairs of one kind, shape (wanted, 2), in rounds that give each item its next partner.

    `items` and `partners` are shuffled rows, the same array if the items are their own partners; `same` is the kind,
    of which there must be as many pairs. Only the rounds that are needed are made, so that the work grows with
    `wanted` and not with the number of all pairs.
    """
    pools = [partners[(labels[partners] == label) == same] for label in range(labels.max() + 1)]
    # items start at different partners, so that partners too occur about equally often: items of one class at
    # consecutive places of its pool, and so do the classes, whose pools overlap
    by_class = np.sort(labels[items])
    start = np.argsort(np.argsort(labels[items], kind="stable"))
    if same:
        start -= np.searchsorted(by_class, labels[items])
    n_rounds = wanted // len(items) + 2
    while True:
        pairs = np.concatenate([_round(labels, items, pools, start, turn) for turn in range(n_rounds)])
        # (a, b) and (b, a) are one pair, which occurs twice when the items are paired with each other
        low, high = pairs.min(axis=1), pairs.max(axis=1)
        new = np.sort(np.unique(low * len(labels) + high, return_index=True)[1])
        if len(new) >= wanted:
            return pairs[new[:wanted]]
        n_rounds *= 2


def _round(labels: np.ndarray, items: np.ndarray, pools: list[np.ndarray], start: np.ndarray, turn: int) -> np.ndarray:
    """Return one pair for each item that has not met its whole pool; no item meets itself."""
    met = np.full(len(items), -1)
    for label, pool in enumerate(pools):
        if turn < len(pool):
            mine = labels[items] == label
            met[mine] = pool[(start[mine] + turn * _stride(len(pool))) % len(pool)]
    keep = (met >= 0) & (met != items)
    return np.column_stack([items, met])[keep]


def _stride(n: int) -> int:
    """Return a step that visits all places of a circle of n and spreads the first visits (golden section)."""
    step = max(round(0.618 * n), 1)
    while math.gcd(step, n) > 1:
        step += 1
    return step
