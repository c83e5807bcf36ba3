"""RandomAttack: the random-search baseline that every attack must beat."""

from __future__ import annotations

from torch import Tensor

from robustxai.attacks._base import BaseAttack
from robustxai.attacks._search import Search
from robustxai.engine import stackable

__all__ = ["RandomAttack"]


class RandomAttack(BaseAttack):
    """Try `max_iter` random points on the surface of the ball and keep the worst of each row.

    It uses no gradient, which therefore cannot be masked: an attack that finds less than this one is broken, and the
    robustness that it reports is wrong. All rows try the same directions.

    Parameters
    ----------
    estimator, k, threat, ranking, max_iter, batch_size, random_state
        As in :class:`BaseAttack`.
    """

    @stackable
    def propose(self, search: Search, iteration: int) -> Tensor:
        return (search.space.epsilon * search.space.random_direction(search.generator)).expand_as(search.x)
