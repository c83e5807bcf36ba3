"""Pooling layers by name."""

from __future__ import annotations

from torch import nn

from robustxai._arguments import Choice

__all__ = ["POOLS", "make_pool"]

#: Pooling layers by name. Max-pooling has kinks; :func:`robustxai.engine.softplus_surrogate` makes it smooth.
POOLS: dict[str, type[nn.MaxPool2d] | type[nn.AvgPool2d]] = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}
#: Constraint of the argument `pool`.
POOL = Choice(POOLS)


def make_pool(name: str, size: int | tuple[int, int]) -> nn.Module:
    """Return the pooling `name` over windows of `size` that do not overlap."""
    return POOLS[name](size)
