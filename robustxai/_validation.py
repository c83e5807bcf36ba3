"""The nearest valid name and the user's line, for messages, and the check of weights of rows."""

from __future__ import annotations

import contextlib
import difflib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["check_sample_weight", "check_weights", "nearest_name", "outside"]

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


def check_sample_weight(sample_weight: Any, n_rows: int) -> np.ndarray | None:
    """Return weights of rows as a float64 array of shape (n_rows,); None for None.

    Raises
    ------
    ValueError, TypeError
        Another shape, or weights that are no numbers, negative, not finite, or all zero.
    """
    if sample_weight is None:
        return None
    try:
        weights = np.array(sample_weight, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"sample_weight must be an array of numbers, one per row of X: {error}.") from error
    if weights.ndim != 1:
        raise ValueError(f"sample_weight must have one axis, got shape {weights.shape}. Give one weight per row of X.")
    if len(weights) != n_rows:
        raise ValueError(f"sample_weight has {len(weights)} entries, but X has {n_rows} rows. Give one weight per row.")
    check_weights("sample_weight", weights)
    if not weights.any():
        raise ValueError("sample_weight is zero in all rows, so that no row counts.")
    return weights


def check_weights(name: str, weights: np.ndarray) -> None:
    """Raise ValueError for weights that are negative or not finite."""
    if not np.isfinite(weights).all():
        raise ValueError(f"{name} has NaN or infinity. Weights are finite numbers >= 0.")
    if (weights < 0).any():
        raise ValueError(f"{name} has the negative value {weights.min():g}. Weights are finite numbers >= 0.")
