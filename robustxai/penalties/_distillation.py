"""Two terms of ATEX: distillation of a teacher at the inputs, and at points across the explanation's direction."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from robustxai._arguments import COUNT, NOT_NEGATIVE, POSITIVE, Choice, Instance, check_arguments
from robustxai.engine import BasePenalty, ExplainedBatch
from robustxai.explainers import SmoothGrad
from robustxai.penalties._scale import SMALLEST_SCALE
from robustxai.perturbation import tangent_noise
from robustxai.protocols import DistillationVariant

__all__ = ["Distillation", "TangentDistillation"]

_VARIANTS = ("paper", "reference")


@dataclass(frozen=True, eq=False)
class Distillation(BasePenalty):
    r"""Kullback-Leibler divergence of the student g from the teacher f at the inputs, per sample.

    .. math:: L(g, f) = T^2\, \mathrm{KL}\bigl(\mathrm{softmax}(f / T) \,\|\, \mathrm{softmax}(g / T)\bigr)

    Parameters
    ----------
    teacher : nn.Module
        f, inputs to logits; its weights do not change.
    temperature : float, default=4.0
        T, on both sides; the factor :math:`T^2` keeps the size of the gradient. 4 as in the published code.
    """

    first_order: ClassVar[bool] = True

    teacher: nn.Module
    temperature: float = 4.0

    _constraints = {"teacher": Instance(nn.Module), "temperature": POSITIVE}

    def __post_init__(self) -> None:
        check_arguments(self)

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Compute the penalty of each sample, shape (*batch,)."""
        with torch.no_grad():
            expected = self.teacher(batch.x)
        return divergence(batch.logits, expected, self.temperature)


@dataclass(frozen=True, eq=False)
class TangentDistillation(BasePenalty):
    r"""Divergence of the student across the explanation's direction from the teacher on it, summed over copies.

    .. math::
        \sum_{x^i} \sum_{x^p} L\bigl(g(x^p), f(x^i)\bigr), \qquad
        x^i = x + \delta_1 \frac{\phi}{\|\phi\|_2}, \; |\delta_1| < \Delta_1, \qquad
        x^p = x^i + \delta_2 \frac{\phi_\perp}{\|\phi_\perp\|_2}, \; |\delta_2| \le \Delta_2

    with phi the SmoothGrad of f, :math:`\phi_\perp` random and perpendicular to phi
    (:func:`robustxai.perturbation.tangent_noise`), uniform deltas, and L as in :class:`Distillation`. SmoothGrad
    explains the log-odds of the teacher's predicted class: their gradient has the direction of the probability's
    gradient and does not vanish for confident samples. Only first derivatives, of the teacher, are needed.

    Parameters
    ----------
    teacher : nn.Module
        f.
    along, across : float, default=0.5
        :math:`\Delta_1, \Delta_2`, the radius within which explanations should be stable.
    n_along, n_across : int, default=2 and 4
        Number of points on the direction, and of copies around each point.
    temperature : float, default=4.0
        T.
    n_draws : int, default=10
        Draws of SmoothGrad, as in the published code. The root mean square length of its noise is `along`, so that phi
        describes all points at which the teacher is evaluated.
    variant : {"paper", "reference"}, default="paper"
        "reference" follows the published code: phi of the label, by the *student*, with noise of standard deviation
        `along` per feature; shifts of largest entry :math:`4\Delta` by the factors (t - n/2) / (n - 1), which are
        {-1, 0} for n = 2; noise of :math:`U(-4\Delta, 4\Delta)` per feature whose perpendicular part keeps its length;
        a mean over copies and classes; and T for the teacher only, without the factor :math:`T^2`.

    Notes
    -----
    The paper prints u ~ U(0, Delta2) for the noise from which the perpendicular is computed. Here the noise is
    symmetric, as in the code, because a positive u would prefer one diagonal of the feature space.

    References
    ----------
    Tang et al., *Defense against explanation manipulation*, 2021, Eq. 4-6; Smilkov et al., *SmoothGrad*, 2017.
    """

    first_order: ClassVar[bool] = True

    teacher: nn.Module
    along: float = 0.5
    across: float = 0.5
    n_along: int = 2
    n_across: int = 4
    temperature: float = 4.0
    n_draws: int = 10
    variant: DistillationVariant = "paper"

    _constraints = {
        "teacher": Instance(nn.Module),
        "along": NOT_NEGATIVE,
        "across": NOT_NEGATIVE,
        "n_along": COUNT,
        "n_across": COUNT,
        "temperature": POSITIVE,
        "n_draws": COUNT,
        "variant": Choice(_VARIANTS),
    }

    def __post_init__(self) -> None:
        check_arguments(self)

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Compute the penalty of each sample, shape (*batch,)."""
        on, off = self.samples(batch)
        axis = batch.batch_ndim - 1
        n_copies = self.n_along * self.n_across
        with torch.no_grad():
            expected = torch.cat(list(on), dim=axis)
            expected = torch.stack(self.teacher(expected).chunk(self.n_along, dim=axis))
        copies = torch.cat(list(off.flatten(end_dim=1)), dim=axis)
        logits = torch.stack(batch.module(copies).chunk(n_copies, dim=axis))
        expected = expected.repeat_interleave(self.n_across, dim=0)
        if self.variant == "paper":
            return divergence(logits, expected, self.temperature).sum(dim=0)
        p = (expected / self.temperature).softmax(dim=-1)
        return nn.functional.kl_div(logits.log_softmax(dim=-1), p, reduction="none").mean(dim=-1).mean(dim=0)

    def samples(self, batch: ExplainedBatch) -> tuple[Tensor, Tensor]:
        """Draw the x^i, shape (n_along, *x), and the x^p, shape (n_along, n_across, *x), without a graph."""
        x = batch.x.detach()
        flat = tuple(range(batch.batch_ndim, x.ndim))
        if self.variant == "reference":
            target = batch.target if batch.y is None else batch.y
            phi = SmoothGrad(self.n_draws, self.along, "log_odds")(batch.module, x, target)
            largest = phi.abs().amax(dim=flat, keepdim=True).clamp_min(SMALLEST_SCALE)
            factors = (torch.arange(self.n_along).to(x) - self.n_along / 2) / max(self.n_along - 1, 1)
            on = x + factors.reshape(-1, *(1,) * x.ndim) * (4 * self.along * phi / largest)
            shape = (self.n_along, self.n_across, *x.shape)
            noise = 4 * self.across * batch.draw(partial(_uniform, x), shape, axis=2)
            square = phi.square().sum(dim=flat, keepdim=True).clamp_min(SMALLEST_SCALE**2)
            inner = (noise * phi).sum(dim=tuple(a - x.ndim for a in flat), keepdim=True)
            return on, on[:, None] + noise - phi * (inner / square)
        with torch.no_grad():
            target = self.teacher(x).argmax(dim=-1)
        std = self.along / x[(0,) * batch.batch_ndim].numel() ** 0.5
        phi = SmoothGrad(self.n_draws, std, "log_odds")(self.teacher, x, target)
        phi = phi / phi.abs().amax(dim=flat, keepdim=True).clamp_min(SMALLEST_SCALE)  # its square could underflow
        phi = phi / phi.square().sum(dim=flat, keepdim=True).sqrt().clamp_min(SMALLEST_SCALE)
        on = x + self.along * batch.draw(partial(_uniform, x), _of_samples((self.n_along,), x, flat), axis=1) * phi
        copies = (self.n_along, self.n_across)
        every = phi.expand(*copies, *x.shape)
        noise = tangent_noise(
            every, batch_ndim=2 + batch.batch_ndim, noise=batch.draw(partial(_uniform, x), every.shape, axis=2)
        )
        deltas = batch.draw(partial(_uniform, x), _of_samples(copies, x, flat), axis=2)
        return on, on[:, None] + self.across * deltas * noise


def _of_samples(copies: tuple[int, ...], x: Tensor, flat: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape (*copies, *batch, 1, ...) of one number for every copy of every sample."""
    return (*copies, *x.shape[: x.ndim - len(flat)], *(1,) * len(flat))


def _uniform(like: Tensor, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    """Draw uniform numbers in (-1, 1)."""
    return 2 * torch.rand(shape, generator=generator, dtype=like.dtype, device=like.device) - 1


def divergence(logits: Tensor, expected: Tensor, temperature: float) -> Tensor:
    """Compute T^2 KL(softmax(expected / T) || softmax(logits / T)) over the last axis."""
    p, q = (expected / temperature).log_softmax(dim=-1), (logits / temperature).log_softmax(dim=-1)
    return temperature**2 * (p.exp() * (p - q)).sum(dim=-1)
