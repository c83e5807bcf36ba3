"""Randomness enters through ``random_state`` and leaves the global generators as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sklearn.utils import check_random_state

from robustxai._arguments import SEED, checked
from robustxai._random import RandomStreams
from robustxai.protocols import Seed

__all__ = ["draw_seed", "seeded"]


@checked(random_state=SEED)
def draw_seed(random_state: Seed) -> int:
    """One seed for torch out of a scikit-learn ``random_state``."""
    return int(check_random_state(random_state).randint(2**31 - 1))


@contextmanager
@checked(random_state=SEED)
def seeded(random_state: Seed) -> Iterator[None]:
    """Let all draws of this thread inside the block depend on `random_state` alone.

    torch's global generators are neither read nor moved, so that blocks in several threads do not disturb each other.
    """
    with RandomStreams(draw_seed(random_state)).in_use():
        yield
