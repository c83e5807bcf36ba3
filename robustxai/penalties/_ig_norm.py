"""IG-NORM and IG-SUM-NORM: size of the integrated gradients from an input to the worst point near it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from robustxai._arguments import COUNT, NOT_NEGATIVE, POSITIVE, Choice, check_arguments, optional
from robustxai.engine import BasePenalty, ExplainedBatch
from robustxai.explainers import log_odds
from robustxai.penalties._path import labels_of, path_attribution
from robustxai.penalties._worst import worst_points
from robustxai.perturbation import THREAT_ARGUMENTS, PerturbationSet, ThreatModel, as_threat
from robustxai.protocols import IGObjective, Norm

__all__ = ["IGNorm"]

_OBJECTIVES = ("norm", "sum_norm")
_DEFAULT = ThreatModel(0.01, "inf")


@dataclass(frozen=True)
class IGNorm(BasePenalty):
    r"""Size of the integrated gradients of the cross-entropy from x to the worst point near it, per sample.

    .. math::
        s\bigl(\mathrm{IG}^\ell(x, x^*)\bigr), \qquad
        \mathrm{IG}^\ell(x, x') = (x' - x) \odot \frac{1}{m} \sum_{r=1}^{m}
            \nabla_x \mathrm{CE}\Bigl(x + \tfrac{r}{m} (x' - x), y\Bigr), \qquad
        x^* \approx \arg\max_{\|x' - x\|_p \le \epsilon} s\bigl(\mathrm{IG}^\ell(x, x')\bigr)

    with :math:`s = \|\cdot\|_1` for "norm", and the sum of the entries plus :math:`\beta \|\cdot\|_1` for "sum_norm".
    The sum of the entries is computed as :math:`\mathrm{CE}(x') - \mathrm{CE}(x)`, its limit as m grows (completeness).
    Added to the clean cross-entropy with weight 1, "sum_norm" is therefore
    :math:`\mathrm{CE}(x^*) + \beta \|\mathrm{IG}^\ell\|_1`. The gradient in the weights holds :math:`x^*` constant.

    Parameters
    ----------
    objective : {"norm", "sum_norm"}, default="norm"
        s.
    beta : float, default=0.1
        Weight of the norm in "sum_norm", as published; no effect on "norm".
    epsilon, norm : optional
        Shorthand for ``threat=ThreatModel(epsilon, norm)``, with the defaults 0.01 and "inf".
    n_points : int, default=10
        m of the penalty; the network evaluates all points at once.
    n_attack_points : int, default=2
        m of the ascent; a fifth of `n_points`, as published.
    max_iter : int, default=7
        Steps of the ascent.
    step_size : float, optional
        Length of a step; by default ``min(2.5 / max_iter, 1) * epsilon``, with which several steps can cross the
        perturbation set.
    threat : ThreatModel, optional
        Perturbations that :math:`x^*` may use; ``ThreatModel(0.01, "inf")`` by default. A tenth of the published
        radius, for the reason in :class:`robustxai.IGNormClassifier`.

    Raises
    ------
    ValueError, TypeError
        An unknown objective or norm, a number out of its range, a shorthand that contradicts `threat`.

    Notes
    -----
    The ascent starts at a random point within the radius, as published, because at x itself :math:`\mathrm{IG}^\ell`
    and the slope of its norm are zero. The point is drawn by the batch.

    References
    ----------
    Chen et al., *Robust attribution regularization*, 2019 (arXiv 1905.09957).

    Examples
    --------
    A single feature has one entry, which equals the increase of the loss (completeness).

    >>> import torch
    >>> from robustxai.explainers import Gradient
    >>> net = torch.nn.Linear(1, 2, bias=False)
    >>> _ = net.weight.data.copy_(torch.tensor([[0.0], [2.0]]))
    >>> x, there, y = torch.zeros(1, 1, requires_grad=True), torch.tensor([[0.5]]), torch.tensor([0])
    >>> ig = IGNorm(n_points=1000).attribution(ExplainedBatch(net, x, Gradient(), y=y), there)
    >>> rise = torch.nn.functional.cross_entropy(net(there), y) - torch.nn.functional.cross_entropy(net(x), y)
    >>> round(ig.item(), 3), round(rise.item(), 3)
    (0.62, 0.62)
    """

    objective: IGObjective = "norm"
    beta: float = 0.1
    epsilon: float | None = None
    norm: Norm | None = None
    n_points: int = 10
    n_attack_points: int = 2
    max_iter: int = 7
    step_size: float | None = None
    threat: ThreatModel | None = field(default=None, kw_only=True)

    _constraints = {
        "objective": Choice(_OBJECTIVES),
        "beta": NOT_NEGATIVE,
        **THREAT_ARGUMENTS,
        "n_points": COUNT,
        "n_attack_points": COUNT,
        "max_iter": COUNT,
        "step_size": optional(POSITIVE),
    }

    def __post_init__(self) -> None:
        check_arguments(self)
        self._threat()

    def _threat(self) -> ThreatModel:
        return as_threat(self.threat, epsilon=self.epsilon, norm=self.norm, default=_DEFAULT)

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Compute the penalty of each sample, shape (*batch,)."""
        value = self._size(batch, self.worst(batch), self.n_points)
        return value if self.objective == "norm" else value - cross_entropy(batch.logits, labels_of(batch))

    def attribution(self, batch: ExplainedBatch, points: Tensor) -> Tensor:
        """Return the integrated gradients from x to `points`, shaped like x, differentiable in points and weights."""
        return self._path(batch, points, self.n_points)[0]

    def worst(self, batch: ExplainedBatch) -> Tensor:
        """Return :math:`x^*`, shaped like the inputs of the batch, without a graph."""
        return worst_points(
            batch,
            lambda points: self._size(batch, points, self.n_attack_points),
            self._threat(),
            PerturbationSet.random_points,
            max_iter=self.max_iter,
            step_size=self.step_size,
        )

    def _size(self, batch: ExplainedBatch, points: Tensor, n_points: int) -> Tensor:
        """Compute s without the constant CE(x): the norm, plus for "sum_norm" the cross-entropy at `points`."""
        attribution, loss = self._path(batch, points, n_points)
        norm = attribution.abs().flatten(start_dim=batch.batch_ndim).sum(dim=-1)
        return norm if self.objective == "norm" else loss + self.beta * norm

    @staticmethod
    def _path(batch: ExplainedBatch, points: Tensor, n_points: int) -> tuple[Tensor, Tensor]:
        """Compute the integrated gradients to `points`, and the cross-entropy at these ends of the paths."""
        labels = labels_of(batch).repeat_interleave(n_points, dim=-1)
        (found,) = path_attribution(
            batch, batch.x.detach(), points, n_points, lambda logits: cross_entropy(logits, labels)
        )
        return found


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of each row."""
    # not from the softmax, which rounds to 1 for confident samples, so that their slope would be zero
    return torch.nn.functional.softplus(-log_odds(logits, labels))
