"""How many rows an attack searches at once where nobody has said so."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from robustxai.engine._stack_rows import of_rows

__all__ = ["MOST_ROWS", "rows_at_once"]

#: At most so many on a CPU, and on another device: more of them share the cost of starting an operation no better.
MOST_ROWS, _MOST_ROWS_ELSEWHERE = 1024, 65_536
#: Outputs of layers that all rows together may have. An iteration keeps some ten numbers for each of them. On a CPU
#: ConvNet and ResNet9 are fastest at 2^24 to 2^26, and half as fast at the 2^27 to 2^30 of a thousand images.
_OUTPUTS, _OUTPUTS_ELSEWHERE = 2**25, 2**27


def rows_at_once(module: nn.Module, x: Tensor) -> int:
    """As many rows as the cache of a CPU, or the memory of another device, takes with all that a network makes of them.

    Parameters
    ----------
    module : nn.Module
        The network, which looks at the first row. One without weights may be a call to somewhere else: it is left
        alone.
    x : Tensor of shape (n, *features)
        Inputs, on their device.
    """
    on_cpu = x.device.type == "cpu"
    most, outputs = (MOST_ROWS, _OUTPUTS) if on_cpu else (_MOST_ROWS_ELSEWHERE, _OUTPUTS_ELSEWHERE)
    if len(x) == 0 or next(module.parameters(), None) is None:
        return most
    counted = x[0].numel()

    def count(layer: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal counted
        counted += output.numel() if isinstance(output, Tensor) else 0

    leaves = [layer for layer in module.modules() if next(layer.children(), None) is None]
    handles = [leaf.register_forward_hook(count) for leaf in leaves]
    try:
        with torch.no_grad():
            of_rows(module, torch.arange(1, device=x.device))(x[:1])
    finally:
        for handle in handles:
            handle.remove()
    return max(1, min(most, outputs // counted))
