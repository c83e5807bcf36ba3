"""The mean of the gradient over many points per row: what SmoothGrad and Integrated Gradients share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustxai.explainers._gradient import Gradient
from robustxai.explainers._scaled import ScaledAttribution, spread

__all__ = ["leaf", "mean_gradient"]


def leaf(x: Tensor) -> Tensor:
    """`x`, or a leaf with its values when nothing can be differentiated with respect to it yet."""
    return x if x.requires_grad else x.detach().requires_grad_()


def mean_gradient(
    explainer: Gradient,
    module: nn.Module,
    x: Tensor,
    target: Tensor,
    scale: Tensor,
    shift: Tensor,
    *,
    create_graph: bool,
    internal_batch_size: int | None,
) -> ScaledAttribution:
    r"""``mean_s grad f(scale_s x + shift_s)``, shaped like x; the gradient is taken at the point, not through it.

    The gradients of a probability differ between points by factors :math:`\sigma'(m_s)` that underflow. They are
    summed as multiples of the largest factor of the row, whose logarithm is the scale of the result:

    .. math:: \frac1S \sum_s \sigma'(m_s) \nabla m_s
        = e^{M} \cdot \frac1S \sum_s e^{\log \sigma'(m_s) - M}\, \nabla m_s, \qquad M = \max_s \log \sigma'(m_s)

    Parameters
    ----------
    explainer : Gradient
        The gradient of one point.
    module, x, target
        As an explainer gets them; the axes of `target` are the batch axes of `x`.
    scale : Tensor of shape (n_points,)
        How much of the row is in each of its points.
    shift : Tensor of shape (n_points, *features)
        What is added to that, the same for all rows.
    create_graph : bool
        Whether the result is differentiable in x and in the weights.
    internal_batch_size : int or None
        Most (row, point) pairs in one forward pass, at least one row of each stacked model; None puts all in one.
    """
    batch, features = x.shape[: target.ndim], x.shape[target.ndim :]
    if not batch:
        raise ValueError(f"x must have a batch axis, got the shape {tuple(x.shape)}; for one sample pass x[None].")
    *stack, n_rows = batch  # a stack of models reads its own leading axis: points may only be laid along the rows
    n_points, ones = len(scale), (1,) * len(features)
    pairs = max(1, (internal_batch_size or target.numel() * n_points) // max(1, target[..., :1].numel()))
    rows_per_pass = max(1, min(n_rows, pairs))
    points_per_pass = max(1, min(n_points, pairs // rows_per_pass))
    row_axis = len(stack)

    def block(rows: Tensor, classes: Tensor) -> ScaledAttribution:
        total = torch.zeros_like(rows)
        largest: Tensor | None = None
        for start in range(0, n_points, points_per_pass):
            part = slice(start, start + points_per_pass)
            count = len(scale[part])
            points = rows.unsqueeze(row_axis + 1) * scale[part].view(-1, *ones) + shift[part]
            points = points.flatten(row_axis, row_axis + 1)
            repeated = classes.repeat_interleave(count, dim=-1)
            found = explainer.scaled(
                module, points if create_graph else points.detach(), repeated, create_graph=create_graph
            )
            direction = found.direction.unflatten(row_axis, (rows.shape[row_axis], count))
            if found.log_scale is None:
                total = total + direction.sum(dim=row_axis + 1)
                continue
            log_scale = found.log_scale.unflatten(row_axis, (rows.shape[row_axis], count))
            before = largest
            largest = log_scale.detach().amax(dim=row_axis + 1)
            if before is not None:
                largest = torch.maximum(largest, before)
                total = total * spread((before - largest).exp(), total)
            weights = (log_scale - largest.unsqueeze(row_axis + 1)).exp()
            total = total + (direction * spread(weights, direction)).sum(dim=row_axis + 1)
        return ScaledAttribution(total / n_points, largest)

    parts = zip(x.split(rows_per_pass, dim=row_axis), target.split(rows_per_pass, dim=-1))
    with torch.set_grad_enabled(create_graph):
        blocks = [block(rows, classes) for rows, classes in parts]
    if len(blocks) == 1:
        return blocks[0]
    direction = torch.cat([found.direction for found in blocks], dim=row_axis)
    scales = [found.log_scale for found in blocks if found.log_scale is not None]
    return ScaledAttribution(direction, torch.cat(scales, dim=row_axis) if scales else None)
