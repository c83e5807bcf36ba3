"""Discrepancy of the interpretation maps of all classes: the regularizer of Int and Int2, on integrated gradients."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from robustxai._arguments import COUNT, Choice, check_arguments
from robustxai.engine import BasePenalty, ExplainedBatch
from robustxai.penalties._ig_norm import cross_entropy
from robustxai.penalties._path import labels_of, path_attribution
from robustxai.penalties._worst import ASCENT_ARGUMENTS, worst_points
from robustxai.perturbation import THREAT_ARGUMENTS, PerturbationSet, ThreatModel, as_threat
from robustxai.protocols import MapObjective, Norm

__all__ = ["MapDiscrepancy"]

_OBJECTIVES = ("int", "int2")
_DEFAULT = ThreatModel(0.05, "inf")


@dataclass(frozen=True)
class MapDiscrepancy(BasePenalty):
    r"""Discrepancy of Int and Int2, with integrated gradients in place of the paper's class activation maps.

    .. math::
        D(x, x^*) = \|M_y(x^*) - M_y(x)\|_1 + \sum_{i \ne y} w_i \|M_i(x^*) - M_i(x)\|_1, \qquad
        w_i = \frac{e^{z_i(x^*)}}{\sum_{j \ne y} e^{z_j(x^*)}}

    with :math:`M_i(x)` the integrated gradients of the logit :math:`z_i` from the baseline 0 to x, and :math:`x^*` the
    point of the ball that maximizes D (Int) or the cross-entropy (Int2). The class activation map needs feature maps
    that are pooled, which tables do not have. What the paper's argument uses is that a map adds up to its logit
    (completeness); integrated gradients add up to :math:`z_i(x) - z_i(0)`. The gradient in the weights holds
    :math:`x^*` constant and includes that of w, as in the published code.

    Parameters
    ----------
    objective : {"int", "int2"}, default="int"
        What :math:`x^*` maximizes.
    epsilon, norm : optional
        Shorthand for ``threat=ThreatModel(epsilon, norm)``, with the defaults 0.05 and "inf".
    n_points : int, default=5
        Number of points of the integrated gradients in the penalty.
    n_attack_points : int, default=2
        The same in the ascent of "int".
    max_iter : int, default=3
        Steps of the ascent, from a random point of the ball that the batch draws.
    step_size : float, optional
        Length of a step; by default ``min(2.5 / max_iter, 1) * epsilon``.
    threat : ThreatModel, optional
        Perturbations that :math:`x^*` may use; ``ThreatModel(0.05, "inf")`` by default.

    References
    ----------
    Boopathy et al., *Proper network interpretability helps adversarial robustness in classification*, 2020 (arXiv
    2006.14748), and its published code.
    """

    objective: MapObjective = "int"
    epsilon: float | None = None
    norm: Norm | None = None
    n_points: int = 5
    n_attack_points: int = 2
    max_iter: int = 3
    step_size: float | None = None
    threat: ThreatModel | None = field(default=None, kw_only=True)

    _constraints = {
        "objective": Choice(_OBJECTIVES),
        **THREAT_ARGUMENTS,
        "n_points": COUNT,
        "n_attack_points": COUNT,
        **ASCENT_ARGUMENTS,
    }

    def __post_init__(self) -> None:
        check_arguments(self)
        self._threat()

    def _threat(self) -> ThreatModel:
        return as_threat(self.threat, epsilon=self.epsilon, norm=self.norm, default=_DEFAULT)

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Compute the penalty of each sample, shape (*batch,)."""
        axis, x, points = batch.batch_ndim - 1, batch.x.detach(), self.worst(batch)
        both = self.maps(batch, torch.cat([x, points], dim=axis), self.n_points)
        here, there = both.split(x.shape[axis], dim=axis)
        return _discrepancy(here, there, batch.module(points), labels_of(batch))

    def worst(self, batch: ExplainedBatch) -> Tensor:
        """Return :math:`x^*`, shaped like the inputs of the batch, without a graph."""
        labels = labels_of(batch)
        clean = None
        if self.objective == "int":
            clean = self.maps(batch, batch.x.detach(), self.n_attack_points).detach()

        def objective(points: Tensor) -> Tensor:
            logits = batch.module(points)
            if clean is None:
                return cross_entropy(logits, labels)
            return _discrepancy(clean, self.maps(batch, points, self.n_attack_points), logits, labels)

        return worst_points(
            batch,
            objective,
            self._threat(),
            PerturbationSet.random_points,
            max_iter=self.max_iter,
            step_size=self.step_size,
        )

    @staticmethod
    def maps(batch: ExplainedBatch, points: Tensor, n_points: int) -> Tensor:
        """Return the maps of all classes, shape (*batch, n_classes, n_features)."""
        scores = [partial(_logit, c=c) for c in range(batch.explained_logits.shape[-1])]
        found = path_attribution(batch, 0.0, points, n_points, *scores)
        return torch.stack([ig.flatten(start_dim=batch.batch_ndim) for ig, _ in found], dim=batch.batch_ndim)


def _logit(logits: Tensor, c: int) -> Tensor:
    return logits[..., c]


def _discrepancy(here: Tensor, there: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    change = (there - here).abs().sum(dim=-1)
    label = labels.unsqueeze(-1)
    others = logits.scatter(-1, label, float("-inf")).softmax(dim=-1)
    return change.gather(-1, label).squeeze(-1) + (others * change).sum(dim=-1)
