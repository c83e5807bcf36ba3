"""Helpers of messages: the nearest valid name, and the user's line."""

from __future__ import annotations

import contextlib
import difflib
import sys
from collections.abc import Iterable
from pathlib import Path

__all__ = ["nearest_name", "outside"]

#: Files whose frames count as the library: its own, and that of ``contextlib``.
_INSIDE = (str(Path(__file__).parent), contextlib.__file__)


def nearest_name(name: str, valid: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the valid name closest to `name`, or the list of valid names."""
    names = sorted(set(valid))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else f" Valid names: {', '.join(names)}."


def outside() -> int:
    """Return the `stacklevel` of the first caller outside of the library, whose line Python then names, once.

    For a function that warns: what is counted is from there on.
    """
    level, frame = 2, sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_INSIDE):
        frame, level = frame.f_back, level + 1
    return level
