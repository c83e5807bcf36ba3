"""BoundaryMarginAttack: exchange the units at the boundary of the top-k set."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from robustxai._arguments import COUNT
from robustxai.attacks._gradient import GradientAttack
from robustxai.attacks._search import Reference
from robustxai.protocols import Estimator
from robustxai.ranking import top_k_set

__all__ = ["BoundaryMarginAttack"]


class BoundaryMarginAttack(GradientAttack):
    r"""Lower the weakest members of the top-k set under the strongest outsiders.

    .. math::
        \min_\delta \; \frac{1}{\bar s(x + \delta)}
        \Bigl( \sum_{i \in T_q} s_i(x + \delta) - \sum_{j \in N_q} s_j(x + \delta) \Bigr)

    with :math:`T_q` the q lowest of the original top-k set, :math:`N_q` the q highest of the rest, both updated in each
    step, and :math:`\bar s` the mean score, which removes the useless direction that only rescales the gradient.

    Parameters
    ----------
    n_boundary : int, default=3
        q; at most k and at most the number of other units.
    estimator, k, threat, ranking, max_iter, step_size, momentum, keep, batch_size, random_state
        As in :class:`GradientAttack`.
    """

    _constraints = {"n_boundary": COUNT}

    def __init__(self, estimator: Estimator | None = None, *, n_boundary: int = 3, **params: Any) -> None:
        super().__init__(estimator, **params)
        self.n_boundary = n_boundary

    def objective(self, attribution: Tensor, reference: Reference) -> Tensor:
        scores = reference.rank(attribution)
        q = min(self.n_boundary, reference.k, scores.shape[1] - reference.k)
        inside, outside = scores.gather(1, reference.inside), scores.gather(1, reference.outside)
        inside = inside.gather(1, top_k_set(-inside, q))
        outside = outside.gather(1, top_k_set(outside, q))
        scale = scores.abs().mean(dim=1).clamp_min(torch.finfo(scores.dtype).tiny)
        return (outside.sum(dim=1) - inside.sum(dim=1)) / scale
