"""Safe divisions and square roots for attributions of length zero."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["SMALLEST_SCALE", "safe_sqrt"]

#: Length below which an attribution counts as zero (a network of dead ReLUs) when it is divided by its length.
SMALLEST_SCALE = 1e-12


def safe_sqrt(square: Tensor) -> Tensor:
    """Return the square root with derivative 0 at 0, the value of a linear model, where that of sqrt is infinite."""
    return torch.where(square > 0, square, 1.0).sqrt() * (square > 0)
