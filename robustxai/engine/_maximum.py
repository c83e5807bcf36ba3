"""Maxima for attacks, with first and second derivatives from intermediate values of the forward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["maximum_of_pairs"]


def maximum_of_pairs(z: Tensor, dim: int, beta: float | None = None) -> Tensor:
    r"""Return the maxima of the places 0 and 1, of 2 and 3, and so on along `dim`.

    Of two equal places the gradient goes to the first. With `beta` the result is the smooth surrogate
    :math:`z_2 + s(z_1 - z_2)` with s the softplus of sharpness beta. Gradients have the memory layout of z.
    """
    return _MaximumOfPairs.apply(z, dim, beta)


class _MaximumOfPairs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, dim: int, beta: float | None) -> Tensor:
        one, other = _halves(z, dim)
        ctx.dim, ctx.beta = dim, beta
        if beta is None:
            ctx.save_for_backward(z, (one >= other).to(z.dtype))
            return torch.maximum(one, other)
        difference = one - other
        ctx.save_for_backward(z, (beta * difference).sigmoid_())
        return nn.functional.softplus(difference, beta).add_(other)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        z, share = ctx.saved_tensors
        return _Shared.apply(gradients[0], z, share, ctx.dim, ctx.beta), None, None


class _Shared(torch.autograd.Function):
    """Divide `gradient` between the two places of every pair: `share` of it goes to the first place."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, z: Tensor, share: Tensor, dim: int, beta: float | None) -> Tensor:
        ctx.save_for_backward(gradient, z, share)
        ctx.dim, ctx.beta = dim, beta
        first = gradient * share
        return _joined(first, gradient - first, z, dim)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gradient, z, share = ctx.saved_tensors
        one, other = _halves(gradients[0], ctx.dim)
        difference = one - other
        if ctx.beta is None:
            return torch.addcmul(other, difference, share), None, None, None, None
        if torch.is_grad_enabled():  # a third derivative needs the share as a function of z
            first, second = _halves(z, ctx.dim)
            share = torch.sigmoid(ctx.beta * (first - second))
        bend = torch.addcmul(share, share, share, value=-1).mul_(ctx.beta).mul_(gradient).mul_(difference)
        return torch.addcmul(other, difference, share), _joined(bend, -bend, z, ctx.dim), None, None, None


def _halves(z: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    one, other = z.unflatten(dim, (-1, 2)).unbind(dim + 1)
    return one, other


def _joined(one: Tensor, other: Tensor, like: Tensor, dim: int) -> Tensor:
    """Invert `_halves`, in the memory layout of `like`."""
    if torch.is_grad_enabled():  # autograd's graph allows no writing in place
        return torch.stack([one, other], dim=dim + 1).flatten(dim, dim + 1)
    joined = torch.empty_like(like)
    for part, place in zip((one, other), _halves(joined, dim)):
        place.copy_(part)
    return joined
