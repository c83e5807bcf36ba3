"""Safe divisions and roots at attributions of length zero."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["SMALLEST_SCALE", "safe_sqrt"]

#: Below this an attribution counts as zero when it is divided by its length (a network of dead ReLUs).
SMALLEST_SCALE = 1e-12


def safe_sqrt(square: Tensor) -> Tensor:
    """Return the square root with subgradient 0 at 0, where a linear model lies and the slope of sqrt is infinite."""
    return torch.where(square > 0, square, 1.0).sqrt() * (square > 0)
