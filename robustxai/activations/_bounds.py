"""The properties of an activation that proofs use."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

__all__ = ["ActivationBounds", "finite"]


class ActivationBounds(ABC):
    r"""Ranges of an increasing activation f and of its slope, and the points where lines touch both.

    Every function takes and returns tensors of one shape. A line of slope m over [lo, hi] leaves the offsets
    :math:`f(z) - m z`, whose extremes lie at the ends or where :math:`f'(z) = m`, the touching points. A superfluous
    touching point does no harm: points outside of [lo, hi] are moved to its ends. A missing one makes a proof unsound.
    """

    #: True if f' jumps, so that no line bounds it.
    kinked: ClassVar[bool] = False

    @property
    @abstractmethod
    def max_slope(self) -> float:
        """Supremum of f'."""

    @property
    @abstractmethod
    def max_bend(self) -> float:
        """Supremum of the absolute value of f''; infinite if f' jumps."""

    @abstractmethod
    def value(self, z: Tensor) -> Tensor:
        """Return f(z)."""

    @abstractmethod
    def slope(self, z: Tensor) -> Tensor:
        """Return f'(z)."""

    @abstractmethod
    def touching(self, m: Tensor) -> list[Tensor]:
        """Return all points with f'(z) = m; where there are none, any points."""

    @abstractmethod
    def slope_touching(self, m: Tensor) -> list[Tensor]:
        """Return all points with f''(z) = m; where there are none, any points."""

    @abstractmethod
    def slope_range(self, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
        """Return the least and the largest f' over [lo, hi]."""

    @abstractmethod
    def bend_range(self, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
        """Return the least and the largest f'' over [lo, hi]; infinite where f' jumps."""


def finite(z: Tensor) -> Tensor:
    """Move touching points at infinity to where every activation is flat and no interval reaches."""
    return z.nan_to_num(nan=0.0, posinf=1e30, neginf=-1e30)
