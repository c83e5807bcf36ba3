"""Gaps at the boundary of a top-k set, with the direction that closes them, for searches in the inputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from robustxai.engine import ExplainedBatch, MLPCurve, MLPPasses
from robustxai.explainers import AutoGradient, CenteredGradient, Gradient
from robustxai.penalties._ranking_gap import mean_magnitude
from robustxai.perturbation import input_gradient
from robustxai.protocols import Explainer, Ranking
from robustxai.ranking import unit_scores

__all__ = ["BoundarySearch", "boundary_gaps", "boundary_search", "scores_of"]

#: Outputs whose explanation is the gradient of the log-odds, up to a positive factor and, for magnitudes, a sign.
_LOG_ODDS = ("probability", "log_odds")


class Boundary(NamedTuple):
    """Gaps at some points.

    Attributes
    ----------
    relative : Tensor of shape (n,)
        Sum of the gaps of each row, in units of the mean magnitude of its scores.
    slope : Tensor of shape (n, *features), or None
        Direction in which the sum of the gaps falls fastest.
    """

    relative: Tensor
    slope: Tensor | None


class BoundarySearch(ABC):
    """What a search in the inputs asks a network and its explanation; nothing has a graph."""

    @abstractmethod
    def classes(self, points: Tensor) -> Tensor:
        """Return the predicted classes, shape (n,)."""

    @abstractmethod
    def scores(self, points: Tensor) -> Tensor:
        """Return the scores of the units, up to a positive factor per row, shape (n, units)."""

    @abstractmethod
    def boundary(self, points: Tensor, top: Tensor, n_pairs: int, *, with_slope: bool) -> Boundary:
        """Return the gaps at the boundary of the sets `top`."""


@dataclass(frozen=True)
class _ByAutograd(BoundarySearch):
    """Any network and any explainer that can be differentiated twice."""

    module: nn.Module
    explainer: Explainer
    target: Tensor
    ranking: Ranking

    def classes(self, points: Tensor) -> Tensor:
        with torch.no_grad():
            return self.module(points).argmax(dim=-1)

    def scores(self, points: Tensor) -> Tensor:
        with torch.enable_grad():
            return scores_of(self.module, points.detach(), self.explainer, self.target, self.ranking).detach()

    def boundary(self, points: Tensor, top: Tensor, n_pairs: int, *, with_slope: bool) -> Boundary:
        points = points.detach().requires_grad_()
        with torch.enable_grad():
            scores = scores_of(self.module, points, self.explainer, self.target, self.ranking)
            total = boundary_gaps(scores, top, n_pairs).sum(dim=-1)
            # the direction is that of the gaps themselves: most of a change of their quotient is one of its divisor
            slope = input_gradient(-total, points) if with_slope else None
        return Boundary((total / mean_magnitude(scores).squeeze(-1)).detach(), slope)


@dataclass(frozen=True)
class _WrittenOut(BoundarySearch):
    """Gradients of the log-odds or a logit of an MLP, times a matrix: a fifth of the operations of autograd."""

    passes: MLPPasses
    target: Tensor
    ranking: Ranking
    output: str
    matrix: Tensor | None

    def classes(self, points: Tensor) -> Tensor:
        return self.passes.values(points).argmax(dim=-1)

    def scores(self, points: Tensor) -> Tensor:
        found = self._explained(self.passes.curve(points))[0]
        return found.abs() if self.ranking == "magnitude" else found

    def _explained(self, curve: MLPCurve) -> tuple[Tensor, Tensor | None]:
        """Return the explanation, and the softmax over the other classes where the log-odds bend in the logits."""
        logits, others = curve.logits, None
        cotangent = torch.zeros_like(logits).scatter_(-1, self.target[:, None], 1.0)
        if self.output != "logit":
            if logits.shape[-1] == 2:
                cotangent = 2 * cotangent - 1
            else:
                others = logits.masked_fill(cotangent.bool(), -torch.inf).softmax(dim=-1)
                cotangent = cotangent - others
        gradient = curve.gradient(cotangent)
        return gradient if self.matrix is None else gradient @ self.matrix, others

    def boundary(self, points: Tensor, top: Tensor, n_pairs: int, *, with_slope: bool) -> Boundary:
        curve = self.passes.curve(points)
        found, others = self._explained(curve)
        scores = found.abs() if self.ranking == "magnitude" else found
        inside, outside = _boundary(scores, top, n_pairs)
        relative = -(inside.values + outside.values).sum(dim=-1) / mean_magnitude(scores).squeeze(-1)
        if not with_slope:
            return Boundary(relative, None)
        signs = torch.zeros_like(scores)
        signs.scatter_(-1, outside.indices, 1.0).scatter_(-1, inside.indices, -1.0)
        if self.ranking == "magnitude":
            signs *= found.sign()
        direction = signs if self.matrix is None else signs @ self.matrix.mT

        def bend(along: Tensor) -> Tensor:
            assert others is not None
            return others * ((others * along).sum(dim=-1, keepdim=True) - along)

        return Boundary(relative, curve.hessian_product(direction, None if others is None else bend))


def boundary_search(
    module: nn.Module | MLPPasses, explainer: Explainer, x: Tensor, target: Tensor, ranking: Ranking
) -> BoundarySearch:
    """Return the fastest search for rows like `x`, whose classes are `target`."""
    # subclasses may explain something else
    plain = type(explainer) in (Gradient, AutoGradient) or type(explainer) is CenteredGradient
    output = getattr(explainer, "output", "")
    if plain and x.ndim == 2 and output in (*_LOG_ODDS, "logit") and not torch.is_autocast_enabled(x.device.type):
        passes = module if isinstance(module, MLPPasses) else MLPPasses.of(module)
        if passes is not None:
            matrix = explainer.weights(x) if isinstance(explainer, CenteredGradient) else None
            return _WrittenOut(passes, target, ranking, output, matrix)
    return _ByAutograd(module, explainer, target, ranking)  # type: ignore[arg-type]


def scores_of(module: nn.Module, x: Tensor, explainer: Explainer, target: Tensor, ranking: Ranking) -> Tensor:
    """Return the scores of the units at `x`, up to a positive factor per row, differentiable, shape (n, units)."""
    points = x if x.requires_grad else x.detach().requires_grad_()
    return unit_scores(ExplainedBatch(module, points, explainer, target=target).direction, ranking)


def boundary_gaps(scores: Tensor, top: Tensor, n_pairs: int) -> Tensor:
    """Return the r-th lowest score of a set minus the r-th highest of the others, r = 1, ..., shape (n, n_pairs)."""
    inside, outside = _boundary(scores, top, n_pairs)
    return -inside.values - outside.values


def _boundary(scores: Tensor, top: Tensor, n_pairs: int) -> tuple[torch.return_types.topk, torch.return_types.topk]:
    """Return minus the lowest scores of a set, and the highest ones of the others."""
    inside = torch.where(top, -scores, -torch.inf).topk(n_pairs, dim=-1)
    return inside, torch.where(top, -torch.inf, scores).topk(n_pairs, dim=-1)
