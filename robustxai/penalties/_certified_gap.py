"""Certified gap: proven lower bounds on the gaps of the boundary pairs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from robustxai._arguments import COUNT, NOT_NEGATIVE, check_arguments, optional
from robustxai.bounds import Ball, bound_attribution, check_explainer, pair_bounds, read_network
from robustxai.engine import BasePenalty, ExplainedBatch
from robustxai.explainers import attribution_shape
from robustxai.penalties._ranking_gap import boundary_pairs
from robustxai.penalties._scale import SMALLEST_SCALE
from robustxai.perturbation import THREAT_ARGUMENTS, ThreatModel, as_threat
from robustxai.protocols import Norm, Ranking
from robustxai.ranking import RANKING, boundary_sets, count_units, unit_scores

__all__ = ["CertifiedGap"]

_DEFAULT = ThreatModel(0.25)


@dataclass(frozen=True)
class CertifiedGap(BasePenalty):
    r"""Hinge of the proven lower bounds on the gaps at the boundary, per sample.

    .. math::
        \frac{1}{k'^2} \sum_{r \in T'} \sum_{a \in N'}
        \max\Bigl(0,\; \mu - \frac{L_{ra}(x)}{\tfrac{1}{d} \|I(x)\|_1}\Bigr), \qquad
        L_{ra}(x) \le \min_{\|\delta\|_p \le \epsilon} s_r(x + \delta) - s_a(x + \delta)

    with T' the k' lowest units of the top set, N' the k' highest other units and s the scores. L is the affine bound of
    :func:`robustxai.certificates.certify_top_k`, computed in the network's own type and with its graph, so that
    training improves the bound that the certificate proves.

    Parameters
    ----------
    k : int
        Size of the top set; the caller clips it below the number of units.
    epsilon : float, optional
        Shorthand for ``threat=ThreatModel(epsilon)``.
    n_pairs : int, optional
        k'; at most k and the number of units outside the top-k, and k by default.
    ranking : {"magnitude", "signed"}, default="magnitude"
        Ranked scores.
    norm : {2, inf, "2", "inf"}, optional
        Shorthand for ``threat=ThreatModel(0.25, norm)``.
    margin : float, default=0.1
        mu, in mean magnitudes of the attribution. A tenth of the mean magnitude is enough that the next step does not
        lose a proven order. Because of the division by the mean magnitude, the term does not depend on the length of
        the attribution, which changes no rank.
    ramp : float, default=0.5
        Share of the training in which the radius grows linearly from 0 to epsilon. At the full radius, the bounds of
        a network that was not trained for them are too loose to train on.
    n_rows : int, optional
        Number of samples that are bounded, from the start of a batch, and of returned values; all by default. A bound
        costs about twenty gradients. In shuffled batches the first samples are a random draw.
    threat : ThreatModel, optional
        Perturbations that are bounded; ``ThreatModel(0.25)`` by default. Its box is ignored: the bounds hold for all
        perturbations within the radius, including those that leave the box.

    Notes
    -----
    The errors of the bound are interval remainders, not symbols of a zonotope: looser, at a small part of the cost.
    Every network that `certify_top_k` can read can be trained; other networks raise a ``NotImplementedError`` that
    names the operation. The bound describes the evaluation mode, without dropout and batch statistics.

    References
    ----------
    Wicker et al., *Robust explanation constraints for neural networks*, 2023; the growing radius: Gowal et al., *On the
    effectiveness of interval bound propagation for training verifiably robust models*, 2018.
    """

    k: int
    epsilon: float | None = None
    n_pairs: int | None = None
    ranking: Ranking = "magnitude"
    norm: Norm | None = None
    margin: float = 0.1
    ramp: float = 0.5
    n_rows: int | None = None
    threat: ThreatModel | None = field(default=None, kw_only=True)

    _constraints = {
        "k": COUNT,
        **THREAT_ARGUMENTS,
        "n_pairs": optional(COUNT),
        "ranking": RANKING,
        "margin": NOT_NEGATIVE,
        "ramp": NOT_NEGATIVE,
        "n_rows": optional(COUNT),
    }

    def __post_init__(self) -> None:
        check_arguments(self)
        self._threat()

    def _threat(self) -> ThreatModel:
        return as_threat(self.threat, epsilon=self.epsilon, norm=self.norm, default=_DEFAULT)

    def epsilon_at(self, progress: float) -> float:
        """Return the radius after this share of the training."""
        epsilon = self._threat().epsilon
        return epsilon * min(1.0, progress / self.ramp) if self.ramp else epsilon

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Compute the penalty of each bounded sample, shape (rows,)."""
        shape = batch.x.shape[1:]
        if batch.batch_ndim != 1:
            raise NotImplementedError("CertifiedGap takes no stacks of models. Train the models one by one.")
        network = read_network(batch.module, shape, live=True)
        explainer = check_explainer(batch.explainer, len(network.logits.bias))
        n_rows = batch.among_first(self.n_rows)
        x = batch.x[:n_rows].detach().flatten(start_dim=1)
        target = batch.target[:n_rows]
        if not len(x):  # a part of a batch without bounded rows
            return x.new_zeros(0)
        threat = self._threat()
        ball = Ball(x.new_full((len(x), 1), self.epsilon_at(batch.progress)), threat.norm, x.shape[1])
        # at x itself the terms are exact, and their sum is the attribution in the scale of the bounds
        here = bound_attribution(network, explainer, x, target, None, ball, "affine")
        attribution = torch.stack([term.mixing[0].squeeze(-1) * term.phi.c for term in here]).sum(dim=0)
        scale = attribution.abs().mean(dim=1)
        explained = attribution_shape(explainer, shape)
        n_units = count_units(explained)
        if self.k >= n_units:  # a single unit has no pair
            return scale * 0.0
        n_pairs = boundary_pairs(self.k, self.n_pairs, n_units)
        scores = unit_scores(attribution.detach().unflatten(1, explained), self.ranking)
        top, rest = boundary_sets(scores, self.k, n_pairs)
        units = torch.ones_like(x[0])
        if threat.scale is not None or threat.frozen is not None:
            units = torch.as_tensor(threat.units(np.empty((0, *shape))).reshape(-1), dtype=x.dtype, device=x.device)
        terms = bound_attribution(network, explainer, x, target, units, ball, "affine")
        bounds = pair_bounds(
            terms, top, rest, attribution.detach().sign(), self.ranking, attribution.shape[1] // n_units
        )
        ranked = scale > SMALLEST_SCALE  # an attribution of zero (dead ReLUs) has no order
        bounds = bounds / torch.where(ranked, scale, 1.0)[:, None, None]
        return (self.margin - bounds).clamp_min(0.0).mean(dim=(1, 2)) * ranked
