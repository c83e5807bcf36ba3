"""Exact Hessian norm (Exact-H), by Hessian-vector products."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustxai._arguments import COUNT, NOT_NEGATIVE, Choice, check_arguments, optional
from robustxai.engine import BasePenalty, ExplainedBatch
from robustxai.explainers import Gradient
from robustxai.penalties._lanczos import leading_eigenvector
from robustxai.penalties._scale import safe_sqrt
from robustxai.perturbation import input_gradient
from robustxai.protocols import HessianNorm

__all__ = ["ExactHessian", "products"]

_NORMS = ("fro", "spectral")
#: Largest number of entries of all products together: 4 GB in float32.
_MAX_ENTRIES = 2**30


@dataclass(frozen=True)
class ExactHessian(BasePenalty):
    r"""Norm of the derivative H of the attribution in the input, per sample.

    .. math::
        \|H\|_F = \Bigl(\sum_i \|H^\top e_i\|_2^2\Bigr)^{1/2}
        = \bigl(\mathbb{E}_v \|H^\top v\|_2^2\bigr)^{1/2}, \qquad
        \|H\|_2 = \max_{\|v\| = 1} \|H^\top v\|_2, \qquad H = \frac{\partial I}{\partial x}

    For a gradient explanation H is the (symmetric) Hessian of the explained output; for others, the Jacobian of I.

    Parameters
    ----------
    norm : {"fro", "spectral"}, default="fro"
        "fro" needs no iteration and is an upper bound of "spectral".
    n_draws : int, optional
        For "fro": number of random sign vectors v that replace the d unit vectors (Hutchinson's estimator). The square
        is then unbiased. By default all unit vectors are used, with one product each; the result is then exact, at a
        cost that suits tables.
    max_iter : int, default=100
        For "spectral": largest number of products of Lanczos's method with H, or with :math:`H H^\top` if H is not a
        Hessian. The method is a power iteration with the best combination of all its vectors. The norm is exact once
        the number of products equals the number of features, so that tables of up to 100 columns always converge. The
        derivative holds v constant, which is correct if v is the leading singular vector (Danskin).
    tol : float, default=1e-6
        For "spectral": a sample has converged if the residual :math:`\|H v - \lambda v\|_2` is at most this share of
        :math:`|\lambda|`, which bounds the relative error.

    Warns
    -----
    ConvergenceWarning
        For "spectral": samples have not converged after `max_iter` products. Their norm may be too low.

    References
    ----------
    Chen et al., *Robust ranking explanations*, 2023, Section 4.2; Hutchinson, *A stochastic estimator of the trace of
    the influence matrix*, 1989.
    """

    norm: HessianNorm = "fro"
    n_draws: int | None = None
    max_iter: int = 100
    tol: float = 1e-6

    _constraints = {"norm": Choice(_NORMS), "n_draws": optional(COUNT), "max_iter": COUNT, "tol": NOT_NEGATIVE}

    def __post_init__(self) -> None:
        check_arguments(self)

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Compute the penalty of each sample, shape (*batch,)."""
        attribution = batch.attribution
        feature_axes = tuple(range(batch.batch_ndim, attribution.ndim))
        if self.norm == "spectral":
            vectors = self._leading(batch)[None]
            scale = 1.0
        elif self.n_draws is None:
            shape = attribution.shape[batch.batch_ndim :]
            _check_size(attribution, shape.numel())
            units = torch.eye(shape.numel(), dtype=attribution.dtype, device=attribution.device)
            vectors = units.reshape(-1, *(1,) * batch.batch_ndim, *shape).expand(-1, *attribution.shape)
            scale = 1.0
        else:
            draw = batch.draw(
                lambda shape, generator: torch.randint(2, shape, generator=generator, device=attribution.device),
                (self.n_draws, *attribution.shape),
                axis=1,
            )
            vectors, scale = (2 * draw - 1).to(attribution.dtype), 1 / self.n_draws
        squares = products(attribution, batch.x, vectors).square().sum(dim=0).sum(dim=feature_axes)
        return safe_sqrt(squares * scale)

    def _leading(self, batch: ExplainedBatch) -> Tensor:
        """Return the leading left singular vector of every sample, shaped like x, without a graph."""
        attribution, symmetric = batch.attribution, type(batch.explainer) is Gradient
        free = torch.zeros_like(attribution, requires_grad=True)
        # linear in `free`, with derivative H
        transposed = None if symmetric else products(attribution, batch.x, free[None])[0]

        def apply(vector: Tensor) -> Tensor:
            image = products(attribution, batch.x, vector[None], create_graph=False)[0]
            if transposed is None or not transposed.requires_grad:
                return image
            return input_gradient(transposed, free, image, retain_graph=True)

        return leading_eigenvector(
            apply,
            batch.randn_like(attribution),
            batch_ndim=batch.batch_ndim,
            tol=self.tol,
            max_iter=self.max_iter,
            by_magnitude=True,
        )


def _check_size(attribution: Tensor, n: int) -> None:
    """Raise ValueError if all products with H do not fit into a usual memory; their graph takes several times as much.

    Computing some of them at a time would not help, because the derivative in the weights needs the graph of all.
    """
    entries = n * attribution.numel()
    if entries > _MAX_ENTRIES:
        size = entries * attribution.element_size() / 1e9
        raise ValueError(
            f"The exact Hessian norm of {attribution.numel() // n:,} rows with {n:,} features takes {n:,} products of "
            f"{size:.3g} GB together in every step. Use n_draws (32 random products: unbiased, with a relative error "
            "of at most 1/8), norm='spectral', EstimatedHessianClassifier, or a smaller internal_batch_size."
        )


def products(outputs: Tensor, x: Tensor, vectors: Tensor, *, create_graph: bool = True) -> Tensor:
    """Multiply each vector by the Jacobian of `outputs` at x: (m, *outputs) to (m, *x); zero if x has no effect."""
    return input_gradient(outputs, x, vectors, create_graph=create_graph, retain_graph=True, batched=True)
