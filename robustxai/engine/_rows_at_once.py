"""Default number of rows that an attack searches at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from robustxai.engine._stack_rows import of_rows

__all__ = ["MOST_ROWS", "rows_at_once"]

#: Largest numbers of rows on a CPU and on another device. More rows do not reduce the cost per row of starting
#: operations any further.
MOST_ROWS, _MOST_ROWS_ELSEWHERE = 1024, 65_536
#: Largest number of layer outputs of all rows together. An iteration keeps about ten numbers for each output. On a CPU
#: ConvNet and ResNet9 are fastest at 2^24 to 2^26 outputs, and half as fast at the 2^27 to 2^30 of a thousand images.
_OUTPUTS, _OUTPUTS_ELSEWHERE = 2**25, 2**27


def rows_at_once(module: nn.Module, x: Tensor) -> int:
    """Return how many rows fit, with their layer outputs, into the cache of a CPU or the memory of another device.

    Parameters
    ----------
    module : nn.Module
        Network, which is evaluated at the first row. A network without weights is not evaluated, because it may be a
        call to a remote model.
    x : Tensor of shape (n, *features)
        Inputs on their device.

    Returns
    -------
    int
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
