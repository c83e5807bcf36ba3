"""Smooth-surface regularisation (SSR): the largest eigenvalue of the loss's Hessian."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustxai._validation import check_choice, check_number
from robustxai.nets import is_piecewise_linear
from robustxai.penalties._batch import SMALLEST_SCALE, ExplainedBatch
from robustxai.penalties._exact_hessian import products

__all__ = ["SSR"]

_METHODS = ("auto", "closed", "power")


@dataclass(frozen=True)
class SSR:
    r"""Largest eigenvalue of the Hessian of the cross-entropy in the input, per sample.

    .. math::
        \lambda_{\max}(\nabla_x^2\, \mathrm{CE}), \qquad
        \nabla_x^2\, \mathrm{CE} = W A W^\top + \sum_c (p_c - y_c) \nabla_x^2 z_c, \quad
        W = (\nabla_x z_1, \dots, \nabla_x z_C), \; A = \operatorname{diag}(p) - p p^\top

    Of a piecewise linear network the sum is zero and what remains has the eigenvalues of a C x C matrix:

    .. math:: \lambda_{\max}(W A W^\top) = \lambda_{\max}(B^\top B), \qquad
        B_{\cdot c} = \sqrt{p_c}\, \bigl(\nabla_x z_c - \textstyle\sum_j p_j \nabla_x z_j\bigr)

    Parameters
    ----------
    method : {"auto", "closed", "power"}, default="auto"
        "closed" solves the C x C problem, "power" iterates on the whole Hessian; "auto" takes the first for networks
        with ReLUs and the second for smooth ones.
    n_iter : int, default=10
        Of "power": steps. Power iteration finds the eigenvalue of largest magnitude; where that is a negative one, as
        many steps on the shifted Hessian follow. The eigenvector is held constant in the derivative.

    Notes
    -----
    The published code factors A by its eigenvectors with clipped eigenvalues and averages W over colour channels.
    B above is exact: :math:`A = (I - p 1^\top) \operatorname{diag}(p) (I - 1 p^\top)`.

    References
    ----------
    Wang et al., *Smoothed geometry for robust attribution*, 2020.
    """

    method: str = "auto"
    n_iter: int = 10

    def __post_init__(self) -> None:
        check_choice("method", self.method, _METHODS)
        check_number("n_iter", self.n_iter, minimum=1, integer=True)

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Penalty per sample, shape (*batch,)."""
        if self.method == "closed" or (self.method == "auto" and is_piecewise_linear(batch.module)):
            return _closed(batch)
        return self._power(batch)

    def _power(self, batch: ExplainedBatch) -> Tensor:
        labels = batch.target if batch.y is None else batch.y
        log_p = batch.explained_logits.log_softmax(dim=-1).gather(-1, labels.unsqueeze(-1))
        (slope,) = torch.autograd.grad(-log_p.sum(), batch.x, create_graph=True)
        axes = tuple(range(batch.batch_ndim, slope.ndim))
        vector = batch.randn_like(slope)
        largest = _iterate(slope, batch.x, vector, torch.zeros(()).to(slope), axes, self.n_iter)
        value = _rayleigh(slope, batch.x, largest, axes, create_graph=False)
        shift = (-value).clamp_min(0.0).reshape(value.shape + (1,) * len(axes))
        if shift.any():
            shifted = _iterate(slope, batch.x, vector, shift, axes, self.n_iter)
            largest = torch.where(shift > 0, shifted, largest)
        return _rayleigh(slope, batch.x, largest, axes, create_graph=True)


def _iterate(slope: Tensor, x: Tensor, vector: Tensor, shift: Tensor, axes: tuple[int, ...], n_iter: int) -> Tensor:
    """Leading eigenvector of H + shift, of length one."""
    vector = vector / vector.square().sum(dim=axes, keepdim=True).sqrt()
    for _ in range(n_iter):
        image = products(slope, x, vector[None], create_graph=False)[0] + shift * vector
        length = image.square().sum(dim=axes, keepdim=True).sqrt()
        vector = torch.where(length > SMALLEST_SCALE, image / length.clamp_min(SMALLEST_SCALE), vector)
    return vector.detach()


def _rayleigh(slope: Tensor, x: Tensor, vector: Tensor, axes: tuple[int, ...], *, create_graph: bool) -> Tensor:
    return (products(slope, x, vector[None], create_graph=create_graph)[0] * vector).sum(dim=axes)


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
    centred = slopes - slopes @ log_p.exp().unsqueeze(-1)
    factor = centred * (log_p / 2).exp().unsqueeze(-2)
    return torch.linalg.eigvalsh(factor.transpose(-1, -2) @ factor)[..., -1]
