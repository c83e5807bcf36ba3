"""Relative Hessian norm: rate at which the shape of the explanation changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robustxai._arguments import POSITIVE, check_arguments
from robustxai.engine import BasePenalty, ExplainedBatch, known_gradient
from robustxai.penalties._scale import SMALLEST_SCALE

__all__ = ["RelativeHessian"]


@dataclass(frozen=True)
class RelativeHessian(BasePenalty):
    r"""Difference quotient of the normalized attribution in a random direction, per sample.

    .. math::
        \frac{1}{\kappa} \bigl\| \hat I(x + \kappa u) - \hat I(x) \bigr\|_2, \qquad
        \hat I = \frac{I}{\tfrac{1}{d} \|I\|_1}, \quad u \sim \mathrm{Uniform}(\{\|u\|_2 = 1\})

    As kappa goes to 0, the expectation of its square over u is :math:`\|\partial \hat I / \partial x\|_F^2 / d`, by
    Hutchinson's estimator. It differs from :class:`EstimatedHessian` and from a squared norm in three ways. First, it
    does not depend on the length of the attribution, which does not affect a ranking either; a flatter classifier does
    not lower it. Second, a new direction in every step covers the whole Hessian, whereas the sign of the gradient is
    always the same direction. Third, a square would be dominated by the samples whose explanation must change because
    the data are curved there.

    Parameters
    ----------
    kappa : float, default=0.3
        Step, in units of x. It has the order of the perturbations that the ranking should withstand (epsilon 0.5 on
        features in [0, 1]), because the curvature at a point does not show a softplus bend a quarter of the range away.

    References
    ----------
    Hutchinson, *A stochastic estimator of the trace of the influence matrix*, 1989.
    """

    differentiates_inputs: ClassVar[bool] = False
    stackable: ClassVar[bool] = True

    kappa: float = 0.3

    _constraints = {"kappa": POSITIVE}

    def __post_init__(self) -> None:
        check_arguments(self)

    def point(self, batch: ExplainedBatch) -> Tensor:
        """Return the second point of the difference, x + kappa u, shaped like x."""
        step = batch.randn_like(batch.x)
        length = torch.linalg.vector_norm(step, dim=self._feature_axes(batch), keepdim=True)
        return torch.addcdiv(batch.x.detach(), step, length, value=self.kappa)

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Compute the penalty of each sample, shape (*batch,)."""
        ends = batch.direction, batch.direction_of(self)
        axes = tuple(range(-len(self._feature_axes(batch)), 0))
        # one tensor for both ends halves the number of operations, whose start dominates the time of a small batch
        attribution = torch.stack([end.detach() for end in ends])
        scale = attribution.abs().mean(dim=axes, keepdim=True).clamp_min_(SMALLEST_SCALE)
        shape = attribution / scale
        difference = shape[1] - shape[0]
        length = torch.linalg.vector_norm(difference, dim=axes, keepdim=True)
        slope = difference.div_((self.kappa * length).clamp_min_(SMALLEST_SCALE))  # 0 at length 0
        value = length.flatten(start_dim=batch.batch_ndim - 1) / self.kappa
        # chain rule from the shape to the attribution, which also changes the mean magnitude
        along = shape.mul_(slope).mean(dim=axes, keepdim=True)
        here, there = torch.addcmul(slope, attribution.sign_(), along, value=-1).div_(scale)
        return known_gradient(value, (ends[0], here.neg_()), (ends[1], there))

    def _feature_axes(self, batch: ExplainedBatch) -> tuple[int, ...]:
        return tuple(range(batch.batch_ndim, batch.x.ndim))
