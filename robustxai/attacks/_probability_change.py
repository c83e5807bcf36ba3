"""The limit on how much the explained class's probability may change under attack."""

from __future__ import annotations

import torch
from torch import Tensor

from robustxai._validation import check_number

__all__ = ["below_limit", "check_probability_change", "target_probability"]

#: A probability from float32 logits is this uncertain: rows beside each other in a batch change its last digits.
_ROUNDING = 1e-6


def check_probability_change(limit: float | None) -> None:
    """Refuse a limit that is no number, or not in [0, 1]."""
    if limit is None:
        return
    check_number("max_probability_change", limit, minimum=0.0)
    if limit > 1:
        raise ValueError(
            f"max_probability_change={limit!r} is above 1, the largest change of a probability. Use None for no limit."
        )


def below_limit(limit: float, share: float = 1.0) -> float:
    """`limit` less a `share` of the rounding, so that what stays below keeps the limit however it is evaluated."""
    return max(limit - share * min(_ROUNDING, limit / 2), 0.0)


def target_probability(logits: Tensor, target: Tensor) -> Tensor:
    """Softmax probability of the class `target`, shape (n,), in float64 and without a graph."""
    return logits.detach().to(torch.float64).softmax(dim=1).gather(1, target[:, None]).squeeze(1)
