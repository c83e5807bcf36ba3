"""Parts of a batch: their shares in the loss, and their random numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from robustxai.engine import ExplainedBatch

__all__ = ["PartOfBatch", "check_sum", "criterion_divisor", "criterion_shares"]

#: Largest relative difference by rounding between the criterion of a batch and the sum over its parts.
_TOLERANCE = 1e-4


class PartOfBatch(ExplainedBatch):
    """Some rows of a batch, for which penalties draw the same random numbers as in the whole batch.

    Parameters
    ----------
    *args, **options
        As in :class:`robustxai.penalties.ExplainedBatch`. The generator must have its state of before the first part.
    first : int
        Position in the batch of the part's first row.
    n_rows : int
        Number of rows of the batch.
    """

    def __init__(self, *args: Any, first: int, n_rows: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self.first = first
        self.n_rows = n_rows

    def among_first(self, n_rows: int | None) -> int:
        """Return how many rows of the part are among the first `n_rows` of the batch."""
        return len(self.x) if n_rows is None else max(0, min(n_rows - self.first, len(self.x)))

    def draw(
        self, sample: Callable[[tuple[int, ...], torch.Generator | None], Tensor], shape: Sequence[int], axis: int = 0
    ) -> Tensor:
        """Draw for the whole batch and return the numbers of the part's rows."""
        whole = list(shape)
        whole[axis] = self.n_rows
        return sample(tuple(whole), self.generator).narrow(axis, self.first, shape[axis])


def criterion_shares(criterion: nn.Module, parts: Sequence[Tensor]) -> list[float]:
    """Return the weight of each part's criterion in the criterion of the batch, which is their weighted sum.

    The weight of a mean is its share of the divisor: the number of rows, the sum of the weights of their classes, or
    the number of rows that are not ignored. The weight of a sum is 1. Other criteria are assumed to be a mean or a sum;
    :func:`check_sum` verifies it.

    Parameters
    ----------
    criterion : nn.Module
        Function of logits of shape (n, n_classes) and class indices of shape (n,).
    parts : sequence of Tensor of shape (n_i,)
        Class indices of each part.

    Returns
    -------
    list of float
    """
    if getattr(criterion, "reduction", "mean") == "sum":
        return [1.0] * len(parts)
    sizes = torch.tensor([float(len(part)) for part in parts], dtype=torch.float64)
    if _weighs_labels(criterion):
        sizes = torch.stack([_divisors(criterion, part).sum() for part in parts]).cpu()
    return (sizes / sizes.sum()).tolist()


def criterion_divisor(criterion: nn.Module, labels: Tensor, sample_weight: Tensor) -> Tensor | float:
    """Return the number by which a batch's weighted sum of the rows' criteria is divided.

    For a mean it is the number of rows, because weights have mean 1 over all rows of the data; the weighted sum of the
    weights of their classes; or that of the rows that are not ignored. For a sum it is 1.
    """
    if getattr(criterion, "reduction", "mean") == "sum":
        return 1.0
    if not _weighs_labels(criterion):
        return float(len(labels))
    return (_divisors(criterion, labels).to(sample_weight) * sample_weight).sum()


def check_sum(criterion: nn.Module, logits: Tensor, labels: Tensor, total: Tensor) -> None:
    """Raise NotImplementedError unless `total`, the sum over the parts, is the criterion of the whole batch.

    Only criteria that the library does not know are checked. A loss that compares rows with each other, or divides by
    a property of the whole batch, is not a sum over parts.
    """
    if type(criterion) in (nn.CrossEntropyLoss, nn.NLLLoss):
        return
    with torch.no_grad():
        whole = criterion(logits.detach(), labels)
    if bool((whole - total).abs() <= _TOLERANCE * (whole.abs() + 1e-3)) or not bool(torch.isfinite(whole)):
        return  # values that are not finite are reported at the end of the epoch
    raise NotImplementedError(
        f"internal_batch_size computes a batch in parts, but {type(criterion).__name__} of the batch, "
        f"{float(whole):.4g}, is not the mean or the sum over its parts, {float(total):.4g}. Leave internal_batch_size "
        "out, and lower batch_size if the memory does not suffice."
    )


def _weighs_labels(criterion: Any) -> bool:
    """Return True if the divisor of the mean depends on the labels."""
    known = type(criterion) in (nn.CrossEntropyLoss, nn.NLLLoss)
    return known and (criterion.weight is not None or criterion.ignore_index >= 0)


def _divisors(criterion: Any, labels: Tensor) -> Tensor:
    """Return the part of every row in the divisor of the mean cross-entropy."""
    counted = labels != criterion.ignore_index
    weights = torch.ones_like(labels, dtype=torch.float64)
    if criterion.weight is not None:
        weights = criterion.weight.double()[labels.where(counted, 0)]
    return weights * counted
