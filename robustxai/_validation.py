"""Checks of arguments that more than one layer needs, each ending in a sentence that says what to do."""

from __future__ import annotations

import contextlib
import difflib
import numbers
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np

__all__ = ["check_choice", "check_k", "check_number", "clip_k", "nearest_name", "outside"]

#: Files whose frames are the library's: its own, and that of the decorators that it makes of contexts.
_INSIDE = (str(Path(__file__).parent), contextlib.__file__)


def nearest_name(name: str, valid: Iterable[str]) -> str:
    """``" Did you mean 'x'?"`` for the valid name closest to `name`, or the list of valid names."""
    names = sorted(set(valid))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else f" Valid names: {', '.join(names)}."


def check_choice(name: str, value: object, valid: Iterable[str]) -> None:
    """Raise ValueError unless `value` is one of `valid`."""
    if value not in set(valid):
        raise ValueError(f"{name}={value!r} is not known.{nearest_name(str(value), valid)}")


def check_number(
    name: str, value: object, *, minimum: float = -np.inf, integer: bool = False, inclusive: bool = True
) -> None:
    """Raise TypeError or ValueError unless `value` is a finite number not below `minimum`."""
    kind = numbers.Integral if integer else numbers.Real
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{name} must be {'an integer' if integer else 'a number'}, got {value!r}.")
    if not np.isfinite(float(value)) or value < minimum or (not inclusive and value == minimum):
        relation = ">=" if inclusive else ">"
        raise ValueError(f"{name} must be a finite number {relation} {minimum:g}, got {value!r}.")


def check_k(k: object) -> None:
    """Raise unless `k` is an integer of at least 1."""
    check_number("k", k, minimum=1, integer=True)


def clip_k(k: int, n_units: int) -> int:
    """`k`, or with a warning the largest k that leaves a feature outside the top-k.

    With k equal to the number of ranked features every explanation has the same top-k set, so there is nothing to
    measure: k is lowered to ``n_units - 1`` (to 1 if there is a single feature).
    """
    check_k(k)
    largest = max(n_units - 1, 1)
    if k > largest:
        warnings.warn(
            f"k={k} is not smaller than the number of ranked features ({n_units}); using k={largest}.",
            UserWarning,
            stacklevel=outside(),
        )
    return min(int(k), largest)


def outside() -> int:
    """`stacklevel` of the first caller outside of the library, whose line Python then names, once.

    For a function that warns: what is counted is from there on.
    """
    level, frame = 2, sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_INSIDE):
        frame, level = frame.f_back, level + 1
    return level
