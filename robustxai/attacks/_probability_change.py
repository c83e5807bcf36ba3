"""Limit on the change of the explained class's probability under attack."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from robustxai._arguments import Number, optional

__all__ = ["CHANGE", "below_limit", "target_probability"]

#: Uncertainty of a probability from float32 logits: the other rows of a batch change its last digits.
_ROUNDING = 1e-6


class _Change(Number):
    """A change of a probability."""

    def sentence(self, name: str, value: Any) -> str:
        """As `Constraint.sentence`."""
        if self.fault(value) is ValueError and value > 1:
            return f"{name}={value!r} is above 1, the largest change of a probability. Use None for no limit."
        return super().sentence(name, value)


#: Constraint of an argument `max_probability_change`.
CHANGE = optional(_Change(0, 1))


def below_limit(limit: float, share: float = 1.0) -> float:
    """Return `limit` minus a `share` of the rounding, so that a change below it keeps the limit in any evaluation."""
    return max(limit - share * min(_ROUNDING, limit / 2), 0.0)


def target_probability(logits: Tensor, target: Tensor) -> Tensor:
    """Return the softmax probability of the class `target`, shape (n,), in float64 and without a graph."""
    return logits.detach().to(torch.float64).softmax(dim=1).gather(1, target[:, None]).squeeze(1)
