"""Ranking gap: R2ET's first term."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from robustxai._validation import check_choice, check_k
from robustxai.penalties._batch import SMALLEST_SCALE, ExplainedBatch
from robustxai.ranking import RANKINGS, unit_scores

__all__ = ["RankingGap"]

_PAIRS = ("all", "minimal", "anchor")
_GAPS = ("normalised", "linear")


@dataclass(frozen=True)
class RankingGap:
    r"""Minus the mean gap between the scores s of top-k and other units.

    .. math::
        -\frac{1}{|P|} \sum_{(i,j) \in P} (s_i - s_j), \qquad
        P_\text{all} = \{i \le k < j\}, \quad
        P_\text{minimal} = \{(k-i+1,\, k+i)\}_{i \le k'}, \quad
        P_\text{anchor} = \{(k-i, k)\}_{i < k'} \cup \{(k, k+i)\}_{i \le k'}

    with units in descending order of s. No pair is ever enumerated: the first sum over all pairs is
    :math:`(n-k)\sum_T s - k\sum_N s`, the other two telescope to the k' lowest of T minus the k' highest of the rest.

    Parameters
    ----------
    k : int
        Size of the top set; the caller has clipped it below the number of units.
    pairs : {"all", "minimal", "anchor"}, default="all"
        "minimal" is R2ET-mm, "anchor" the pairing of the published code. For this linear sum the two have the same
        total; the minimal form divides by its k' pairs and so does the anchored one, to make one weight mean the same.
    n_pairs : int, optional
        k'; default and at most k, and at most the number of units outside the top-k.
    gap : {"normalised", "linear"}, default="normalised"
        "linear" ranks the attribution as it is, as the paper prints it: a network can satisfy it by scaling its
        gradient up, and training collapses. "normalised" divides each attribution by its own mean magnitude, so that
        only the shape of the explanation counts.
    ranking : {"magnitude", "signed"}, default="magnitude"
        What is ranked.

    References
    ----------
    Chen et al., *Robust ranking explanations*, 2023, Eq. 6 and Section 3.2.
    """

    k: int
    pairs: str = "all"
    n_pairs: int | None = None
    gap: str = "normalised"
    ranking: str = "magnitude"

    def __post_init__(self) -> None:
        check_k(self.k)
        check_choice("pairs", self.pairs, _PAIRS)
        check_choice("gap", self.gap, _GAPS)
        check_choice("ranking", self.ranking, RANKINGS)

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Penalty per sample, shape (*batch,)."""
        attribution = batch.direction if self.gap == "normalised" else batch.attribution
        scores = unit_scores(attribution, self.ranking, batch_ndim=batch.batch_ndim)
        if self.gap == "normalised":
            scores = scores / scores.abs().mean(dim=-1, keepdim=True).clamp_min(SMALLEST_SCALE)
        n_units = scores.shape[-1]
        if self.k >= n_units:  # a single unit: there is no pair
            return scores.sum(dim=-1) * 0.0
        if self.pairs == "all":
            top = scores.topk(self.k, dim=-1, sorted=False).values.sum(dim=-1)
            return (scores.sum(dim=-1) - top) / (n_units - self.k) - top / self.k
        n_pairs = min(self.n_pairs or self.k, self.k, n_units - self.k)
        window = scores.topk(self.k + n_pairs, dim=-1).values
        return (window[..., self.k :].sum(dim=-1) - window[..., self.k - n_pairs : self.k].sum(dim=-1)) / n_pairs
