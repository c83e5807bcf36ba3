"""From proven pairs to a proven P@k."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["proven_overlap"]


def proven_overlap(proven: Tensor) -> Tensor:
    """Return how many members of the top set must stay, given the pairs that are proven to keep their order.

    If m members R leave and m others A enter, no pair of R x A can be proven. In the graph of the unproven pairs each
    of these 2 m units then has at least m neighbors, and survives the repeated removal of units with fewer. The largest
    m that leaves m units on either side bounds the number of members that can be lost.

    Parameters
    ----------
    proven : bool Tensor of shape (rows, k, n - k)
        True where a pair keeps its order.

    Returns
    -------
    Tensor of int of shape (rows,)
    """
    k = proven.shape[1]
    kept = torch.full((len(proven),), k)
    for m in range(1, min(proven.shape[1:]) + 1):
        kept = torch.where(_has_core(~proven, m), k - m, kept)
    return kept


def _has_core(unproven: Tensor, m: int) -> Tensor:
    inside = unproven.any(dim=2)
    outside = unproven.any(dim=1)
    while True:
        edges = unproven & inside[:, :, None] & outside[:, None, :]
        inside_left, outside_left = edges.sum(dim=2) >= m, edges.sum(dim=1) >= m
        if torch.equal(inside_left, inside) and torch.equal(outside_left, outside):
            return (inside.sum(dim=1) >= m) & (outside.sum(dim=1) >= m)
        inside, outside = inside_left, outside_left
