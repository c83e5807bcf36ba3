"""TRADES: divergence of the prediction at the worst point near an input."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from robustxai._arguments import COUNT, POSITIVE, check_arguments, optional
from robustxai._random import like_normal
from robustxai.engine import BasePenalty, ExplainedBatch
from robustxai.penalties._distillation import divergence
from robustxai.penalties._worst import worst_points
from robustxai.perturbation import THREAT_ARGUMENTS, PerturbationSet, ThreatModel, as_threat
from robustxai.protocols import Norm

__all__ = ["TRADES"]

_DEFAULT = ThreatModel(0.01, "inf")
#: Standard deviation of the first perturbation, in units of the radius: the published 0.001 at 0.031.
_START = 1 / 31


@dataclass(frozen=True)
class TRADES(BasePenalty):
    r"""Kullback-Leibler divergence between the predictions at x and at the point near it where it is largest.

    .. math:: \mathrm{KL}\bigl(p(x) \,\|\, p(x^*)\bigr), \qquad
        x^* \approx \arg\max_{\|x' - x\|_p \le \epsilon} \mathrm{KL}\bigl(p(x) \,\|\, p(x')\bigr)

    The gradient in the weights goes through both predictions, as in the published code, and holds :math:`x^*` constant.

    Parameters
    ----------
    epsilon, norm : optional
        Shorthand for ``threat=ThreatModel(epsilon, norm)``, with the defaults 0.01 and "inf".
    max_iter : int, default=7
        Steps of the ascent. It starts at a normal perturbation of standard deviation epsilon / 31 (the published code:
        0.001 at a radius of 0.031), because the divergence and its slope are zero at x.
    step_size : float, optional
        Length of a step; by default ``min(2.5 / max_iter, 1) * epsilon``, with which several steps can cross the
        perturbation set. The published 0.007 at 0.031 with 10 steps is nearly that.
    threat : ThreatModel, optional
        Perturbations that :math:`x^*` may use; ``ThreatModel(0.01, "inf")`` by default, for the reason in
        :class:`robustxai.TRADESClassifier`.

    Raises
    ------
    ValueError, TypeError
        An unknown norm, a number out of its range, a shorthand that contradicts `threat`.

    References
    ----------
    Zhang et al., *Theoretically principled trade-off between robustness and accuracy*, 2019 (arXiv 1901.08573), and its
    published code.

    Examples
    --------
    The worst point of a linear model of two classes is a corner of the ball:

    >>> import torch
    >>> from robustxai.explainers import Gradient
    >>> net = torch.nn.Linear(2, 2, bias=False)
    >>> _ = net.weight.data.copy_(torch.tensor([[0.0, 0.0], [2.0, -1.0]]))
    >>> x = torch.tensor([[1.0, 0.0]])
    >>> (TRADES(epsilon=0.5).worst(ExplainedBatch(net, x, Gradient())) - x).abs()
    tensor([[0.5000, 0.5000]])
    """

    #: The ascent and the penalty differentiate the network once.
    first_order: ClassVar[bool] = True

    epsilon: float | None = None
    norm: Norm | None = None
    max_iter: int = 7
    step_size: float | None = None
    threat: ThreatModel | None = field(default=None, kw_only=True)

    _constraints = {**THREAT_ARGUMENTS, "max_iter": COUNT, "step_size": optional(POSITIVE)}

    def __post_init__(self) -> None:
        check_arguments(self)
        self._threat()

    def _threat(self) -> ThreatModel:
        return as_threat(self.threat, epsilon=self.epsilon, norm=self.norm, default=_DEFAULT)

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Compute the penalty of each sample, shape (*batch,)."""
        return divergence(batch.module(self.worst(batch)), batch.explained_logits, 1.0)

    def worst(self, batch: ExplainedBatch) -> Tensor:
        """Return :math:`x^*`, shaped like the inputs of the batch, without a graph."""
        clean = batch.explained_logits.detach()
        return worst_points(
            batch,
            lambda points: divergence(batch.module(points), clean, 1.0),
            self._threat(),
            _near,
            max_iter=self.max_iter,
            step_size=self.step_size,
        )


def _near(space: PerturbationSet, like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw the first perturbation of each row."""
    return _START * space.epsilon * space.unit * like_normal(like, generator)
