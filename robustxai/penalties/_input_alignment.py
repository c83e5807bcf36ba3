"""Alignment of the input with the gradient of its class: the regularizer of ART."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from robustxai._arguments import COUNT, FLAG, check_arguments
from robustxai.engine import BasePenalty, ExplainedBatch
from robustxai.explainers import Gradient
from robustxai.penalties._path import labels_of
from robustxai.penalties._scale import SMALLEST_SCALE, safe_sqrt
from robustxai.penalties._worst import ASCENT_ARGUMENTS, worst_points
from robustxai.perturbation import THREAT_ARGUMENTS, PerturbationSet, ThreatModel, as_threat
from robustxai.protocols import Norm
from robustxai.ranking import top_k_mask

__all__ = ["InputAlignment"]

_DEFAULT = ThreatModel(0.01, "inf")
_LOGIT = Gradient("logit")


@dataclass(frozen=True)
class InputAlignment(BasePenalty):
    r"""Soft-margin triplet loss that aligns the input with the gradient of its class and not with another's.

    .. math::
        \frac12 \sum_{u \in \{x, x^*\}} \log\Bigl(1 + \exp\bigl(
        \max_{v \in \{x, x^*\}} d(g^y(v), u) - \min_{v \in \{x, x^*\}} d(g^i(v), u) \bigr)\Bigr), \qquad
        d(g, u) = 1 - \cos(g, u), \quad g^c = \nabla_x z_c

    with y the label and i the wrong class of the largest logit at v. :math:`x^*` maximizes
    :math:`\log(1 + \exp(d(g^y(x'), x') - d(g^i(x'), x')))` over the ball, with cosines over the k entries whose
    gradient :math:`g^y` is largest where the ascent starts. Cosines of a zero vector are 0. The gradient in the weights
    holds :math:`x^*` constant.

    Parameters
    ----------
    k : int, default=8
        Number of entries that the ascent compares; clipped to all.
    epsilon, norm : optional
        Shorthand for ``threat=ThreatModel(epsilon, norm)``, with the defaults 0.01 and "inf".
    max_iter : int, default=3
        Steps of the ascent, from a random point of the ball that the batch draws.
    step_size : float, optional
        Length of a step; by default ``min(2.5 / max_iter, 1) * epsilon``.
    attacked : bool, default=False
        Take the points of the training's adversary (``batch.attacked``) as :math:`x^*` instead of an ascent.
    threat : ThreatModel, optional
        Perturbations that :math:`x^*` may use; ``ThreatModel(0.01, "inf")`` by default.

    References
    ----------
    Singh et al., *Attributional robustness training using input-gradient spatial alignment*, 2020 (arXiv 1911.13073);
    the maximum and minimum over both points as in the published code.
    """

    k: int = 8
    epsilon: float | None = None
    norm: Norm | None = None
    max_iter: int = 3
    step_size: float | None = None
    attacked: bool = False
    threat: ThreatModel | None = field(default=None, kw_only=True)

    _constraints = {"k": COUNT, **THREAT_ARGUMENTS, **ASCENT_ARGUMENTS, "attacked": FLAG}

    def __post_init__(self) -> None:
        check_arguments(self)
        self._threat()

    def _threat(self) -> ThreatModel:
        return as_threat(self.threat, epsilon=self.epsilon, norm=self.norm, default=_DEFAULT)

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Compute the penalty of each sample, shape (*batch,)."""
        axis, x = batch.batch_ndim - 1, batch.x.detach()
        worst = batch.attacked if self.attacked else self.worst(batch)
        both = torch.cat([x, worst], dim=axis)  # one pass for both points
        labels = labels_of(batch).repeat(*(1,) * axis, 2)
        vectors = [_unit(v, batch) for v in (both, *_gradients(batch, both, labels))]
        inputs, true, wrong = (v.unflatten(axis, (2, x.shape[axis])) for v in vectors)
        # the cosine of every input (new axis `axis`) with every gradient (new axis `axis + 1`)
        near, far = (1 - (inputs.unsqueeze(axis + 1) * g.unsqueeze(axis)).sum(dim=-1) for g in (true, wrong))
        return functional.softplus(near.amax(dim=axis + 1) - far.amin(dim=axis + 1)).mean(dim=axis)

    def worst(self, batch: ExplainedBatch) -> Tensor:
        """Return the point that the ascent finds, shaped like the inputs of the batch, without a graph."""
        labels = labels_of(batch)
        top: Tensor | None = None

        def objective(points: Tensor) -> Tensor:
            nonlocal top
            true, wrong = (g.flatten(start_dim=batch.batch_ndim) for g in _gradients(batch, points, labels))
            if top is None:  # at the start
                top = top_k_mask(true.detach().abs(), min(self.k, true.shape[-1]))
            u, g, h = (_unit(v * top, batch) for v in (points.flatten(start_dim=batch.batch_ndim), true, wrong))
            return functional.softplus((u * (h - g)).sum(dim=-1))

        return worst_points(
            batch,
            objective,
            self._threat(),
            PerturbationSet.random_points,
            max_iter=self.max_iter,
            step_size=self.step_size,
        )


def _gradients(batch: ExplainedBatch, points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of the logit of the label and of the largest other logit, shaped like points."""
    points = points if points.requires_grad else points.requires_grad_()
    with torch.enable_grad():
        logits = batch.module(points)
    wrong = logits.detach().scatter(-1, labels.unsqueeze(-1), float("-inf")).argmax(dim=-1)
    true, other = (_LOGIT(batch.module, points, c, logits=logits, create_graph=True) for c in (labels, wrong))
    return true, other


def _unit(vectors: Tensor, batch: ExplainedBatch) -> Tensor:
    """Return vectors of length one, shape (*batch, d); zeros stay zero."""
    flat = vectors.flatten(start_dim=batch.batch_ndim)
    scaled = flat / flat.detach().abs().amax(dim=-1, keepdim=True).clamp_min(SMALLEST_SCALE)
    length = safe_sqrt(scaled.square().sum(dim=-1, keepdim=True))
    return scaled / torch.where(length > 0, length, 1.0)
