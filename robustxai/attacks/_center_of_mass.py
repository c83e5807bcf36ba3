"""CenterOfMassAttack: shift the center of an image's saliency."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from typing_extensions import Self

from robustxai._all_or_nothing import all_or_nothing
from robustxai.attacks._gradient import GradientAttack
from robustxai.attacks._search import Reference
from robustxai.ranking import unit_scores, unit_shape

__all__ = ["CenterOfMassAttack"]


class CenterOfMassAttack(GradientAttack):
    r"""Move the center of mass of the saliency as far as possible.

    .. math:: \max_\delta \; \| C(x + \delta) - C(x) \|_2^2, \qquad
        C(x) = \frac{\sum_p |s|_p(x)\, r_p}{\sum_p |s|_p(x)}

    with :math:`|s|_p` the magnitude at pixel p (summed over channels) and :math:`r_p` its coordinates, in pixels. Mass
    is never negative, so `ranking` affects P@k only. Every row keeps its iterate of the largest shift, the clean input
    included.

    It takes images of shape (n, height, width) or (n, channels, height, width). The order of a table's columns is
    arbitrary, so that a center among them has no meaning.

    Parameters
    ----------
    estimator, k, threat, ranking, max_iter, step_size, momentum, keep, batch_size, random_state
        As in :class:`GradientAttack`.

    References
    ----------
    Ghorbani et al., *Interpretation of neural networks is fragile*, 2019 ("mass-center attack").
    """

    goal = "objective"

    def fit(self, X: Any, y: Any = None) -> Self:
        """Do the same as :class:`BaseAttack`; raise a ValueError for tables."""
        with all_or_nothing(self):
            n_axes = self._check_fit(X).ndim
            if n_axes not in (3, 4):
                raise ValueError(
                    "CenterOfMassAttack needs images, X of shape (n, height, width) or (n, channels, height, width): "
                    "the columns of a table have no position, its saliency has no center, and a pair has two. "
                    f"Got {n_axes} axes."
                )
            return super().fit(X, y)

    def objective(self, attribution: Tensor, reference: Reference) -> Tensor:
        return (center_of_mass(attribution) - center_of_mass(reference.attribution)).square().sum(dim=1)


def center_of_mass(attribution: Tensor) -> Tensor:
    """Return centers of mass of |attribution|, (n, [channels,] *spatial), in pixels, shape (n, spatial axes)."""
    mass = unit_scores(attribution, "magnitude")
    shape = unit_shape(attribution.shape[1:])
    axes = [torch.arange(size, dtype=mass.dtype, device=mass.device) for size in shape]
    places = torch.stack([grid.flatten() for grid in torch.meshgrid(*axes, indexing="ij")], dim=1)
    # divide first: the magnitudes of a confident prediction times a coordinate would be denormal numbers
    return mass / mass.sum(dim=1, keepdim=True).clamp_min(torch.finfo(mass.dtype).tiny) @ places
