"""Batch normalisation in training steps that look at inputs: evaluation-mode statistics, and none of them updated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["held_statistics", "steady"]


@contextmanager
def held_statistics(module: nn.Module) -> Iterator[None]:
    """Batch normalisation inside of `module` uses its running statistics in the block, and does not update them."""
    layers = _of_the_batch(module)
    for layer in layers:
        layer.training = False
    try:
        yield
    finally:
        for layer in layers:
            layer.training = True


def steady(module: Any) -> Any:
    """`module` itself, or if batches have statistics in it, a view of it whose forward pass does without them."""
    if not isinstance(module, nn.Module) or isinstance(module, _Steady):  # passes that are written out have no layers
        return module
    return _Steady(module) if _of_the_batch(module) else module


class _Steady(nn.Module):
    """The same weights and buffers; dropout and all else is as it is in the module."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.training = module.training
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        with held_statistics(self.module):
            return self.module(x)


def _of_the_batch(module: nn.Module) -> list[_BatchNorm]:
    """The layers that normalise by the statistics of a batch now and would not in evaluation mode."""
    return [m for m in module.modules() if isinstance(m, _BatchNorm) and m.training and m.running_mean is not None]
