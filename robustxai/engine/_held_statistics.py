"""Hold the running statistics of batch normalization for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from robustxai._arguments import Instance, checked
from robustxai._compat import BatchNorm

__all__ = ["batchnorm_in_training", "held_statistics"]


@contextmanager
@checked(module=Instance(nn.Module))
def held_statistics(module: nn.Module) -> Iterator[None]:
    """Make batch normalization in `module` use its running statistics inside the block, without updating them."""
    layers = batchnorm_in_training(module)
    for layer in layers:
        layer.training = False
    try:
        yield
    finally:
        for layer in layers:
            layer.training = True


@checked(module=Instance(nn.Module))
def batchnorm_in_training(module: nn.Module) -> list[BatchNorm]:
    """Return the layers that use batch statistics now and would use running statistics in evaluation mode."""
    return [m for m in module.modules() if isinstance(m, BatchNorm) and m.training and m.running_mean is not None]
