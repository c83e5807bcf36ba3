"""Batches that are computed in parts: what each part contributes to the loss, and what it draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from robustxai.engine import ExplainedBatch

__all__ = ["PartOfBatch", "check_sum", "criterion_shares"]

#: The largest relative difference between the criterion of a batch and the sum over its parts that rounding explains.
_TOLERANCE = 1e-4


class PartOfBatch(ExplainedBatch):
    """Some rows of a batch, for which penalties draw what they would draw for these rows of the whole batch.

    Parameters
    ----------
    *args, **options
        As in :class:`robustxai.penalties.ExplainedBatch`. The generator must be where it was before the first part.
    first : int
        Position in the batch of the first row of the part.
    n_rows : int
        Rows of the batch.
    """

    def __init__(self, *args: Any, first: int, n_rows: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self.first = first
        self.n_rows = n_rows

    def among_first(self, n_rows: int | None) -> int:
        """How many rows of the part are among the first `n_rows` of the batch."""
        return len(self.x) if n_rows is None else max(0, min(n_rows - self.first, len(self.x)))

    def draw(
        self, sample: Callable[[tuple[int, ...], torch.Generator | None], Tensor], shape: Sequence[int], axis: int = 0
    ) -> Tensor:
        """The part's rows of what the whole batch draws."""
        whole = list(shape)
        whole[axis] = self.n_rows
        return sample(tuple(whole), self.generator).narrow(axis, self.first, shape[axis])


def criterion_shares(criterion: Any, parts: Sequence[Tensor]) -> list[float]:
    """What the criterion of each part counts in that of the batch, which is the sum of these shares.

    A mean counts by what it divides by: rows, or the weights of their classes, or rows that are not ignored. A sum
    counts whole. Of other criteria it is assumed to be the one or the other, and :func:`check_sum` tells.

    Parameters
    ----------
    criterion : nn.Module
        Of logits of shape (n, n_classes) and class indices of shape (n,).
    parts : sequence of Tensor of shape (n_i,)
        Class indices of each part.
    """
    if getattr(criterion, "reduction", "mean") == "sum":
        return [1.0] * len(parts)
    sizes = torch.tensor([float(len(part)) for part in parts], dtype=torch.float64)
    known = type(criterion) in (nn.CrossEntropyLoss, nn.NLLLoss)
    if known and (criterion.weight is not None or criterion.ignore_index >= 0):  # else no label has to be looked at
        sizes = torch.stack([_divisor(criterion, part) for part in parts]).cpu()
    return (sizes / sizes.sum()).tolist()


def check_sum(criterion: Any, logits: Tensor, labels: Tensor, total: Tensor) -> None:
    """NotImplementedError unless `total`, the sum over the parts, is the criterion of the whole batch.

    For criteria that the library does not know. A loss that compares rows with each other, or divides by something
    that only the whole batch tells, is no sum over parts.
    """
    if type(criterion) in (nn.CrossEntropyLoss, nn.NLLLoss):
        return
    with torch.no_grad():
        whole = criterion(logits.detach(), labels)
    if bool((whole - total).abs() <= _TOLERANCE * (whole.abs() + 1e-3)) or not bool(torch.isfinite(whole)):
        return  # what is not finite is told at the end of the epoch
    raise NotImplementedError(
        f"internal_batch_size computes a batch in parts, and {type(criterion).__name__} of the batch, "
        f"{float(whole):.4g}, is not the mean or the sum over its parts, {float(total):.4g}. Leave internal_batch_size "
        "out, with a smaller batch_size where the memory does not suffice."
    )


def _divisor(criterion: Any, labels: Tensor) -> Tensor:
    """What the mean of the cross-entropy divides by."""
    counted = labels != criterion.ignore_index
    weights = torch.ones_like(labels, dtype=torch.float64)
    if criterion.weight is not None:
        weights = criterion.weight.double()[labels.where(counted, 0)]
    return (weights * counted).sum()
