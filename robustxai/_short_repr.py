"""One-line reprs with the changed fields, and arrays by their shape."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["short", "short_repr"]

#: Largest number of entries of an array, list or mapping that is written out.
_MOST = 6


def short_repr(record: Any) -> str:
    """Return the name of a dataclass and its fields that differ from the default, for ``__repr__ = short_repr``.

    For reading, and no key: two records whose arrays differ may have one repr.
    """
    parts = []
    for field in dataclasses.fields(record):
        value, default = getattr(record, field.name), _default(field)
        if field.repr and (default is dataclasses.MISSING or repr(value) != repr(default)):
            parts.append(f"{field.name}={short(value)}")
    return f"{type(record).__name__}({', '.join(parts)})"


def short(value: Any) -> str:
    """Return a value on one line: the shape of a long array, the first entries of a long list or mapping."""
    if isinstance(value, Mapping):
        entries = [f"{key!r}: {short(value[key])}" for key in list(value)[:_MOST]]
        return "{" + ", ".join([*entries, *_rest(value)]) + "}"
    if isinstance(value, (list, tuple)):
        entries = [short(entry) for entry in value[:_MOST]] + _rest(value)
        if isinstance(value, tuple):
            return f"({', '.join(entries)}{',' if len(value) == 1 else ''})"
        return f"[{', '.join(entries)}]"
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        if np.size(value) <= _MOST and isinstance(value, np.ndarray):
            return f"array({value.tolist()})"
        return f"{type(value).__name__} of shape {tuple(shape)}"
    return " ".join(repr(value).split())


def _rest(value: Any) -> list[str]:
    return [f"... {len(value)} in all"] if len(value) > _MOST else []


def _default(field: Any) -> Any:
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
