"""Networks around a module whose outputs are not logits of all classes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from robustxai._arguments import Instance, checked

__all__ = ["LogProbabilities", "TwoLogits", "with_logits"]

_MODULE = Instance(nn.Module)


class TwoLogits(nn.Module):
    """Logits (-z / 2, z / 2) of a module whose output z is the log-odds of the second class.

    Parameters
    ----------
    module : nn.Module
        Inputs to outputs of shape (n,) or (n, 1).
    """

    @checked(module=_MODULE)
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, shape (n, 2)."""
        half = self.module(x).reshape(len(x), 1) / 2
        return torch.cat([-half, half], dim=1)


class LogProbabilities(nn.Module):
    """Logarithms of the probabilities that a module returns.

    Parameters
    ----------
    module : nn.Module
        Inputs to probabilities of shape (n, n_classes), or of the second class, of shape (n,) or (n, 1).
    """

    @checked(module=_MODULE)
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, shape (n, n_classes)."""
        p = self.module(x).reshape(len(x), -1)
        if p.shape[1] == 1:
            p = torch.cat([1 - p, p], dim=1)
        return p.clamp_min(torch.finfo(p.dtype).tiny).log()


def with_logits(module: nn.Module) -> Iterator[nn.Module]:
    """Yield networks around a module, one of which has logits, whatever the module returns."""
    yield module
    if type(module) is nn.Sequential and len(module) > 1:
        last = module[-1]
        if type(last) is nn.Softmax and last.dim in (1, -1):
            yield module[:-1]
        if type(last) is nn.Sigmoid:
            yield TwoLogits(module[:-1])
    yield TwoLogits(module)
    yield LogProbabilities(module)
