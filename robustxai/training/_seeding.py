"""Randomness enters through ``random_state`` and leaves the global generators as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from sklearn.utils import check_random_state

__all__ = ["draw_seed", "seeded"]


def draw_seed(random_state: int | np.random.RandomState | None) -> int:
    """One seed for torch out of a scikit-learn ``random_state``."""
    return int(check_random_state(random_state).randint(2**31 - 1))


@contextmanager
def seeded(random_state: int | np.random.RandomState | None) -> Iterator[None]:
    """Seed torch's global generator inside the block only (module initialisation reads no other)."""
    seed = draw_seed(random_state)
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.random.fork_rng(devices=list(devices)):
        torch.manual_seed(seed)
        yield
