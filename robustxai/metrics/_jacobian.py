"""Derivatives of an attribution with respect to the input, for a batch of samples at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from robustxai.perturbation import input_gradient
from robustxai.protocols import ExplainableClassifier


def differentiable(
    estimator: ExplainableClassifier, x: Tensor, target: Tensor, outputs: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """``outputs(attribution)`` of shape (n, m) with its graph, and the leaf tensor x that it is a function of."""
    with torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        return outputs(estimator.explainer_(estimator.module_, leaf, target, create_graph=True)), leaf


def jacobian(
    estimator: ExplainableClassifier, x: Tensor, target: Tensor, outputs: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Values (n, m) of ``outputs(attribution)`` and their Jacobian (n, m, d) with respect to x.

    One backward pass per output serves all samples, because in eval mode no sample depends on another.
    """
    values, leaf = differentiable(estimator, x, target, outputs)
    rows = []
    for unit in range(values.shape[1]):
        weights = torch.zeros_like(values)
        weights[:, unit] = 1
        rows.append(input_gradient(values, leaf, weights, retain_graph=True).flatten(start_dim=1))
    return values.detach(), torch.stack(rows, dim=1)


def frobenius_estimate(values: Tensor, leaf: Tensor, probes: Tensor) -> Tensor:
    r"""Hutchinson's estimate of the Frobenius norm: the root of the mean of :math:`\|J^T v\|_2^2`, v ~ N(0, I).

    `probes` has shape (n_draws, n, m); the square is unbiased.
    """
    squares = [
        input_gradient(values, leaf, probe, retain_graph=True).flatten(start_dim=1).square().sum(dim=1)
        for probe in probes
    ]
    return torch.stack(squares).mean(dim=0).sqrt()


def spectral_estimate(values: Tensor, leaf: Tensor, start: Tensor, max_iter: int) -> Tensor:
    """Largest singular value by power iteration on J^T J from `start` (n, d): never above the true one.

    J v is the derivative of the linear map u -> J^T u in the direction v, so no forward mode is needed.
    """
    dual = torch.zeros_like(values, requires_grad=True)
    with torch.enable_grad():
        pulled = input_gradient(values, leaf, dual, create_graph=True)

    def forward(v: Tensor) -> Tensor:
        return input_gradient(pulled, dual, v.view_as(pulled), retain_graph=True).detach()

    v = start / start.norm(dim=1, keepdim=True)
    for _ in range(max_iter):
        v = input_gradient(values, leaf, forward(v), retain_graph=True).detach().flatten(start_dim=1)
        v = v / v.norm(dim=1, keepdim=True).clamp_min(torch.finfo(v.dtype).tiny)
    return forward(v).norm(dim=1)
