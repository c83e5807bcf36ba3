"""Tanh, and sigmoid, which is a tanh that is scaled and moved."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from robustxai._arguments import POSITIVE, Constraint, Number, check_arguments
from robustxai.activations._bounds import ActivationBounds, finite
from robustxai.activations._record import Activation

__all__ = ["SIGMOID", "TANH", "TanhBounds"]


@dataclass(frozen=True)
class TanhBounds(ActivationBounds):
    r"""Bounds of :math:`a \tanh(z / b) + c`; tanh for (1, 1, 0), sigmoid for (1/2, 2, 1/2).

    With t = tanh(z / b) the slope is (a / b)(1 - t^2) and the bend -2 (a / b^2) t (1 - t^2), a cubic in t.

    Parameters
    ----------
    height, width : float, default=1.0
        a and b, both positive.
    offset : float, default=0.0
        c.
    """

    height: float = 1.0
    width: float = 1.0
    offset: float = 0.0

    _constraints: ClassVar[dict[str, Constraint]] = {"height": POSITIVE, "width": POSITIVE, "offset": Number()}

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_arguments(self)

    @property
    def max_slope(self) -> float:
        """As `ActivationBounds.max_slope`."""
        return self.height / self.width

    @property
    def max_bend(self) -> float:
        """As `ActivationBounds.max_bend`."""
        return 4 / math.sqrt(27) * self.height / self.width**2

    def value(self, z: Tensor) -> Tensor:
        """As `ActivationBounds.value`."""
        return self.height * torch.tanh(z / self.width) + self.offset

    def slope(self, z: Tensor) -> Tensor:
        """As `ActivationBounds.slope`."""
        return self.height / self.width / torch.cosh((z / self.width).clamp(-300, 300)) ** 2

    def touching(self, m: Tensor) -> list[Tensor]:
        """As `ActivationBounds.touching`."""
        t = (1 - m * self.width / self.height).clamp(0, 1).sqrt()
        return [finite(torch.atanh(sign * t)) * self.width for sign in (-1, 1)]

    def slope_touching(self, m: Tensor) -> list[Tensor]:
        """As `ActivationBounds.slope_touching`."""
        # t^3 - t = c has its three roots by Viète's cosines where |c| <= 2 / sqrt(27)
        c = m * self.width**2 / (2 * self.height)
        angle = torch.arccos((c * math.sqrt(27) / 2).clamp(-1, 1)) / 3
        roots = [2 / math.sqrt(3) * torch.cos(angle - 2 * math.pi * j / 3) for j in range(3)]
        return [finite(torch.atanh(t.clamp(-1, 1))) * self.width for t in roots]

    def slope_range(self, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
        """As `ActivationBounds.slope_range`."""
        ends = self.slope(lo), self.slope(hi)
        top = torch.where((lo <= 0) & (hi >= 0), self.height / self.width, torch.maximum(*ends))
        return torch.minimum(*ends), top

    def bend_range(self, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
        """As `ActivationBounds.bend_range`."""

        def bend(z: Tensor) -> Tensor:
            return -2 / self.width * torch.tanh(z / self.width) * self.slope(z)

        ends = bend(lo), bend(hi)
        peak = self.width * math.atanh(1 / math.sqrt(3))
        extreme = 4 / math.sqrt(27) * self.height / self.width**2
        low = torch.where((lo <= peak) & (hi >= peak), -extreme, torch.minimum(*ends))
        high = torch.where((lo <= -peak) & (hi >= -peak), extreme, torch.maximum(*ends))
        return low, high


TANH = Activation(
    name="tanh",
    module=nn.Tanh,
    value_and_slope=lambda z: (torch.tanh(z), 1 - torch.tanh(z).square()),
    value_and_slope_in_place=lambda z, out: (z.tanh_(), torch.mul(z, z, out=out).neg_().add_(1)),
    bend=lambda t, a, s: t.mul_(a).mul_(-2),
    bounds=lambda beta: TanhBounds(),
)

SIGMOID = Activation(
    name="sigmoid",
    module=nn.Sigmoid,
    value_and_slope=lambda z: (torch.sigmoid(z), torch.sigmoid(z) * torch.sigmoid(-z)),
    value_and_slope_in_place=lambda z, out: (z.sigmoid_(), torch.addcmul(z, z, z, value=-1, out=out)),
    bend=lambda t, a, s: t.addcmul_(t, a, value=-2),
    bounds=lambda beta: TanhBounds(height=0.5, width=2.0, offset=0.5),
)
