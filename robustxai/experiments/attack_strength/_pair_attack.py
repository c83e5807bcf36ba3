"""Attack on the gap of one pair: one unit of the top set, one outsider."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from robustxai._arguments import COUNT
from robustxai.attacks import GradientAttack, Reference
from robustxai.protocols import Estimator

__all__ = ["PairAttack"]


class PairAttack(GradientAttack):
    r"""Close the gap of one pair of units by projected gradient ascent.

    .. math:: \max_\delta \; \frac{s_b(x + \delta) - s_a(x + \delta)}{\bar s(x + \delta)}

    with a the unit of the top set that is the `weakness`-th weakest at x, and b the outsider that is the `rank`-th
    strongest. The mean score :math:`\bar s` takes out the length of the attribution.

    Parameters
    ----------
    weakness : int, default=1
        Place of a in the top set, 1 for the weakest unit; at most k.
    rank : int, default=1
        Place of b, 1 for the strongest outsider; at most the number of outsiders.
    estimator, k, threat, ranking, max_iter, step_size, momentum, random_start, keep, batch_size, random_state
        As in :class:`GradientAttack`.
    """

    _constraints = {"weakness": COUNT, "rank": COUNT}

    def __init__(self, estimator: Estimator | None = None, *, weakness: int = 1, rank: int = 1, **params: Any) -> None:
        super().__init__(estimator, **params)
        self.weakness = weakness
        self.rank = rank

    def objective(self, attribution: Tensor, reference: Reference) -> Tensor:
        scores, clean = reference.rank(attribution), reference.scores
        weakest = clean.gather(1, reference.inside).argsort(dim=1)[:, self.weakness - 1, None]
        strongest = clean.gather(1, reference.outside).argsort(dim=1, descending=True)[:, self.rank - 1, None]
        inside, outside = reference.inside.gather(1, weakest), reference.outside.gather(1, strongest)
        gap = (scores.gather(1, outside) - scores.gather(1, inside)).squeeze(1)
        return gap / scores.abs().mean(dim=1).clamp_min(torch.finfo(scores.dtype).tiny)
