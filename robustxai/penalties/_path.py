"""Integrated gradients between two points, as penalties differentiate them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from robustxai.engine import ExplainedBatch

__all__ = ["labels_of", "path_attribution"]


def labels_of(batch: ExplainedBatch) -> Tensor:
    """Return the labels of the batch, or the predicted classes where it has none; shape (*batch,)."""
    return batch.target if batch.y is None else batch.y


def path_attribution(
    batch: ExplainedBatch, start: Tensor | float, end: Tensor, n_points: int, *scores: Callable[[Tensor], Tensor]
) -> list[tuple[Tensor, Tensor]]:
    r"""Return the integrated gradients of each score from `start` to `end`, and its values at the ends of the paths.

    .. math:: (e - b) \odot \frac{1}{m} \sum_{r=1}^{m} \nabla f\Bigl(b + \tfrac{r}{m} (e - b)\Bigr)

    with the points of the published codes of robust attribution regularization: the right ends of m equal parts.

    Parameters
    ----------
    batch : ExplainedBatch
        Source of the network.
    start : Tensor shaped like `end`, or float
        b.
    end : Tensor of shape (*batch, *features)
        e.
    n_points : int
        m.
    *scores : callable
        f: logits of shape (*batch, n_classes), where the last batch axis has `n_points` rows for each sample, one after
        the other, to values of shape (*batch,). All scores share one pass of the network.

    Returns
    -------
    list of pairs
        For each score the attribution, shaped like `end` and differentiable in both points and in the weights, and the
        values, of shape (*batch,).
    """
    axis = batch.batch_ndim - 1
    share = torch.arange(1, n_points + 1, dtype=end.dtype, device=end.device) / n_points
    share = share.view(-1, *(1,) * (end.ndim - batch.batch_ndim))
    with torch.enable_grad():
        way = end - start
        first = start.unsqueeze(axis + 1) if isinstance(start, Tensor) else start
        # concatenated along the rows, because the leading axis of a stack counts its models
        path = (first + share * way.unsqueeze(axis + 1)).flatten(axis, axis + 1)
        path = path if path.requires_grad else path.requires_grad_()
        logits = batch.module(path)
        found = []
        for score in scores:
            values = score(logits)
            (slope,) = torch.autograd.grad(values.sum(), path, create_graph=True)
            mean = slope.unflatten(axis, (end.shape[axis], n_points)).mean(dim=axis + 1)
            found.append((way * mean, values.unflatten(-1, (end.shape[axis], n_points))[..., -1]))
        return found
