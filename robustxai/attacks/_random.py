"""RandomAttack: the floor that every attack must get under."""

from __future__ import annotations

from torch import Tensor

from robustxai.attacks._base import BaseAttack
from robustxai.attacks._search import Search
from robustxai.engine import stackable

__all__ = ["RandomAttack"]


class RandomAttack(BaseAttack):
    """The worst of `max_iter` random points on the surface of the ball.

    No gradient is used, so nothing can mask it: an attack that finds less than this one is broken, and so is any
    robustness that it reports. All rows try the same directions.

    Parameters
    ----------
    estimator, k, threat, ranking, max_iter, batch_size, random_state
        As in :class:`BaseAttack`.
    """

    @stackable
    def propose(self, search: Search, iteration: int) -> Tensor:
        return (search.space.epsilon * search.space.random_direction(search.generator)).expand_as(search.x)
