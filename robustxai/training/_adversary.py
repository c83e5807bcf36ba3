"""Adversaries of a training step: find the points at which the cross-entropy is evaluated."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from robustxai._arguments import COUNT, NORM, NOT_NEGATIVE, check_arguments
from robustxai.engine import ExplainedBatch
from robustxai.perturbation import PerturbationSet, ThreatModel, ascend
from robustxai.protocols import Norm, Ranking
from robustxai.ranking import RANKING, top_k_mask, unit_scores

__all__ = ["GapAdversary", "LossAdversary"]


@dataclass(frozen=True)
class GapAdversary:
    r"""Maximize minus the gap between the top-k units of the clean explanation and the other units.

    .. math:: \max_{\|\delta\|_p \le \epsilon} \;
        \frac{1}{n-k} \sum_{j \notin T(x)} s_j(x + \delta) - \frac{1}{k} \sum_{i \in T(x)} s_i(x + \delta)

    with scores s of mean magnitude one, so that the attack turns the explanation instead of shrinking it.

    Parameters
    ----------
    k : int
        Size of T, at most all units but one.
    epsilon : float, default=0.5
        Radius.
    max_iter : int, default=1
        Steps of the ascent.
    norm : {2, inf}, default=2
        p.
    ranking : {"magnitude", "signed"}, default="magnitude"
        What is ranked.
    """

    k: int
    epsilon: float = 0.5
    max_iter: int = 1
    norm: Norm = 2
    ranking: Ranking = "magnitude"

    _constraints = {"k": COUNT, "epsilon": NOT_NEGATIVE, "max_iter": COUNT, "norm": NORM, "ranking": RANKING}

    def __post_init__(self) -> None:
        check_arguments(self)

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Return the perturbed inputs, shaped like those of the batch, without a graph."""
        clean = unit_scores(batch.direction.detach(), self.ranking)
        n_units = clean.shape[-1]
        k = min(self.k, max(n_units - 1, 1))
        top = top_k_mask(clean, k)

        def objective(points: Tensor) -> Tensor:
            there = ExplainedBatch(batch.module, points, batch.explainer, target=batch.target)
            scores = unit_scores(there.direction, self.ranking)
            scores = scores / scores.abs().mean(dim=-1, keepdim=True).clamp_min(torch.finfo(scores.dtype).tiny)
            weights = torch.where(top, -1 / k, 1 / max(n_units - k, 1)).to(scores)
            return (scores * weights).sum(dim=-1)

        return _climb(objective, batch.x, self.epsilon, self.max_iter, self.norm)


@dataclass(frozen=True)
class LossAdversary:
    r"""Maximize the cross-entropy of the label: FGSM with one step, PGD with several.

    .. math:: \max_{\|\delta\|_p \le \epsilon} \mathrm{CE}(z(x + \delta), y)

    Parameters
    ----------
    epsilon : float, default=0.1
        Radius.
    max_iter : int, default=1
        Steps of the ascent, from x itself.
    norm : {2, inf}, default=inf
        p.
    """

    #: The adversary differentiates the network once, so that the network may be compiled.
    first_order: ClassVar[bool] = True

    epsilon: float = 0.1
    max_iter: int = 1
    norm: Norm = math.inf

    _constraints = {"epsilon": NOT_NEGATIVE, "max_iter": COUNT, "norm": NORM}

    def __post_init__(self) -> None:
        check_arguments(self)

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Return the perturbed inputs, shaped like those of the batch, without a graph."""
        labels = batch.target if batch.y is None else batch.y

        def objective(points: Tensor) -> Tensor:
            return torch.nn.functional.cross_entropy(batch.module(points), labels, reduction="none")

        return _climb(objective, batch.x, self.epsilon, self.max_iter, self.norm)


def _climb(objective: Callable[[Tensor], Tensor], x: Tensor, epsilon: float, max_iter: int, norm: Norm) -> Tensor:
    step_size = epsilon * min(2.5 / max_iter, 1.0)  # several steps can cross the ball; a single step ends at its edge
    return x.detach() + ascend(objective, x, _ball(x, epsilon, norm), max_iter=max_iter, step_size=step_size)


def _ball(x: Tensor, epsilon: float, norm: Norm) -> PerturbationSet:
    return ThreatModel(epsilon=epsilon, norm=norm).bind(np.zeros((1, *x.shape[1:]), np.float32), device=x.device)
