"""Poolings by name."""

from __future__ import annotations

from torch import nn

from robustxai._arguments import Choice

__all__ = ["POOLS", "make_pool"]

#: Pooling names; max-pooling has kinks, and :func:`softplus_surrogate` a smooth stand-in for it.
POOLS: dict[str, type[nn.MaxPool2d] | type[nn.AvgPool2d]] = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}
#: What may be given for `pool`.
POOL = Choice(POOLS)


def make_pool(name: str, size: int | tuple[int, int]) -> nn.Module:
    """The pooling called `name` over windows of `size` that do not overlap."""
    return POOLS[name](size)
