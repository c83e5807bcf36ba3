"""Cross-Lipschitz ratio (CL): first-order distance at which a pair of units exchanges its ranks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from robustxai._arguments import COUNT, POSITIVE, Choice, check_arguments, optional
from robustxai.engine import BasePenalty, ExplainedBatch
from robustxai.penalties._exact_hessian import products
from robustxai.penalties._ranking_gap import boundary_pairs
from robustxai.penalties._scale import safe_sqrt
from robustxai.perturbation import THREAT_ARGUMENTS, ThreatModel, as_threat
from robustxai.protocols import Norm, Ranking, Reduction
from robustxai.ranking import RANKING, unit_scores

__all__ = ["CrossLipschitz"]

_REDUCTIONS = ("min", "mean")


@dataclass(frozen=True)
class CrossLipschitz(BasePenalty):
    r"""Minus the smallest (or mean) ratio of gap to slope over the pairs at the boundary, per sample.

    .. math::
        -\min_{i \le k'} \; \min\Bigl(
        \frac{h(x, k-i+1, k+i)}{\|\nabla_x h(x, k-i+1, k+i)\|_2},\; R \Bigr), \qquad h(x, i, j) = s_i(x) - s_j(x)

    If s is the attribution itself, the denominator is the paper's :math:`\|H_i - H_j\|_2`. For magnitudes it is
    :math:`\|\sigma_i H_i - \sigma_j H_j\|_2` with :math:`\sigma` the signs of the attribution, because the difference
    of the rows alone is the slope of another gap. Each pair takes one Hessian-vector product.

    Parameters
    ----------
    k : int
        Size of the top set; the caller clips it below the number of units.
    n_pairs : int, optional
        k'; at most k, and k by default.
    reduction : {"min", "mean"}, default="min"
        "min" is the bound, the distance of the first exchange; "mean" sends a gradient to every pair.
    ranking : {"magnitude", "signed"}, default="magnitude"
        Ranked scores.
    epsilon, norm : optional
        Shorthand for ``threat=ThreatModel(epsilon, norm)``.
    threat : ThreatModel, optional
        Perturbations that the ranking should withstand; ``ThreatModel()`` (l2, epsilon 0.5) by default. Its epsilon is
        R. The ratio is a distance in its norm and scale; the slope is measured in the dual norm over the features that
        are not frozen. The box is ignored, so that the distance is never too large. A pair at a distance above R has no
        gradient; the bound of Hein and Andriushchenko has the same R. Without R, a pair with a Hessian row near zero,
        which is safe, would dominate the loss.

    Notes
    -----
    The attribution is taken up to a positive factor per sample (the gradient of the log-odds instead of that of the
    probability). Ranks are exchanged at the same points. The factor p(1 - p), which vanishes for confident samples,
    would change the slope although it changes no rank.

    References
    ----------
    Hein and Andriushchenko, *Formal guarantees on the robustness of a classifier against adversarial manipulation*,
    2017; Chen et al., *Robust ranking explanations*, 2023, Section 3.3.
    """

    stackable: ClassVar[bool] = True

    k: int
    n_pairs: int | None = None
    reduction: Reduction = "min"
    ranking: Ranking = "magnitude"
    epsilon: float | None = None
    norm: Norm | None = None
    threat: ThreatModel | None = field(default=None, kw_only=True)

    _constraints = {
        "k": COUNT,
        "n_pairs": optional(COUNT),
        "reduction": Choice(_REDUCTIONS),
        "ranking": RANKING,
        **THREAT_ARGUMENTS,
        "epsilon": optional(POSITIVE),
    }

    def __post_init__(self) -> None:
        check_arguments(self)
        POSITIVE.check("epsilon", self._threat().epsilon, "CrossLipschitz")

    def _threat(self) -> ThreatModel:
        return as_threat(self.threat, epsilon=self.epsilon, norm=self.norm)

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Compute the penalty of each sample, shape (*batch,)."""
        scores = unit_scores(batch.direction, self.ranking, batch_ndim=batch.batch_ndim)
        if self.k >= scores.shape[-1]:  # a single unit has no pair
            return scores.sum(dim=-1) * 0.0
        n_pairs = boundary_pairs(self.k, self.n_pairs, scores.shape[-1])
        window = scores.topk(self.k + n_pairs, dim=-1).values
        gaps = window[..., self.k - n_pairs : self.k].flip(-1) - window[..., self.k :]
        one_pair = torch.eye(n_pairs, dtype=gaps.dtype, device=gaps.device)
        vectors = one_pair.reshape(n_pairs, *(1,) * (gaps.ndim - 1), n_pairs).expand(n_pairs, *gaps.shape)
        slopes = products(gaps, batch.x, vectors).flatten(start_dim=batch.batch_ndim + 1)
        threat = self._threat()
        if threat.scale is not None or threat.frozen is not None:
            units = threat.units(np.empty((0, *batch.x.shape[batch.batch_ndim :]))).reshape(-1)
            slopes = slopes * torch.as_tensor(units, dtype=slopes.dtype, device=slopes.device)
        lengths = safe_sqrt(slopes.square().sum(dim=-1)) if threat.norm == 2 else slopes.abs().sum(dim=-1)
        lengths = lengths.movedim(0, -1)
        beyond = gaps >= threat.epsilon * lengths
        ratios = torch.where(beyond, threat.epsilon, gaps / torch.where(beyond, 1.0, lengths))
        return -(ratios.amin(dim=-1) if self.reduction == "min" else ratios.mean(dim=-1))
