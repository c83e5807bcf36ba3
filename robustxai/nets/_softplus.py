"""Softplus for attacks: its first two derivatives from what the forward pass has computed already."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["pairs", "softplus"]


def softplus(z: Tensor, beta: float, threshold: float = 20.0) -> Tensor:
    r"""As ``torch.nn.functional.softplus``, whose second derivative takes three times as long.

    .. math:: s(z) = \tfrac{1}{\beta} \log(1 + e^{\beta z}), \quad s' = \sigma(\beta z), \quad
        s'' = \beta\, \sigma(\beta z)\,(1 - \sigma(\beta z))
    """
    return _Softplus.apply(z, beta, threshold)


class _Softplus(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, beta: float, threshold: float) -> Tensor:
        slope = (beta * z).sigmoid_()
        ctx.save_for_backward(z, slope)
        ctx.beta = beta
        return nn.functional.softplus(z, beta, threshold)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (z, slope) = gradients, ctx.saved_tensors
        if not torch.is_grad_enabled():
            return gradient * slope, None, None
        return _Slope.apply(gradient, z, slope, ctx.beta), None, None


class _Slope(torch.autograd.Function):
    """`gradient` times the slope at z."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, z: Tensor, slope: Tensor, beta: float) -> Tensor:
        ctx.save_for_backward(gradient, z, slope)
        ctx.beta = beta
        return gradient * slope

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (arrived,), (gradient, z, slope) = gradients, ctx.saved_tensors
        if torch.is_grad_enabled():  # a third derivative asks for the slope as a function of z
            slope = torch.sigmoid(ctx.beta * z)
        bend = torch.addcmul(slope, slope, slope, value=-1).mul_(ctx.beta)
        return arrived * slope, bend.mul_(gradient).mul_(arrived), None, None


def pairs(z: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The places 0, 2, 4, ... and 1, 3, 5, ... of z along `dim`; gradients come back in the memory layout of z."""
    return _Pairs.apply(z, dim)


class _Pairs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(z)
        ctx.dim = dim
        one, other = z.unflatten(dim, (-1, 2)).unbind(dim + 1)
        return one.clone(), other.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return _Joined.apply(*gradients, *ctx.saved_tensors, ctx.dim), None


class _Joined(torch.autograd.Function):
    """The inverse of `pairs`."""

    @staticmethod
    def forward(ctx: Any, one: Tensor, other: Tensor, like: Tensor, dim: int) -> Tensor:
        ctx.dim = dim
        joined = torch.empty_like(like)
        for part, place in zip((one, other), joined.unflatten(dim, (-1, 2)).unbind(dim + 1)):
            place.copy_(part)
        return joined

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return (*pairs(gradients[0], ctx.dim), None, None)
