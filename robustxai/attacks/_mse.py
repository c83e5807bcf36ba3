"""MSEAttack: the largest Euclidean distance from the clean attribution."""

from __future__ import annotations

import torch
from torch import Tensor

from robustxai.attacks._paper_protocol import PaperAttack
from robustxai.attacks._search import Reference

__all__ = ["MSEAttack"]


class MSEAttack(PaperAttack):
    r"""Move the attribution as far as possible from the clean one; :meth:`paper` has the R2ET paper's schedule.

    .. math:: \max_\delta \; \| I(x + \delta) - I(x) \|_2^2

    A weak attack on the ranking: most of the distance is a change of length. At x the distance is stationary, and both
    signs of the direction along which the length of I changes fastest are tried: see :class:`GradientAttack`.

    Parameters
    ----------
    estimator, k, threat, ranking, max_iter, step_size, momentum, keep, batch_size, random_state
        As in :class:`GradientAttack`. The defaults differ from the paper as those of :class:`ERAttack` do. The paper
        does not say how it leaves x, where the gradient of the distance is zero.

    References
    ----------
    Dombrowski et al., *Explanations can be manipulated and geometry is to blame*, 2019; Chen et al., 2023, Section 4.2.
    """

    def objective(self, attribution: Tensor, reference: Reference) -> Tensor:
        axes = tuple(range(1, attribution.ndim))
        scale = reference.attribution.abs().amax(dim=axes, keepdim=True)
        scale = scale.clamp_min(torch.finfo(scale.dtype).tiny)
        return ((attribution - reference.attribution) / scale).square().sum(dim=axes)
