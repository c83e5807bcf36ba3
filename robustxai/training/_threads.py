"""Thread counts for small networks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

__all__ = ["small_net_threads"]

# Below about this many weights a batch is over before a second thread has woken up: an MLP 28-64-32 trains 15 %
# faster on one thread than on two, and two processes with two threads each on two cores are several times slower.
# A convolution uses each of its weights at every pixel, and is never small.
_SMALL = 100_000


@contextmanager
def small_net_threads(module: nn.Module) -> Iterator[None]:
    """Run the block on one CPU thread if `module` is small; the former count comes back afterwards."""
    before = torch.get_num_threads()
    weights = list(module.parameters())
    small = sum(p.numel() for p in weights) < _SMALL and all(p.ndim <= 2 for p in weights)
    try:
        if small and before > 1:
            torch.set_num_threads(1)
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)
