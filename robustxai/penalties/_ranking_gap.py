"""Ranking gap, the first term of R2ET."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robustxai._arguments import COUNT, POSITIVE, Choice, check_arguments, optional
from robustxai.engine import BasePenalty, ExplainedBatch, known_gradient
from robustxai.penalties._scale import SMALLEST_SCALE
from robustxai.protocols import GapPairs, GapReduction, Ranking, RankingGapForm
from robustxai.ranking import RANKING, boundary_sets, top_k_set, unit_scores

__all__ = ["RankingGap"]

_PAIRS = ("all", "minimal", "anchor")
_GAPS = ("normalized", "linear", "exponential", "hinge")
_REDUCTIONS = ("mean", "sum")


@dataclass(frozen=True)
class RankingGap(BasePenalty):
    r"""Mean or sum over pairs of a decreasing function of the gap between the scores s of a top-k and another unit.

    .. math::
        \frac{1}{|P|} \sum_{(i,j) \in P} \ell(s_i - s_j), \qquad \ell(h) \in \{-h,\; e^{-h},\; \max(0, \mu - h)\}

    without the factor :math:`1 / |P|` for a sum,

    .. math::
        P_\text{all} = \{i \le k < j\}, \quad
        P_\text{minimal} = \{(k-i+1,\, k+i)\}_{i \le k'}, \quad
        P_\text{anchor} = \{(k-i, k)\}_{i < k'} \cup \{(k, k+i)\}_{i \le k'}

    with units in descending order of s. The k(n-k) pairs of "all" are not enumerated: the linear sum is
    :math:`(n-k)\sum_T s - k\sum_N s`, the exponential one :math:`\sum_N e^{s_j} \sum_T e^{-s_i}`, and the hinge needs a
    cumulative sum over the sorted rest. The linear sums of "minimal" and "anchor" telescope to the k' lowest scores of
    T minus the k' highest scores of the rest.

    Parameters
    ----------
    k : int
        Size of the top set; the caller clips it below the number of units.
    pairs : {"all", "minimal", "anchor"}, default="all"
        "minimal" is R2ET-mm, "anchor" the pairing of the published code. Their linear sums are equal, and both are
        divided by k', so that the same weight has the same effect. Their exponential and hinge sums differ, and each is
        the mean over its own pairs ("anchor" has 2k' - 1).
    n_pairs : int, optional
        k'; at most k and the number of units outside the top-k, and k by default.
    gap : {"normalized", "linear", "exponential", "hinge"}, default="normalized"
        "linear" ranks the unscaled attribution, as printed in the paper. A network can lower it by a larger gradient,
        and training collapses. The other forms divide each attribution by its own mean magnitude, so that only the
        shape of the explanation counts. A margin or an exponential of unscaled scores would depend on their scale too,
        and the scores of a confident sample, whose gradient vanishes, would all be ties. "normalized" has l(h) = -h.
        "exponential" and "hinge" give more weight to small gaps than to large ones.
    ranking : {"magnitude", "signed"}, default="magnitude"
        Ranked scores.
    margin : float, default=1.0
        mu of the hinge, in mean magnitudes, the unit of the scores.
    reduction : {"mean", "sum"}, default="mean"
        "sum" is the sum over the pairs, as Eq. 6 is printed; its weight means something else for every k and every
        number of features. The mean divides it by the number of pairs (k' for linear sums of "anchor", see `pairs`), so
        that a weight has the same effect on all tables.

    References
    ----------
    Chen et al., *Robust ranking explanations*, 2023, Eq. 6 and Section 3.2.
    """

    differentiates_inputs: ClassVar[bool] = False
    stackable: ClassVar[bool] = True
    mixes_in_stacks: ClassVar[bool] = True

    k: int
    pairs: GapPairs = "all"
    n_pairs: int | None = None
    gap: RankingGapForm = "normalized"
    ranking: Ranking = "magnitude"
    margin: float = 1.0
    reduction: GapReduction = "mean"

    _constraints = {
        "k": COUNT,
        "pairs": Choice(_PAIRS),
        "n_pairs": optional(COUNT),
        "gap": Choice(_GAPS),
        "ranking": RANKING,
        "margin": POSITIVE,
        "reduction": Choice(_REDUCTIONS),
    }

    def __post_init__(self) -> None:
        check_arguments(self)

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Compute the penalty of each sample, shape (*batch,)."""
        attribution = batch.attribution if self.gap == "linear" else batch.direction
        scores = unit_scores(attribution, self.ranking, batch_ndim=batch.batch_ndim)
        n_units = scores.shape[-1]
        if self.k >= n_units:  # a single unit has no pair
            return scores.sum(dim=-1) * 0.0
        if self.gap in ("linear", "normalized"):
            mean = known_gradient(*self._linear(scores.detach(), scores))
        else:
            scores = scores / mean_magnitude(scores)
            mean = self._exponential(scores) if self.gap == "exponential" else self._hinge(scores)
        return mean if self.reduction == "mean" else mean * self._divisor(n_units)

    def _divisor(self, n_units: int) -> int:
        """Return the number by which the sum over the pairs is divided."""
        if self.pairs == "all":
            return self.k * (n_units - self.k)
        n_pairs = boundary_pairs(self.k, self.n_pairs, n_units)
        telescopes = self.pairs == "minimal" or self.gap in ("linear", "normalized")
        return n_pairs if telescopes else 2 * n_pairs - 1

    def _linear(self, scores: Tensor, of: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Compute the linear sum and its gradient in the scores: their coefficients, minus those of the divisor."""
        n_units = scores.shape[-1]
        if self.pairs == "all":
            shares = torch.full_like(scores, 1 / (n_units - self.k))
            shares.scatter_(-1, top_k_set(scores, self.k), -1 / self.k)
        else:
            n_pairs = boundary_pairs(self.k, self.n_pairs, n_units)
            inside, outside = boundary_sets(scores, self.k, n_pairs)
            shares = torch.zeros_like(scores).scatter_(-1, inside, -1 / n_pairs).scatter_(-1, outside, 1 / n_pairs)
        value = (shares * scores).sum(dim=-1, keepdim=True)
        if self.gap == "normalized":
            scale = mean_magnitude(scores)
            value /= scale
            # the derivative of a magnitude in itself is 1; at 0 that of the attribution's magnitude is 0
            signs = 1.0 if self.ranking == "magnitude" else scores.sign()
            shares = shares.sub_(value * signs, alpha=1 / n_units).div_(scale)
        return value.squeeze(-1), (of, shares)

    def _exponential(self, scores: Tensor) -> Tensor:
        if self.pairs != "all":
            return (-self._window_gaps(scores)).exp().mean(dim=-1)
        ordered = scores.sort(dim=-1, descending=True).values
        boundary = ordered[..., self.k - 1 : self.k].detach()  # cancels in the product; both factors are at most 1
        top = (boundary - ordered[..., : self.k]).exp().mean(dim=-1)
        return top * (ordered[..., self.k :] - boundary).exp().mean(dim=-1)

    def _hinge(self, scores: Tensor) -> Tensor:
        if self.pairs != "all":
            return (self.margin - self._window_gaps(scores)).clamp_min(0.0).mean(dim=-1)
        ordered = scores.sort(dim=-1, descending=True).values
        slack = self.margin - ordered[..., : self.k]  # the active j of i, s_j > -slack_i, come first in the rest
        rest = ordered[..., self.k :].contiguous()
        active = torch.searchsorted(-rest.detach(), slack.detach().contiguous())
        heads = torch.nn.functional.pad(rest.cumsum(dim=-1), (1, 0)).gather(-1, active)
        return (active * slack + heads).mean(dim=-1) / rest.shape[-1]

    def _window_gaps(self, scores: Tensor) -> Tensor:
        """Compute the gap of every pair of "minimal" or "anchor", shape (*batch, pairs)."""
        n_pairs = boundary_pairs(self.k, self.n_pairs, scores.shape[-1])
        window = scores.gather(-1, top_k_set(scores, self.k + n_pairs, ordered=True))
        above, below = window[..., self.k - n_pairs : self.k], window[..., self.k :]
        if self.pairs == "minimal":
            return above.flip(-1) - below
        anchor = above[..., -1:]
        return torch.cat([above[..., :-1] - anchor, anchor - below], dim=-1)


def boundary_pairs(k: int, n_pairs: int | None, n_units: int) -> int:
    """Return k', the number of pairs across the boundary: at most k, and at most the units outside the top-k."""
    return min(n_pairs or k, k, n_units - k)


def mean_magnitude(scores: Tensor) -> Tensor:
    """Return the mean magnitude of `scores` of shape (*batch, units), bounded away from zero, shape (*batch, 1)."""
    return scores.abs().mean(dim=-1, keepdim=True).clamp_min(SMALLEST_SCALE)
