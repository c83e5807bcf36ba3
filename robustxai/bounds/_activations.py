"""What a proof has to know of an activation: its range, its slope's range, and where a line touches it.

Every function takes and returns tensors of one shape. A *line* of slope m over [lo, hi] leaves the offsets
``f(z) - m z``, whose extremes lie at the ends or where ``f'(z) = m``: the stationary points below. A point too many
does no harm, as long as it lies in the interval; a point too few would be a hole in the proof.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["Activation", "ReLU", "Softplus", "Tanh"]


class Activation(Protocol):
    """An increasing activation f."""

    #: Whether f' jumps, so that no line can follow it.
    kinked: bool

    def value(self, z: Tensor) -> Tensor:
        """f(z)."""

    def slope(self, z: Tensor) -> Tensor:
        """f'(z)."""

    def touching(self, m: Tensor) -> list[Tensor]:
        """All points with f'(z) = m, or stand-ins where there are none."""

    def slope_touching(self, m: Tensor) -> list[Tensor]:
        """All points with f''(z) = m."""

    def slope_range(self, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
        """Range of f' over [lo, hi]."""

    def bend_range(self, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
        """Range of f'' over [lo, hi]; infinite where f' jumps."""


@dataclass(frozen=True)
class Softplus:
    r""":math:`\ln(1 + e^{\beta z}) / \beta`, with slope s = sigmoid(beta z) and bend beta s (1 - s)."""

    beta: float = 1.0
    kinked = False

    def value(self, z: Tensor) -> Tensor:
        # not torch's, which is linear from beta z = 20 on and so lies below the function
        return (self.beta * z).clamp_min(0) / self.beta + torch.log1p(torch.exp(-(self.beta * z).abs())) / self.beta

    def slope(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.beta * z)

    def touching(self, m: Tensor) -> list[Tensor]:
        return [_finite(torch.logit(m)) / self.beta]

    def slope_touching(self, m: Tensor) -> list[Tensor]:
        root = (1 - 4 * m / self.beta).clamp_min(0).sqrt()
        return [_finite(torch.logit((1 + sign * root) / 2)) / self.beta for sign in (-1, 1)]

    def slope_range(self, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
        return self.slope(lo), self.slope(hi)

    def bend_range(self, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
        def bend(z: Tensor) -> Tensor:
            s = self.slope(z)
            return self.beta * s * (1 - s)

        ends = bend(lo), bend(hi)
        top = torch.where((lo <= 0) & (hi >= 0), self.beta / 4, torch.maximum(*ends))
        return torch.minimum(*ends), top


@dataclass(frozen=True)
class Tanh:
    r""":math:`a \tanh(z / b) + c`; tanh for (1, 1, 0), sigmoid for (1/2, 2, 1/2).

    With t = tanh(z / b) the slope is (a / b)(1 - t^2) and the bend -2 (a / b^2) t (1 - t^2), a cubic in t.
    """

    height: float = 1.0
    width: float = 1.0
    offset: float = 0.0
    kinked = False

    def value(self, z: Tensor) -> Tensor:
        return self.height * torch.tanh(z / self.width) + self.offset

    def slope(self, z: Tensor) -> Tensor:
        return self.height / self.width / torch.cosh((z / self.width).clamp(-300, 300)) ** 2

    def touching(self, m: Tensor) -> list[Tensor]:
        t = (1 - m * self.width / self.height).clamp(0, 1).sqrt()
        return [_finite(torch.atanh(sign * t)) * self.width for sign in (-1, 1)]

    def slope_touching(self, m: Tensor) -> list[Tensor]:
        # t^3 - t = c has its three roots by Viète's cosines where |c| <= 2 / sqrt(27)
        c = m * self.width**2 / (2 * self.height)
        angle = torch.arccos((c * math.sqrt(27) / 2).clamp(-1, 1)) / 3
        roots = [2 / math.sqrt(3) * torch.cos(angle - 2 * math.pi * j / 3) for j in range(3)]
        return [_finite(torch.atanh(t.clamp(-1, 1))) * self.width for t in roots]

    def slope_range(self, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
        ends = self.slope(lo), self.slope(hi)
        top = torch.where((lo <= 0) & (hi >= 0), self.height / self.width, torch.maximum(*ends))
        return torch.minimum(*ends), top

    def bend_range(self, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
        def bend(z: Tensor) -> Tensor:
            return -2 / self.width * torch.tanh(z / self.width) * self.slope(z)

        ends = bend(lo), bend(hi)
        peak = self.width * math.atanh(1 / math.sqrt(3))
        extreme = 4 / math.sqrt(27) * self.height / self.width**2
        low = torch.where((lo <= peak) & (hi >= peak), -extreme, torch.minimum(*ends))
        high = torch.where((lo <= -peak) & (hi >= -peak), extreme, torch.maximum(*ends))
        return low, high


@dataclass(frozen=True)
class ReLU:
    """max(0, z), with Clarke's slope [0, 1] at the kink."""

    kinked = True

    def value(self, z: Tensor) -> Tensor:
        return z.clamp_min(0)

    def slope(self, z: Tensor) -> Tensor:
        return (z > 0).to(z)

    def touching(self, m: Tensor) -> list[Tensor]:
        return [torch.zeros_like(m)]

    def slope_touching(self, m: Tensor) -> list[Tensor]:
        raise NotImplementedError("The slope of a ReLU jumps: there is no line to follow.")

    def slope_range(self, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
        # at exactly 0 an implementation may take either slope
        return (lo > 0).to(lo), (hi >= 0).to(hi)

    def bend_range(self, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
        stable = (lo > 0) | (hi < 0)
        unbounded = torch.where(stable, 0.0, math.inf).to(lo)
        return -unbounded, unbounded


def _finite(z: Tensor) -> Tensor:
    """Touching points at infinity, moved to where every activation is flat and no interval reaches."""
    return z.nan_to_num(nan=0.0, posinf=1e30, neginf=-1e30)
