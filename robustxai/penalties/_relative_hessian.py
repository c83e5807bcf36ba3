"""Relative Hessian norm: how fast the shape of the explanation turns."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from robustxai._validation import check_number
from robustxai.penalties._batch import SMALLEST_SCALE, ExplainedBatch, safe_sqrt

__all__ = ["RelativeHessian"]


@dataclass(frozen=True)
class RelativeHessian:
    r"""Difference quotient of the normalised attribution in a random direction, per sample.

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

    kappa: float = 0.3

    def __post_init__(self) -> None:
        check_number("kappa", self.kappa, minimum=0.0, inclusive=False)

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Penalty per sample, shape (*batch,)."""
        here = batch.direction
        feature_axes = tuple(range(batch.batch_ndim, here.ndim))
        step = batch.randn_like(here)
        step = step / step.square().sum(dim=feature_axes, keepdim=True).sqrt()
        there = batch.direction_at(batch.x + self.kappa * step)
        difference = _shape_of(there, feature_axes) - _shape_of(here, feature_axes)
        return safe_sqrt(difference.square().sum(dim=feature_axes)) / self.kappa


def _shape_of(attribution: Tensor, feature_axes: tuple[int, ...]) -> Tensor:
    """The attribution divided by its mean magnitude."""
    scale = attribution.abs().mean(dim=feature_axes, keepdim=True)
    return attribution / scale.clamp_min(SMALLEST_SCALE)
