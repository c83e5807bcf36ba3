"""TopKManipulation: the untargeted manipulation of ATEX."""

from __future__ import annotations

from torch import Tensor

from robustxai.attacks._gradient import GradientAttack
from robustxai.attacks._search import Reference

__all__ = ["TopKManipulation"]


class TopKManipulation(GradientAttack):
    r"""Lower the share of the saliency that the clean top-k units hold.

    .. math:: \max_\delta \; - \frac{\sum_{i \in T} s_i(x + \delta)}{\sum_j |s_j(x + \delta)|}

    with s the unit scores and T the top-k set at x, fixed (the published code of ATEX updates it in every step). The
    share cannot be lowered by shrinking the whole gradient, as the gap of :class:`ERAttack` can.

    Parameters
    ----------
    estimator, k, threat, ranking, max_iter, step_size, momentum, keep, batch_size, random_state
        As in :class:`GradientAttack`.

    References
    ----------
    Tang et al., *Defense against explanation manipulation*, 2021, Section 2.2 ("untargeted attack"); the top-k attack
    of Ghorbani et al., *Interpretation of neural networks is fragile*, 2019.
    """

    def objective(self, attribution: Tensor, reference: Reference) -> Tensor:
        return -(reference.relative(attribution) * reference.top).sum(dim=1)
