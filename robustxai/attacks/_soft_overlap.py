"""SoftOverlapAttack: a differentiable P@k."""

from __future__ import annotations

import torch
from torch import Tensor

from robustxai.attacks._gradient import GradientAttack
from robustxai.attacks._search import Reference, highest

__all__ = ["SoftOverlapAttack"]


class SoftOverlapAttack(GradientAttack):
    r"""Lower a smooth count of the original top-k units that are still in.

    .. math:: \min_\delta \; \sum_{i \in T} \sigma\!\left( \frac{s_i(x + \delta) - \theta}{\tau} \right)

    with :math:`\theta` the current boundary, halfway between the k-th and the next score, and :math:`\tau` a tenth of
    the scores' standard deviation, both without gradient. Units that are already out, or far in, have almost no slope.

    Parameters
    ----------
    estimator, k, threat, ranking, max_iter, step_size, momentum, keep, batch_size, random_state
        As in :class:`GradientAttack`.
    """

    def objective(self, attribution: Tensor, reference: Reference) -> Tensor:
        scores = reference.rank(attribution)
        tiny = torch.finfo(scores.dtype).tiny
        scores = scores / scores.abs().mean(dim=1, keepdim=True).clamp_min(tiny)
        k, fixed = reference.k, scores.detach()
        boundary = highest(fixed, k, min(k + 1, scores.shape[1])).mean(dim=1, keepdim=True)
        centered = fixed - fixed.mean(dim=1, keepdim=True)
        width = 0.1 * centered.square().mean(dim=1, keepdim=True).sqrt().clamp_min(tiny)
        return -(torch.sigmoid((scores - boundary) / width) * reference.top).sum(dim=1)
