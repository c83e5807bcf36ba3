"""File of a finished cell: its row as JSON, with the cell's name and a checksum of all bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from robustxai._files import seal, unseal
from robustxai.exceptions import AlteredFileError

__all__ = ["check_row", "read_row", "sealed_row"]

#: Keys beside the row: the name of the cell, and the SHA-256 of all bytes before it.
_NAME, _CHECKSUM = "sealed_as", "sha256"
_TAIL = b'"}'


def check_row(row: Any, may_be_infinite: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the row as it will be read back from its file.

    Parameters
    ----------
    row : dict
        Result of a cell: a flat dict that JSON can hold; NumPy numbers are accepted. NaN means that a metric does not
        exist.
    may_be_infinite : tuple of str
        Keys whose value may be infinite.

    Raises
    ------
    TypeError
        The row is not a dict with text keys, or JSON cannot hold it.
    ValueError
        A number is infinite under another key, or a key is reserved for the file.
    """
    if not isinstance(row, dict) or not all(isinstance(key, str) for key in row):
        raise TypeError(
            f"What runs a cell must return a dict whose keys are texts, got {type(row).__name__}. Return one."
        )
    if taken := {_NAME, _CHECKSUM} & row.keys():
        raise ValueError(f"A row cannot have the key {taken.pop()!r}, which its file uses. Give it another name.")
    try:
        plain: dict[str, Any] = json.loads(json.dumps(row, default=_plain))
    except (TypeError, ValueError) as error:
        raise TypeError(f"The row of a cell must hold what JSON can: {error}. Return numbers and texts.") from error
    for key, value in plain.items():
        if key not in may_be_infinite and any(map(math.isinf, _numbers(value))):
            raise ValueError(
                f"{key} is infinite, which is no result. Where it can be one, name it in may_be_infinite of the cell's "
                "class; a metric that does not exist is NaN."
            )
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is none of its types")


def _numbers(value: Any) -> Iterator[float]:
    """Yield the numbers in a value that was read from JSON."""
    if isinstance(value, float):
        yield value
    elif isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _numbers(part)


def sealed_row(row: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a checked row with the name of its cell and the checksum, ready for ``json.dump``."""
    head = json.dumps({**row, _NAME: name, _CHECKSUM: ""}).encode().removesuffix(_TAIL)
    return json.loads(seal(head, _TAIL))


def read_row(path: Path, may_be_infinite: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read the row of a finished cell.

    Raises
    ------
    AlteredFileError
        The file was altered or truncated, or holds the row of another cell. The message is a part of a sentence.
    FileNotFoundError
        There is no such file.
    """
    try:
        row = json.loads(unseal(path.read_bytes(), _TAIL) + _TAIL)
        del row[_CHECKSUM]
        if (name := row.pop(_NAME)) != path.name:
            raise ValueError(f"it holds the result of {name}")
        return check_row(row, may_be_infinite)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise AlteredFileError(f"it cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise AlteredFileError(str(error)) from error
