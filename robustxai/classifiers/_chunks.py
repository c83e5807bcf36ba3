"""Evaluate a network on many rows, a bounded number at a time."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

__all__ = ["chunk_size", "in_chunks"]

#: Rows that are explained or predicted at once: enough to fill the arithmetic units, small enough for any memory.
_CHUNK = 4096
#: Entries of the images or graphs in a chunk; activations are as large as these. ResNet9 on CIFAR-10 then needs 1 GB.
_CHUNK_ENTRIES = 2**20
#: Rows are padded to a multiple of this, so that a row's result does not depend on the other rows: BLAS sums a few rows
#: in another order, and the last entries of an array miss the vectorized loop, whose softplus rounds otherwise.
_BLOCK = 32


def chunk_size(X: np.ndarray) -> int:
    """Return the number of rows of X that are explained or predicted at once, a multiple of the block size."""
    if X.ndim == 2:
        return _CHUNK
    return min(_CHUNK, max(_CHUNK_ENTRIES // math.prod(X.shape[1:]) // _BLOCK, 1) * _BLOCK)


def in_chunks(function: Callable[..., Tensor], X: np.ndarray, *others: Tensor, device: torch.device) -> Tensor:
    """Apply `function` to X, and to `others` row by row, a bounded number of rows at a time.

    Parameters
    ----------
    function : callable
        Tensors of some rows to a tensor with as many rows.
    X : ndarray of shape (n, *features)
        Inputs.
    *others : Tensor of shape (n, ...)
        Further arguments of `function`, on `device`.
    device : torch.device
        Device of the result.
    """
    rows = torch.arange(len(X), device=device)
    rows = torch.cat([rows, rows[-1:].expand(-len(rows) % _BLOCK)])
    columns = [torch.from_numpy(X).to(device), *others]
    parts = [function(*(column[chunk] for column in columns)) for chunk in rows.split(chunk_size(X))]
    return torch.cat(parts)[: len(X)]
