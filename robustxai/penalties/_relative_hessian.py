"""Relative Hessian norm: how fast the shape of the explanation turns."""

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

    As kappa goes to 0 the expectation of its square over u is :math:`\|\partial \hat I / \partial x\|_F^2 / d`, by
    Hutchinson's estimator. Three things set it apart from :class:`EstimatedHessian` and from a squared norm. A ranking
    does not care about the length of the attribution, and neither does this norm, so that it cannot be lowered by
    flattening the classifier. A new direction in every step reaches the whole Hessian, where the sign of the gradient
    is always the same one. And a square would spend everything on the samples whose explanation has to turn because
    the data are curved there.

    Parameters
    ----------
    kappa : float, default=0.3
        Step, in units of x. Of the order of the perturbations that the ranking is to survive (epsilon 0.5 on features
        in [0, 1]), because the curvature at a point says little about a softplus bend a quarter of the range away.

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
        """The other end of the difference, x + kappa u, shaped like x."""
        step = batch.randn_like(batch.x)
        length = torch.linalg.vector_norm(step, dim=self._feature_axes(batch), keepdim=True)
        return torch.addcdiv(batch.x.detach(), step, length, value=self.kappa)

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Penalty per sample, shape (*batch,)."""
        ends = batch.direction, batch.direction_of(self)
        axes = tuple(range(-len(self._feature_axes(batch)), 0))
        # both ends in one tensor: half as many operations, each of which costs a small batch more than its numbers
        attribution = torch.stack([end.detach() for end in ends])
        scale = attribution.abs().mean(dim=axes, keepdim=True).clamp_min_(SMALLEST_SCALE)
        shape = attribution / scale
        difference = shape[1] - shape[0]
        length = torch.linalg.vector_norm(difference, dim=axes, keepdim=True)
        slope = difference.div_((self.kappa * length).clamp_min_(SMALLEST_SCALE))  # 0 at length 0
        value = length.flatten(start_dim=batch.batch_ndim - 1) / self.kappa
        # from a slope in the shape to one in the attribution, whose mean magnitude changes along with it
        along = shape.mul_(slope).mean(dim=axes, keepdim=True)
        here, there = torch.addcmul(slope, attribution.sign_(), along, value=-1).div_(scale)
        return known_gradient(value, (ends[0], here.neg_()), (ends[1], there))

    def _feature_axes(self, batch: ExplainedBatch) -> tuple[int, ...]:
        return tuple(range(batch.batch_ndim, batch.x.ndim))
