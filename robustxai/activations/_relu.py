"""ReLU."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from robustxai.activations._bounds import ActivationBounds
from robustxai.activations._record import Activation
from robustxai.activations._softplus import softplus

__all__ = ["RELU", "ReLUBounds"]


@dataclass(frozen=True)
class ReLUBounds(ActivationBounds):
    """Bounds of max(0, z), with Clarke's slope [0, 1] at the kink."""

    kinked: ClassVar[bool] = True

    @property
    def max_slope(self) -> float:
        """As `ActivationBounds.max_slope`."""
        return 1.0

    @property
    def max_bend(self) -> float:
        """As `ActivationBounds.max_bend`."""
        return math.inf

    def value(self, z: Tensor) -> Tensor:
        """As `ActivationBounds.value`."""
        return z.clamp_min(0)

    def slope(self, z: Tensor) -> Tensor:
        """As `ActivationBounds.slope`."""
        return (z > 0).to(z)

    def touching(self, m: Tensor) -> list[Tensor]:
        """As `ActivationBounds.touching`."""
        return [torch.zeros_like(m)]

    def slope_touching(self, m: Tensor) -> list[Tensor]:
        """As `ActivationBounds.slope_touching`."""
        raise NotImplementedError("The slope of a ReLU jumps; no line bounds it.")

    def slope_range(self, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
        """As `ActivationBounds.slope_range`."""
        # at exactly 0 an implementation may take either slope
        return (lo > 0).to(lo), (hi >= 0).to(hi)

    def bend_range(self, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
        """As `ActivationBounds.bend_range`."""
        stable = (lo > 0) | (hi < 0)
        unbounded = torch.where(stable, 0.0, math.inf).to(lo)
        return -unbounded, unbounded


RELU = Activation(
    name="relu",
    module=nn.ReLU,
    piecewise_linear=True,
    value_and_slope=lambda z: (torch.relu(z), (z > 0).to(z)),
    value_and_slope_in_place=lambda z, out: (z.relu_(), torch.sign(z, out=out)),
    surrogate=softplus,
    bounds=lambda beta: ReLUBounds(),
)
