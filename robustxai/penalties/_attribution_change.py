"""Change of an attribution at the worst point near the input: the regularizer of AAT, AdvAAT and IGR."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from robustxai._arguments import COUNT, FLAG, NOT_NEGATIVE, Choice, check_arguments
from robustxai.engine import BasePenalty, ExplainedBatch
from robustxai.explainers import IntegratedGradients
from robustxai.penalties._ig_norm import cross_entropy
from robustxai.penalties._path import labels_of
from robustxai.penalties._scale import SMALLEST_SCALE, safe_sqrt
from robustxai.penalties._worst import ASCENT_ARGUMENTS, worst_points
from robustxai.perturbation import THREAT_ARGUMENTS, PerturbationSet, ThreatModel, as_threat
from robustxai.protocols import AscentObjective, AttributionSimilarity, Explainer, Norm

__all__ = ["AttributionChange"]

_SIMILARITIES = ("pearson", "cosine")
_OBJECTIVES = ("change", "cross_entropy", "sum")
_DEFAULT = ThreatModel(0.05, "inf")


@dataclass(frozen=True)
class AttributionChange(BasePenalty):
    r"""One minus the similarity of the attributions of the label at the input and at the worst point near it.

    .. math::
        d(x, x^*) = 1 - s\bigl(A(x), A(x^*)\bigr), \qquad
        x^* \approx \arg\max_{\|x' - x\|_p \le \epsilon} \bigl\{ d(x, x'),\; \mathrm{CE}(z(x'), y),\;
        \mathrm{CE}(z(x'), y) + \lambda\, d(x, x') \bigr\}

    with A the batch's explainer for the label y and s the correlation of Pearson (FAR) or the cosine (IGR) of all
    entries. Both depend on the direction of A alone, so that its length (of the gradient of a probability: nearly 0 for
    confident samples) cancels. Where an attribution has no direction, because it (for "pearson": its deviation from its
    mean) is zero, d is 0. The gradient in the weights goes through both attributions and holds :math:`x^*` constant.

    Parameters
    ----------
    similarity : {"cosine", "pearson"}, default="cosine"
        s.
    maximize : {"change", "cross_entropy", "sum"}, default="change"
        What :math:`x^*` maximizes: d (AAT), the cross-entropy (IGR) or their sum (AdvAAT).
    weight : float, default=1.0
        :math:`\lambda` in the sum; without effect on the others.
    epsilon, norm : optional
        Shorthand for ``threat=ThreatModel(epsilon, norm)``, with the defaults 0.05 and "inf".
    n_points : int, default=5
        Number of points of integrated gradients in the penalty, in place of the explainer's own. Other explainers are
        used as they are.
    n_attack_points : int, default=2
        The same in the ascent, where an evaluation is only needed for its slope.
    max_iter : int, default=3
        Steps of the ascent.
    step_size : float, optional
        Length of a step; by default ``min(2.5 / max_iter, 1) * epsilon``.
    attacked : bool, default=False
        Take the points of the training's adversary (``batch.attacked``) as :math:`x^*` instead of an ascent.
    threat : ThreatModel, optional
        Perturbations that :math:`x^*` may use; ``ThreatModel(0.05, "inf")`` by default.

    Raises
    ------
    ValueError, TypeError
        An unknown name, a number out of its range, a shorthand that contradicts `threat`.

    Notes
    -----
    The ascent starts at a random point of the ball, drawn by the batch, because d has its minimum at x.

    References
    ----------
    Ivankay et al., *FAR: a general framework for attributional robustness*, 2021 (arXiv 2010.07393); Wang and Kong,
    *Exploiting the relationship between Kendall's rank correlation and cosine similarity for attribution protection*,
    2022 (arXiv 2205.07279).

    Examples
    --------
    The gradient of a linear network is the same everywhere.

    >>> import torch
    >>> from robustxai.explainers import Gradient
    >>> x = torch.randn(4, 3, requires_grad=True)
    >>> AttributionChange()(ExplainedBatch(torch.nn.Linear(3, 2), x, Gradient())).abs().max().item() < 1e-6
    True
    """

    similarity: AttributionSimilarity = "cosine"
    maximize: AscentObjective = "change"
    weight: float = 1.0
    epsilon: float | None = None
    norm: Norm | None = None
    n_points: int = 5
    n_attack_points: int = 2
    max_iter: int = 3
    step_size: float | None = None
    attacked: bool = False
    threat: ThreatModel | None = field(default=None, kw_only=True)

    _constraints = {
        "similarity": Choice(_SIMILARITIES),
        "maximize": Choice(_OBJECTIVES),
        "weight": NOT_NEGATIVE,
        **THREAT_ARGUMENTS,
        "n_points": COUNT,
        "n_attack_points": COUNT,
        **ASCENT_ARGUMENTS,
        "attacked": FLAG,
    }

    def __post_init__(self) -> None:
        check_arguments(self)
        self._threat()

    def _threat(self) -> ThreatModel:
        return as_threat(self.threat, epsilon=self.epsilon, norm=self.norm, default=_DEFAULT)

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Compute the penalty of each sample, shape (*batch,)."""
        axis = batch.batch_ndim - 1
        x, labels = batch.x.detach(), labels_of(batch)
        worst = batch.attacked if self.attacked else self.worst(batch)
        both = torch.cat([x, worst], dim=axis)  # one pass for both points
        explainer = _with_points(batch.explainer, self.n_points)
        attributions = explainer(batch.module, both.requires_grad_(), labels.repeat(*(1,) * axis, 2), create_graph=True)
        here, there = attributions.split(x.shape[axis], dim=axis)
        return self._change(here, there, batch.batch_ndim)

    def worst(self, batch: ExplainedBatch) -> Tensor:
        """Return the point that the ascent finds, shaped like the inputs of the batch, without a graph."""
        labels = labels_of(batch)
        explainer = _with_points(batch.explainer, self.n_attack_points)
        clean = None
        if self.maximize != "cross_entropy":
            clean = explainer(batch.module, batch.x.detach().requires_grad_(), labels).detach()

        def objective(points: Tensor) -> Tensor:
            if clean is None:
                return cross_entropy(batch.module(points), labels)
            there = explainer(batch.module, points, labels, create_graph=True)
            change = self._change(clean, there, batch.batch_ndim)
            if self.maximize == "change":
                return change
            return cross_entropy(batch.module(points), labels) + self.weight * change

        return worst_points(
            batch,
            objective,
            self._threat(),
            PerturbationSet.random_points,
            max_iter=self.max_iter,
            step_size=self.step_size,
        )

    def _change(self, one: Tensor, other: Tensor, batch_ndim: int) -> Tensor:
        one, other = (self._unit(vector.flatten(start_dim=batch_ndim)) for vector in (one, other))
        # half the squared distance of two unit vectors, which unlike 1 - cos keeps its digits where they nearly agree
        change = 0.5 * (one - other).square().sum(dim=-1)
        directed = one.detach().any(dim=-1) & other.detach().any(dim=-1)
        return torch.where(directed, change, 0.0)

    def _unit(self, vectors: Tensor) -> Tensor:
        """Return vectors of length one, for "pearson" of mean zero; zeros where there is no direction."""
        largest = vectors.detach().abs().amax(dim=-1, keepdim=True)
        scaled = vectors / largest.clamp_min(SMALLEST_SCALE)  # squares may under- or overflow float32
        if self.similarity == "pearson":
            scaled = scaled - scaled.mean(dim=-1, keepdim=True)
        length = safe_sqrt(scaled.square().sum(dim=-1, keepdim=True))
        directed = length > _ROUNDING * vectors.shape[-1] ** 0.5
        return torch.where(directed, scaled / torch.where(directed, length, 1.0), 0.0)


#: Deviation from the mean, as a share of the largest entry, below which equal entries differ by rounding.
_ROUNDING = 1e-6


def _with_points(explainer: Explainer, n_points: int) -> Explainer:
    """Return the explainer up to a positive factor per sample, integrated gradients with their own `n_points`."""
    if type(explainer) is IntegratedGradients:
        explainer = replace(explainer, n_points=n_points)
    return getattr(explainer, "up_to_scale", explainer)
