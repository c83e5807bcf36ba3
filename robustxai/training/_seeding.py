"""Seed random draws by ``random_state``, without changing the global generators."""

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
    """Draw a seed for torch from a scikit-learn ``random_state``."""
    return int(check_random_state(random_state).randint(2**31 - 1))


@contextmanager
@checked(random_state=SEED)
def seeded(random_state: Seed) -> Iterator[None]:
    """Make all draws of this thread inside the block depend on `random_state` alone.

    torch's global generators are neither read nor advanced, so that blocks in several threads do not affect each other.
    """
    with RandomStreams(draw_seed(random_state)).in_use():
        yield
