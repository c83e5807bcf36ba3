"""Smooth-surface regularization (SSR): largest eigenvalue of the loss's Hessian."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustxai._arguments import COUNT, NOT_NEGATIVE, Choice, check_arguments
from robustxai.engine import BasePenalty, ExplainedBatch, is_piecewise_linear
from robustxai.penalties._exact_hessian import products
from robustxai.penalties._lanczos import leading_eigenvector
from robustxai.protocols import SSRMethod

__all__ = ["SSR"]

_METHODS = ("auto", "closed", "power")


@dataclass(frozen=True)
class SSR(BasePenalty):
    r"""Largest eigenvalue of the Hessian of the cross-entropy in the input, per sample.

    .. math::
        \lambda_{\max}(\nabla_x^2\, \mathrm{CE}), \qquad
        \nabla_x^2\, \mathrm{CE} = W A W^\top + \sum_c (p_c - y_c) \nabla_x^2 z_c, \quad
        W = (\nabla_x z_1, \dots, \nabla_x z_C), \; A = \operatorname{diag}(p) - p p^\top

    In a piecewise linear network the sum is zero, and the rest has the nonzero eigenvalues of a C x C matrix:

    .. math:: \lambda_{\max}(W A W^\top) = \lambda_{\max}(B^\top B), \qquad
        B_{\cdot c} = \sqrt{p_c}\, \bigl(\nabla_x z_c - \textstyle\sum_j p_j \nabla_x z_j\bigr)

    Parameters
    ----------
    method : {"auto", "closed", "power"}, default="auto"
        "closed" solves the C x C problem. "power" iterates on the whole Hessian by Lanczos's method, which is a power
        iteration with the best combination of all its vectors. "auto" is "closed" for piecewise linear networks and
        "power" for smooth ones.
    max_iter : int, default=100
        For "power": largest number of products with the Hessian. The eigenvalue is exact once this equals the number of
        features, so that tables of up to 100 columns always converge.
    tol : float, default=1e-6
        For "power": a sample has converged if :math:`\|H v - \lambda v\|_2 \le \text{tol}\, |\lambda|`, which bounds
        the relative error of :math:`\lambda`. The derivative holds the eigenvector constant.

    Warns
    -----
    ConvergenceWarning
        For "power": samples have not converged after `max_iter` products. Their penalty may be too low.

    Notes
    -----
    The published code factors A by its eigenvectors with clipped eigenvalues and averages W over color channels.
    B above is exact: :math:`A = (I - p 1^\top) \operatorname{diag}(p) (I - 1 p^\top)`.

    References
    ----------
    Wang et al., *Smoothed geometry for robust attribution*, 2020.
    """

    method: SSRMethod = "auto"
    max_iter: int = 100
    tol: float = 1e-6

    _constraints = {"method": Choice(_METHODS), "max_iter": COUNT, "tol": NOT_NEGATIVE}

    def __post_init__(self) -> None:
        check_arguments(self)

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Compute the penalty of each sample, shape (*batch,)."""
        if self.method == "closed" or (self.method == "auto" and is_piecewise_linear(batch.module)):
            return _closed(batch)
        return self._power(batch)

    def _power(self, batch: ExplainedBatch) -> Tensor:
        labels = batch.target if batch.y is None else batch.y
        log_p = batch.explained_logits.log_softmax(dim=-1).gather(-1, labels.unsqueeze(-1))
        (slope,) = torch.autograd.grad(-log_p.sum(), batch.x, create_graph=True)
        vector = leading_eigenvector(
            lambda v: products(slope, batch.x, v[None], create_graph=False)[0],
            batch.randn_like(slope),
            batch_ndim=batch.batch_ndim,
            tol=self.tol,
            max_iter=self.max_iter,
        )
        return (products(slope, batch.x, vector[None])[0] * vector).flatten(start_dim=batch.batch_ndim).sum(dim=-1)


def _closed(batch: ExplainedBatch) -> Tensor:
    logits = batch.explained_logits
    log_p = logits.log_softmax(dim=-1)
    n_classes = log_p.shape[-1]
    classes = range(n_classes)
    slopes = torch.stack(
        [
            torch.autograd.grad(logits[..., c].sum(), batch.x, create_graph=True)[0].flatten(batch.batch_ndim)
            for c in classes
        ],
        dim=-1,
    )
    centered = slopes - slopes @ log_p.exp().unsqueeze(-1)
    factor = centered * (log_p / 2).exp().unsqueeze(-2)
    return torch.linalg.eigvalsh(factor.transpose(-1, -2) @ factor)[..., -1]
