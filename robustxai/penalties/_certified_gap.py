"""Certified gap: proven lower bounds on the gaps of the boundary pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from robustxai._arguments import COUNT, NOT_NEGATIVE, check_arguments, optional
from robustxai.bounds import (
    Ball,
    BoundedExplainer,
    Network,
    bound_attribution,
    check_explainer,
    pair_bounds,
    proven_overlap,
    read_network,
)
from robustxai.engine import BasePenalty, ExplainedBatch
from robustxai.explainers import attribution_shape
from robustxai.penalties._ranking_gap import boundary_pairs
from robustxai.penalties._scale import SMALLEST_SCALE
from robustxai.perturbation import THREAT_ARGUMENTS, ThreatModel, as_threat
from robustxai.protocols import BoundMethod, Explainer, Norm, Ranking
from robustxai.ranking import RANKING, boundary_sets, count_units, top_k_indices, unit_scores

__all__ = ["CertifiedGap"]

_DEFAULT = ThreatModel(0.25)
#: A pair counts as proven where its bound exceeds this share of the mean magnitude.
_SLACK = 1e-6
#: Rows that are proven at once, whose symbols would take much memory otherwise.
_ROWS_AT_ONCE = 64


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
        self.resolved()

    def resolved(self) -> ThreatModel:
        """Return the threat model."""
        return as_threat(self.threat, epsilon=self.epsilon, norm=self.norm, default=_DEFAULT)

    def epsilon_at(self, progress: float) -> float:
        """Return the radius after this share of the training."""
        epsilon = self.resolved().epsilon
        return epsilon * min(1.0, progress / self.ramp) if self.ramp else epsilon

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Compute the penalty of each bounded sample, shape (rows,)."""
        if batch.batch_ndim != 1:
            raise NotImplementedError("CertifiedGap takes no stacks of models. Train the models one by one.")
        shape = batch.x.shape[1:]
        network = read_network(batch.module, shape, live=True)
        explainer = check_explainer(batch.explainer, len(network.logits.bias))
        n_rows = batch.among_first(self.n_rows)
        x = batch.x[:n_rows].detach().flatten(start_dim=1)
        if not len(x):  # a part of a batch without bounded rows
            return x.new_zeros(0)
        rows = _Rows(
            network, explainer, x, batch.target[:n_rows], self.resolved(), self.epsilon_at(batch.progress), shape
        )
        if self.k >= rows.n_units:  # a single unit has no pair
            return rows.scale * 0.0
        n_pairs = boundary_pairs(self.k, self.n_pairs, rows.n_units)
        bounds = rows.bounds(*boundary_sets(rows.scores(self.ranking), self.k, n_pairs), self.ranking)
        ranked = rows.scale > SMALLEST_SCALE  # an attribution of zero (dead ReLUs) has no order
        bounds = bounds / torch.where(ranked, rows.scale, 1.0)[:, None, None]
        return (self.margin - bounds).clamp_min(0.0).mean(dim=(1, 2)) * ranked

    def proven(self, module: nn.Module, explainer: Explainer, x: Tensor, target: Tensor, epsilon: float) -> Tensor:
        """Return the P@k of each row that the affine or the zonotope bound proves, in float64, shape (rows,).

        All pairs of members and other units count. `certify_top_k` proves no less: it adds curvature.

        Parameters
        ----------
        module, explainer : nn.Module and Explainer
            Inputs to logits, in evaluation mode, and the explanation whose units are ranked.
        x, target : Tensor of shape (n, *features) and (n,)
            Inputs, and the classes that are explained.
        epsilon : float
            Radius.
        """
        with torch.no_grad():
            network = read_network(module, x.shape[1:])
            bounded = check_explainer(explainer, len(network.logits.bias))
            flat, target = x.detach().cpu().double().flatten(start_dim=1), target.cpu()
            proven: Tensor | None = None
            methods: tuple[BoundMethod, ...] = ("affine", "zonotope")
            for method in methods:
                left = torch.arange(len(flat))
                if proven is not None:
                    left = (~proven).flatten(start_dim=1).any(dim=1).nonzero().squeeze(1)
                parts = left.split(_ROWS_AT_ONCE) if len(left) else ()
                found = [
                    self._proven(network, bounded, flat[part], target[part], epsilon, x.shape[1:], method)
                    for part in parts
                ]
                if proven is None:
                    proven = torch.cat(found)
                elif found:
                    proven[left] |= torch.cat(found)
            assert proven is not None
            return proven_overlap(proven) / proven.shape[1]

    def _proven(
        self,
        network: Network,
        explainer: BoundedExplainer,
        x: Tensor,
        target: Tensor,
        epsilon: float,
        shape: Sequence[int],
        method: BoundMethod,
    ) -> Tensor:
        """Return True for the pairs that one bound proves, shape (rows, k, units - k)."""
        rows = _Rows(network, explainer, x, target, self.resolved(), epsilon, shape, method)
        k = min(self.k, rows.n_units - 1)
        order = top_k_indices(rows.scores(self.ranking), rows.n_units)
        return rows.bounds(order[:, :k], order[:, k:], self.ranking) > _SLACK * rows.scale[:, None, None]


class _Rows:
    """Some rows, their explanation in the scale of its bounds, and bounds of its pairs."""

    def __init__(
        self,
        network: Network,
        explainer: BoundedExplainer,
        x: Tensor,
        target: Tensor,
        threat: ThreatModel,
        epsilon: float,
        shape: Sequence[int],
        method: BoundMethod = "affine",
    ) -> None:
        ball = Ball(x.new_full((len(x), 1), epsilon), threat.norm, x.shape[1])
        # at x itself the terms are exact, and their sum is the attribution in the scale of the bounds
        here = bound_attribution(network, explainer, x, target, None, ball, method)
        self.attribution = torch.stack([term.mixing[0].squeeze(-1) * term.phi.c for term in here]).sum(dim=0)
        self.scale = self.attribution.abs().mean(dim=1)
        self.explained = attribution_shape(explainer, shape)
        self.n_units = count_units(self.explained)
        self._problem = network, explainer, x, target, ball, shape, threat, method

    def scores(self, ranking: Ranking) -> Tensor:
        """Return the scores of the units."""
        return unit_scores(self.attribution.detach().unflatten(1, self.explained), ranking)

    def bounds(self, top: Tensor, rest: Tensor, ranking: Ranking) -> Tensor:
        """Return lower bounds of the gaps between each unit of `top` and each of `rest`."""
        network, explainer, x, target, ball, shape, threat, method = self._problem
        units = torch.ones_like(x[0])
        if threat.scale is not None or threat.frozen is not None:
            units = torch.as_tensor(threat.units(np.empty((0, *shape))).reshape(-1), dtype=x.dtype, device=x.device)
        terms = bound_attribution(network, explainer, x, target, units, ball, method)
        channels = self.attribution.shape[1] // self.n_units
        return pair_bounds(terms, top, rest, self.attribution.detach().sign(), ranking, channels)
