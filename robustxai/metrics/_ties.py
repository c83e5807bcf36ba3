"""Ranks with ties, for all rows at once."""

from __future__ import annotations

import torch
from torch import Tensor


def rank_bounds(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Count, for every entry, the lower and the not higher entries of its row; int64, shape (n, units).

    The average rank, counted from 1, is half of ``lower + not_higher + 1``; ``not_higher - lower`` entries are equal.
    """
    scores = scores.contiguous()
    ordered = scores.sort(dim=-1).values
    return torch.searchsorted(ordered, scores), torch.searchsorted(ordered, scores, right=True)


def tied_pairs(lower: Tensor, not_higher: Tensor) -> Tensor:
    """Count the pairs of equal entries in each row, from its rank bounds; int64, shape (n,)."""
    return (not_higher - lower - 1).sum(dim=-1) // 2
