"""Certified gap: by how much the boundary pairs are proven to keep their order."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustxai._arguments import COUNT, NORM, NOT_NEGATIVE, check_arguments, optional
from robustxai.bounds import Ball, bound_attribution, check_explainer, pair_bounds, read_network
from robustxai.engine import BasePenalty, ExplainedBatch
from robustxai.penalties._ranking_gap import boundary_pairs
from robustxai.penalties._scale import SMALLEST_SCALE
from robustxai.protocols import Norm, Ranking
from robustxai.ranking import RANKING, boundary_sets, count_units, unit_scores

__all__ = ["CertifiedGap"]


@dataclass(frozen=True)
class CertifiedGap(BasePenalty):
    r"""Hinge of the proven lower bounds on the gaps at the boundary, per sample.

    .. math::
        \frac{1}{k'^2} \sum_{r \in T'} \sum_{a \in N'}
        \max\Bigl(0,\; \mu - \frac{L_{ra}(x)}{\tfrac{1}{d} \|I(x)\|_1}\Bigr), \qquad
        L_{ra}(x) \le \min_{\|\delta\|_p \le \epsilon} s_r(x + \delta) - s_a(x + \delta)

    with T' the k' lowest members of the top set, N' the k' highest others and s the scores. L is the affine bound of
    :func:`robustxai.certificates.certify_top_k`, computed in the network's own type and with its graph: what is
    trained is what will be proven.

    Parameters
    ----------
    k : int
        Size of the top set; the caller has clipped it below the number of units.
    epsilon : float, default=0.25
        Radius, in units of x.
    n_pairs : int, optional
        k'; default and at most k, and at most the number of units outside the top-k.
    ranking : {"magnitude", "signed"}, default="magnitude"
        What is ranked.
    norm : {2, "inf"}, default=2
        Of the ball.
    margin : float, default=0.1
        mu, in mean magnitudes of the attribution: a tenth of one keeps what has just been proven from being lost in the
        next step. Dividing by the mean magnitude makes the term blind to the length of the attribution, which moves no
        rank.
    ramp : float, default=0.5
        Share of the training in which the radius grows, linearly, from 0 to epsilon: the bounds of a network that was
        never trained for them say nothing at the full radius.
    n_rows : int, optional
        How many samples of a batch are bounded, from its beginning, and so how many values are returned; all by
        default. A bound costs some twenty gradients, and in batches that are shuffled the first samples are a random
        draw.

    Notes
    -----
    The errors of the bound are boxes, not symbols of a zonotope: looser, at a small part of the cost. Whatever
    `certify_top_k` can read can be trained for; anything else raises ``NotImplementedError`` by its name. What a layer
    does in training mode alone (dropout, statistics of the batch) is no part of the bound.

    References
    ----------
    Wicker et al., *Robust explanation constraints for neural networks*, 2023; the growing radius: Gowal et al., *On the
    effectiveness of interval bound propagation for training verifiably robust models*, 2018.
    """

    k: int
    epsilon: float = 0.25
    n_pairs: int | None = None
    ranking: Ranking = "magnitude"
    norm: Norm = 2
    margin: float = 0.1
    ramp: float = 0.5
    n_rows: int | None = None

    _constraints = {
        "k": COUNT,
        "epsilon": NOT_NEGATIVE,
        "n_pairs": optional(COUNT),
        "ranking": RANKING,
        "norm": NORM,
        "margin": NOT_NEGATIVE,
        "ramp": NOT_NEGATIVE,
        "n_rows": optional(COUNT),
    }

    def __post_init__(self) -> None:
        check_arguments(self)

    def radius(self, progress: float) -> float:
        """Radius after this share of the training."""
        return self.epsilon * min(1.0, progress / self.ramp) if self.ramp else self.epsilon

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Penalty per sample that is bounded, shape (rows,)."""
        shape = batch.x.shape[1:]
        if batch.batch_ndim != 1:
            raise NotImplementedError("CertifiedGap ranks the units of one model's rows: no stacks of models.")
        network = read_network(batch.module, shape, live=True)
        explainer = check_explainer(batch.explainer, len(network.logits.bias))
        n_rows = batch.among_first(self.n_rows)
        x = batch.x[:n_rows].detach().flatten(start_dim=1)
        target = batch.target[:n_rows]
        if not len(x):  # a part of a batch that lies behind the rows that are bounded
            return x.new_zeros(0)
        ball = Ball(x.new_full((len(x), 1), self.radius(batch.progress)), self.norm, x.shape[1])
        # at x itself the terms are exact, and their sum is the attribution in the units of the bounds
        here = bound_attribution(network, explainer, x, target, None, ball, "affine")
        attribution = torch.stack([term.mixing[0].squeeze(-1) * term.phi.c for term in here]).sum(dim=0)
        scale = attribution.abs().mean(dim=1)
        n_units = count_units(shape)
        if self.k >= n_units:  # a single unit: there is no pair
            return scale * 0.0
        n_pairs = boundary_pairs(self.k, self.n_pairs, n_units)
        scores = unit_scores(attribution.detach().unflatten(1, shape), self.ranking)
        top, rest = boundary_sets(scores, self.k, n_pairs)
        terms = bound_attribution(network, explainer, x, target, torch.ones_like(x[0]), ball, "affine")
        bounds = pair_bounds(terms, top, rest, attribution.detach().sign(), self.ranking, x.shape[1] // n_units)
        ranked = scale > SMALLEST_SCALE  # where a network of dead ReLUs says nothing there is no order to be kept
        bounds = bounds / torch.where(ranked, scale, 1.0)[:, None, None]
        return (self.margin - bounds).clamp_min(0.0).mean(dim=(1, 2)) * ranked
