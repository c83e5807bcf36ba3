"""Batches whose rows each pass their own network of a stack."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import Self

from robustxai._arguments import Instance, checked
from robustxai.engine._stacked_mlp import StackedMLP

__all__ = ["StackRows", "of_rows"]


class StackRows(nn.Module):
    """Evaluate one batch with a whole stack: row i passes network ``owner[i]``.

    The networks may have different numbers of rows, for example after an attack has dropped finished rows.

    Parameters
    ----------
    stack : StackedMLP
        S networks.
    owner : Tensor of int of shape (n,), on the stack's device
        Index of each row's network, ascending.
    """

    owner: Tensor
    slots: Tensor

    @checked(stack=Instance(StackedMLP), owner=Instance(Tensor))
    def __init__(self, stack: StackedMLP, owner: Tensor) -> None:
        super().__init__()
        present, owner, counts = owner.unique_consecutive(return_inverse=True, return_counts=True)
        self.stack = stack if len(present) == stack.n_models else stack.select(present)
        self.n_slots = int(counts.max())
        self.full = len(owner) == len(present) * self.n_slots
        self.register_buffer("owner", owner)
        # the stack takes rows as (models, slots, features); the last slots of some networks stay empty
        first = counts.cumsum(0) - counts
        self.register_buffer("slots", owner * self.n_slots + torch.arange(len(owner)).to(owner) - first[owner])

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, shape (n, n_classes), of x of shape (n, n_features)."""
        rows = x
        if not self.full:
            rows = x.new_zeros(self.stack.n_models * self.n_slots, x.shape[1]).index_copy(0, self.slots, x)
        logits = self.stack(rows.unflatten(0, (-1, self.n_slots))).flatten(0, 1)
        return logits if self.full else logits.index_select(0, self.slots)

    def of_rows(self, rows: Tensor) -> Self:
        """Restrict the module to some of its rows: a mask of shape (n,), or ascending indices."""
        return type(self)(self.stack, self.owner[rows])


@checked(module=Instance(nn.Module), rows=Instance(Tensor))
def of_rows(module: nn.Module, rows: Tensor) -> nn.Module:
    """Restrict `module` to the given rows; only a `StackRows` depends on them."""
    return module.of_rows(rows) if isinstance(module, StackRows) else module
