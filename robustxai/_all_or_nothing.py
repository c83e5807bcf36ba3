"""Restoration of an estimator whose fit fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["all_or_nothing"]


@contextmanager
def all_or_nothing(estimator: Any) -> Iterator[None]:
    """Restore the attributes of `estimator` if the block raises, an interrupt included.

    The attributes are the same objects as before: what a block changes *inside* of one is not undone. A fit therefore
    makes new objects, and assigns them.
    """
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
