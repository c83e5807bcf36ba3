"""Adversaries of a training step: find the points at which the cross-entropy is evaluated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, get_args

import numpy as np
import torch
from torch import Tensor

from robustxai._arguments import COUNT, Choice, Instance, check_arguments
from robustxai.engine import ExplainedBatch
from robustxai.penalties import IGNorm
from robustxai.perturbation import THREAT_ARGUMENTS, ThreatModel, as_threat, ascend
from robustxai.protocols import AdversaryGap, Norm, Ranking
from robustxai.ranking import RANKING, top_k_mask, unit_scores

__all__ = ["GapAdversary", "IGNormAdversary", "LossAdversary"]

#: Default threat model of `LossAdversary`, as in ATEX's FGSM.
_LOSS_THREAT = ThreatModel(0.1, "inf")


@dataclass(frozen=True)
class GapAdversary:
    r"""Maximize minus the gap between the top-k units of the clean explanation and the other units.

    .. math:: \max_{\|\delta\|_p \le \epsilon} \;
        \frac{1}{n-k} \sum_{j \notin T(x)} s_j(x + \delta) - \frac{1}{k} \sum_{i \in T(x)} s_i(x + \delta)

    with scores s of mean magnitude one (see `gap`), so that the attack turns the explanation instead of shrinking it.

    Parameters
    ----------
    k : int
        Size of T, at most all units but one.
    epsilon : float, optional
        Shorthand for ``threat=ThreatModel(epsilon)``.
    max_iter : int, default=1
        Steps of the ascent.
    norm : {2, inf, "2", "inf"}, optional
        Shorthand for ``threat=ThreatModel(norm=norm)``.
    ranking : {"magnitude", "signed"}, default="magnitude"
        Scores that are ranked.
    gap : {"normalized", "linear"}, default="normalized"
        "linear" takes the scores as they are, as the R2ET paper prints its AT; the attack can then also shrink the
        explanation.
    threat : ThreatModel, optional
        Perturbations that are searched; ``ThreatModel()`` (l2, epsilon 0.5) by default.
    """

    k: int
    epsilon: float | None = None
    max_iter: int = 1
    norm: Norm | None = None
    ranking: Ranking = "magnitude"
    gap: AdversaryGap = "normalized"
    threat: ThreatModel | None = field(default=None, kw_only=True)

    _constraints = {
        "k": COUNT,
        "max_iter": COUNT,
        "ranking": RANKING,
        "gap": Choice(get_args(AdversaryGap)),
        **THREAT_ARGUMENTS,
    }

    def __post_init__(self) -> None:
        check_arguments(self)
        self._threat()

    def _threat(self) -> ThreatModel:
        return as_threat(self.threat, epsilon=self.epsilon, norm=self.norm)

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Return the perturbed inputs, shaped like those of the batch, without a graph."""
        clean = unit_scores(batch.direction.detach(), self.ranking)
        n_units = clean.shape[-1]
        k = min(self.k, max(n_units - 1, 1))
        top = top_k_mask(clean, k)

        def objective(points: Tensor) -> Tensor:
            there = ExplainedBatch(batch.module, points, batch.explainer, target=batch.target)
            linear = self.gap == "linear"
            scores = unit_scores(there.attribution if linear else there.direction, self.ranking)
            if not linear:
                scores = scores / scores.abs().mean(dim=-1, keepdim=True).clamp_min(torch.finfo(scores.dtype).tiny)
            weights = torch.where(top, -1 / k, 1 / max(n_units - k, 1)).to(scores)
            return (scores * weights).sum(dim=-1)

        return _climb(objective, batch.x, self._threat(), self.max_iter)


@dataclass(frozen=True)
class LossAdversary:
    r"""Maximize the cross-entropy of the label: FGSM with one step, PGD with several.

    .. math:: \max_{\|\delta\|_p \le \epsilon} \mathrm{CE}(z(x + \delta), y)

    Parameters
    ----------
    epsilon : float, optional
        Shorthand for ``threat=ThreatModel(epsilon, "inf")``.
    max_iter : int, default=1
        Steps of the ascent, from x itself.
    norm : {2, inf, "2", "inf"}, optional
        Shorthand for ``threat=ThreatModel(0.1, norm)``.
    threat : ThreatModel, optional
        Perturbations that are searched; ``ThreatModel(0.1, "inf")`` by default.
    """

    #: The adversary differentiates the network once, so that the network may be compiled.
    first_order: ClassVar[bool] = True

    epsilon: float | None = None
    max_iter: int = 1
    norm: Norm | None = None
    threat: ThreatModel | None = field(default=None, kw_only=True)

    _constraints = {"max_iter": COUNT, **THREAT_ARGUMENTS}

    def __post_init__(self) -> None:
        check_arguments(self)
        self._threat()

    def _threat(self) -> ThreatModel:
        return as_threat(self.threat, epsilon=self.epsilon, norm=self.norm, default=_LOSS_THREAT)

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Return the perturbed inputs, shaped like those of the batch, without a graph."""
        labels = batch.target if batch.y is None else batch.y

        def objective(points: Tensor) -> Tensor:
            return torch.nn.functional.cross_entropy(batch.module(points), labels, reduction="none")

        return _climb(objective, batch.x, self._threat(), self.max_iter)


@dataclass(frozen=True)
class IGNormAdversary:
    r"""Maximize the size of the integrated gradients of the cross-entropy from x to the attacked point.

    Parameters
    ----------
    penalty : IGNorm
        The size, the perturbations that are searched, and the ascent.
    """

    penalty: IGNorm

    _constraints = {"penalty": Instance(IGNorm)}

    def __post_init__(self) -> None:
        check_arguments(self)

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Return the perturbed inputs, shaped like those of the batch, without a graph."""
        return self.penalty.worst(batch)


def _climb(objective: Callable[[Tensor], Tensor], x: Tensor, threat: ThreatModel, max_iter: int) -> Tensor:
    space = threat.bind(np.empty((0, *x.shape[1:]), np.float32), device=x.device)
    step_size = space.epsilon * min(2.5 / max_iter, 1.0)  # several steps can cross the set; one ends at its edge
    return x.detach() + ascend(objective, x, space, max_iter=max_iter, step_size=step_size)
