"""Exact Hessian norm (Exact-H), by Hessian-vector products."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustxai._validation import check_choice, check_number
from robustxai.penalties._batch import SMALLEST_SCALE, ExplainedBatch, safe_sqrt

__all__ = ["ExactHessian", "products"]

_NORMS = ("fro", "spectral")


@dataclass(frozen=True)
class ExactHessian:
    r"""Norm of the derivative H of the attribution in the input, per sample.

    .. math::
        \|H\|_F = \Bigl(\sum_i \|H^\top e_i\|_2^2\Bigr)^{1/2}
        = \bigl(\mathbb{E}_v \|H^\top v\|_2^2\bigr)^{1/2}, \qquad
        \|H\|_2 = \max_{\|v\| = 1} \|H^\top v\|_2, \qquad H = \frac{\partial I}{\partial x}

    For a gradient explanation H is the (symmetric) Hessian of the explained output; for others, the Jacobian of I.

    Parameters
    ----------
    norm : {"fro", "spectral"}, default="fro"
        "fro" needs no iteration and bounds "spectral" from above.
    n_probes : int, optional
        Of "fro": the number of random sign vectors v in the place of all d unit vectors (Hutchinson). The square is
        then unbiased. By default all of them, exactly: one product each, which a table affords.
    n_iter : int, default=10
        Of "spectral": steps of the power iteration on :math:`H H^\top`. An eigenvalue at half the largest
        has shrunk to a millionth of it by then. v is held constant in the derivative, which is the right one where v
        is the leading singular vector (Danskin).

    References
    ----------
    Chen et al., *Robust ranking explanations*, 2023, Section 4.2; Hutchinson, *A stochastic estimator of the trace of
    the influence matrix*, 1989.
    """

    norm: str = "fro"
    n_probes: int | None = None
    n_iter: int = 10

    def __post_init__(self) -> None:
        check_choice("norm", self.norm, _NORMS)
        if self.n_probes is not None:
            check_number("n_probes", self.n_probes, minimum=1, integer=True)
        check_number("n_iter", self.n_iter, minimum=1, integer=True)

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Penalty per sample, shape (*batch,)."""
        attribution = batch.attribution
        feature_axes = tuple(range(batch.batch_ndim, attribution.ndim))
        if self.norm == "spectral":
            vectors = self._leading(batch, feature_axes)[None]
            scale = 1.0
        elif self.n_probes is None:
            shape = attribution.shape[batch.batch_ndim :]
            units = torch.eye(shape.numel(), dtype=attribution.dtype, device=attribution.device)
            vectors = units.reshape(-1, *(1,) * batch.batch_ndim, *shape).expand(-1, *attribution.shape)
            scale = 1.0
        else:
            draw = torch.randint(
                2, (self.n_probes, *attribution.shape), generator=batch.generator, device=attribution.device
            )
            vectors, scale = (2 * draw - 1).to(attribution.dtype), 1 / self.n_probes
        squares = products(attribution, batch.x, vectors).square().sum(dim=0).sum(dim=feature_axes)
        return safe_sqrt(squares * scale)

    def _leading(self, batch: ExplainedBatch, feature_axes: tuple[int, ...]) -> Tensor:
        """The leading left singular vector of every sample, shaped like x, without a graph."""
        attribution, x = batch.attribution, batch.x
        vector = batch.randn_like(attribution)
        free = torch.zeros_like(attribution, requires_grad=True)
        transposed = products(attribution, x, free[None])[0]  # linear in `free`: its derivative there is H
        for _ in range(self.n_iter):
            image = products(attribution, x, vector[None], create_graph=False)[0]
            if transposed.requires_grad:
                (image,) = torch.autograd.grad(
                    transposed, free, image, retain_graph=True, allow_unused=True, materialize_grads=True
                )
            length = image.square().sum(dim=feature_axes, keepdim=True).sqrt()
            vector = torch.where(length > SMALLEST_SCALE, image / length.clamp_min(SMALLEST_SCALE), vector)
        length = vector.square().sum(dim=feature_axes, keepdim=True).sqrt()
        return (vector / length).detach()


def products(outputs: Tensor, x: Tensor, vectors: Tensor, *, create_graph: bool = True) -> Tensor:
    """Every vector times the Jacobian of `outputs` at x: (m, *outputs) to (m, *x); zero where x has no influence."""
    if not outputs.requires_grad:
        return torch.zeros(len(vectors), *x.shape, dtype=x.dtype, device=x.device)
    batched = len(vectors) > 1
    (result,) = torch.autograd.grad(
        outputs,
        x,
        vectors if batched else vectors[0],
        create_graph=create_graph,
        retain_graph=True,
        allow_unused=True,
        is_grads_batched=batched,
    )
    if result is None:
        return torch.zeros(len(vectors), *x.shape, dtype=x.dtype, device=x.device)
    return result if batched else result[None]
