"""Batch normalization that uses its running statistics for a while, and does not update them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from robustxai._arguments import Instance, checked

__all__ = ["held_statistics", "layers_of_the_batch"]


@contextmanager
@checked(module=Instance(nn.Module))
def held_statistics(module: nn.Module) -> Iterator[None]:
    """Batch normalization inside of `module` uses its running statistics in the block, and does not update them."""
    layers = layers_of_the_batch(module)
    for layer in layers:
        layer.training = False
    try:
        yield
    finally:
        for layer in layers:
            layer.training = True


@checked(module=Instance(nn.Module))
def layers_of_the_batch(module: nn.Module) -> list[_BatchNorm]:
    """The layers that normalize by the statistics of a batch now and would not in evaluation mode."""
    return [m for m in module.modules() if isinstance(m, _BatchNorm) and m.training and m.running_mean is not None]
