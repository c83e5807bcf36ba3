"""Estimated Hessian norm (Est-H): one finite difference of the attribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from robustxai._arguments import POSITIVE, check_arguments
from robustxai.engine import BasePenalty, ExplainedBatch
from robustxai.penalties._scale import safe_sqrt

__all__ = ["EstimatedHessian"]


@dataclass(frozen=True)
class EstimatedHessian(BasePenalty):
    r"""Finite-difference estimate of the Hessian norm, per sample.

    .. math::
        \frac{1}{\kappa}\,\bigl\| I(x + \kappa v) - I(x) \bigr\|_2, \qquad
        v = \frac{\operatorname{sign} I(x)}{\|\operatorname{sign} I(x)\|_2}

    Parameters
    ----------
    kappa : float, default=1e-2
        Step of the difference, in units of x. 1e-2 is small compared with the scale of standardized or [0, 1] features,
        and large enough that float32 rounding (about 1e-7 / kappa) stays far below the norm.

    Notes
    -----
    The published code divides the sign by a fixed 3072 and takes one norm over the whole batch. Here v has length one
    for any number of features and every sample has its own norm, as in the paper's text.

    References
    ----------
    Moosavi-Dezfooli et al., *Robustness via curvature regularization, and vice versa*, 2019; Chen et al., 2023, 4.2.
    """

    differentiates_inputs: ClassVar[bool] = False
    stackable: ClassVar[bool] = True

    kappa: float = 1e-2

    _constraints = {"kappa": POSITIVE}

    def __post_init__(self) -> None:
        check_arguments(self)

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Compute the penalty of each sample, shape (*batch,)."""
        if batch.attribution.shape != batch.x.shape:
            raise ValueError(
                f"EstimatedHessian moves x along the sign of its explanation, and that of {batch.explainer!r} has one "
                "entry per column. Use RelativeHessian, hessian='relative' of R2ETClassifier."
            )
        sign = batch.attribution.detach().sign()
        feature_axes = tuple(range(batch.batch_ndim, sign.ndim))
        length = sign.square().sum(dim=feature_axes, keepdim=True).sqrt().clamp_min(1.0)
        shifted = batch.attribution_at(batch.x + self.kappa * sign / length)
        difference = (shifted - batch.attribution) / self.kappa
        return safe_sqrt(difference.square().sum(dim=feature_axes))
