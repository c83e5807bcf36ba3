"""Weighted attribution change: what an attack adds to the attribution, weighted by the attribution."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustxai._arguments import COUNT, Number, check_arguments
from robustxai.engine import BasePenalty, ExplainedBatch
from robustxai.penalties._ig_norm import cross_entropy
from robustxai.penalties._path import labels_of, path_attribution

__all__ = ["WeightedChange"]


@dataclass(frozen=True)
class WeightedChange(BasePenalty):
    r"""Change of the attribution on the way to the attacked point x', weighted by the attribution at x.

    .. math::
        \sum_i \begin{cases} a_i\, c_i & \text{if } \mathrm{sign}(a_i) = \mathrm{sign}(c_i) \\
            |c_i| & \text{otherwise} \end{cases}

    with a the integrated gradients of :math:`p_y` from a baseline b to x, and c those of :math:`\log p_y` from x to x'.
    A change in the direction of the attribution costs in proportion to the attribution, a change against it in full.
    This is the weighted attribution change regularizer as we read it in the published code.

    Parameters
    ----------
    n_points : int, default=3
        Points on each path. The published code uses 20, for images.
    baseline : float, default=0.0
        b, the value of every feature that stands for "nothing"; the published code uses black images.

    Notes
    -----
    x' is ``batch.attacked``: the points of the training's adversary, or x without one, where the penalty is zero.

    References
    ----------
    Sarkar, Sarkar and Balasubramanian, *Enhanced regularizers for attributional robustness*, 2021 (arXiv 2012.14395),
    and its published code.
    """

    n_points: int = 3
    baseline: float = 0.0

    _constraints = {"n_points": COUNT, "baseline": Number()}

    def __post_init__(self) -> None:
        check_arguments(self)

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Compute the penalty of each sample, shape (*batch,)."""
        x, labels = batch.x.detach(), labels_of(batch).repeat_interleave(self.n_points, dim=-1)

        def probability(logits: Tensor) -> Tensor:
            return logits.softmax(dim=-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1)

        def log_probability(logits: Tensor) -> Tensor:
            return -cross_entropy(logits, labels)

        ((attribution, _),) = path_attribution(batch, self.baseline, x, self.n_points, probability)
        ((change, _),) = path_attribution(batch, x, batch.attacked, self.n_points, log_probability)
        with_it = attribution.sign() == change.sign()
        cost = torch.where(with_it, attribution * change, change.abs())
        return cost.flatten(start_dim=batch.batch_ndim).sum(dim=-1)
