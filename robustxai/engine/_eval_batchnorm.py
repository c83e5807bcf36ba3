"""Batch normalization in training steps that look at inputs: evaluation-mode statistics, and none of them updated."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from robustxai.engine._held_statistics import held_statistics, layers_of_the_batch

__all__ = ["steady"]


def steady(module: Any) -> Any:
    """`module` itself, or if batches have statistics in it, a view of it whose forward pass does without them."""
    if not isinstance(module, nn.Module) or isinstance(module, _Steady):  # passes that are written out have no layers
        return module
    return _Steady(module) if layers_of_the_batch(module) else module


class _Steady(nn.Module):
    """The same weights and buffers; dropout and all else is as it is in the module."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.training = module.training
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        with held_statistics(self.module):
            return self.module(x)
