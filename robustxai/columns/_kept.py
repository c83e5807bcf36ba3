"""Features of fitted steps, kept while the steps stay as they are: a service explains row after row by one pipeline."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from robustxai.columns._feature import Feature

__all__ = ["kept_features"]

#: By the first step: state of all steps, and their features.
_KEPT: weakref.WeakKeyDictionary[Any, tuple[list[Any], list[Feature]]] = weakref.WeakKeyDictionary()
#: Arrays of more bytes are compared by their identity only.
_MAX_BYTES = 2**16


def kept_features(
    steps: Sequence[tuple[str, Any]], labels: Sequence[Any], walk: Callable[[], list[Feature]]
) -> list[Feature]:
    """Return ``walk()``, or what it returned for the same steps in the same state.

    A step that was fitted again, or whose parameters were set, has other objects as attributes; an array that was
    changed in place has other bytes.
    """
    if not steps or not _is_step(steps[0][1]):
        return walk()
    first = steps[0][1]
    state = [*labels, *_state([name for name, _ in steps]), *_state(vars(first)), *_state([t for _, t in steps[1:]])]
    known = _KEPT.get(first)
    if known is None or not _same(known[0], state):
        known = _KEPT[first] = state, walk()
    return list(known[1])


def _is_step(value: Any) -> bool:
    return hasattr(value, "transform") and hasattr(value, "__dict__") and not isinstance(value, type)


def _state(value: Any) -> Iterator[Any]:
    """Yield everything on which what a fitted object does depends."""
    if isinstance(value, np.ndarray):
        small = value.dtype != object and value.nbytes <= _MAX_BYTES
        yield value.tobytes() if small else value
        if value.dtype == object and value.size <= _MAX_BYTES:
            yield from value.ravel().tolist()
    elif isinstance(value, dict):
        for name, entry in value.items():
            yield name
            yield from _state(entry)
    elif isinstance(value, (list, tuple)):
        yield len(value)
        for entry in value:
            yield from _state(entry)
    elif _is_step(value):
        yield value
        yield from _state(vars(value))
    else:
        yield value


def _same(kept: list[Any], state: list[Any]) -> bool:
    if len(kept) != len(state):
        return False
    plain = (bytes, str, int, float)
    return all(a is b or (type(a) is type(b) and isinstance(a, plain) and a == b) for a, b in zip(kept, state))
