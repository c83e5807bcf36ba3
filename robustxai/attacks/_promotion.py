"""PromotionAttack: promote one outsider into the top-k set."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from robustxai._arguments import COUNT
from robustxai.attacks._gradient import GradientAttack
from robustxai.attacks._search import Reference
from robustxai.protocols import Estimator

__all__ = ["PromotionAttack"]


class PromotionAttack(GradientAttack):
    r"""Raise one outsider over the weakest member of the top-k set.

    .. math:: \max_\delta \; \frac{s_a(x + \delta) - \min_{i \in T} s_i(x + \delta)}{\bar s(x + \delta)}

    with a the outsider that is the `rank`-th strongest at x. One pair needs less budget than a sum of pairs, so that
    this attack finds flips of rows that can barely be flipped; runs with several ranks complement each other.

    Parameters
    ----------
    rank : int, default=1
        Rank of the outsider, 1 for the strongest; at most the number of outsiders.
    estimator, k, threat, ranking, max_iter, step_size, momentum, random_start, keep, batch_size, random_state
        As in :class:`GradientAttack`.
    """

    _constraints = {"rank": COUNT}

    def __init__(self, estimator: Estimator | None = None, *, rank: int = 1, **params: Any) -> None:
        super().__init__(estimator, **params)
        self.rank = rank

    def objective(self, attribution: Tensor, reference: Reference) -> Tensor:
        scores = reference.rank(attribution)
        rank = min(self.rank, scores.shape[1] - reference.k)
        # a single unit has no outsiders: rank 0, and the sum over none of them
        place = reference.scores.gather(1, reference.outside).topk(rank, dim=1).indices[:, -1:]
        outsider = reference.outside.gather(1, place)
        weakest = scores.gather(1, reference.inside).amin(dim=1)
        scale = scores.abs().mean(dim=1).clamp_min(torch.finfo(scores.dtype).tiny)
        return (scores.gather(1, outsider).sum(dim=1) - weakest) / scale
