"""Digests of the content of data sets, which tell apart data of the same name."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from robustxai._fingerprint import fingerprint
from robustxai.benchmark._registry import DATA, SHIPPED
from robustxai.datasets import stored_file
from robustxai.exceptions import DataNotFoundError

__all__ = ["library_content", "stored_content"]


def library_content(name: str) -> str:
    """Return the digest of a table, by its name in ``DATA``.

    For a data set that the library loads from a file, it is the digest of the bytes. For a table that was registered at
    run time, it is the digest of the table that its function returns; the function is called once per process. Empty
    without data, and for breast cancer, which ships with scikit-learn.
    """
    if DATA[name] is not SHIPPED["DATA"].get(name):
        return _returned(DATA[name])
    return "" if name == "breast_cancer" else stored_content(name)


def stored_content(name: str) -> str:
    """Return the digest of the file of a data set of the library; empty if the file is neither here nor available."""
    try:
        path = stored_file(name)
    except DataNotFoundError:
        return ""
    if path is None:
        return ""
    status = path.stat()
    return _bytes(str(path), status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=64)
def _bytes(path: str, time: int, size: int) -> str:
    """Return the digest; `time` and `size` are part of the cache key, so that a changed file is read again."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@functools.lru_cache(maxsize=64)
def _returned(load: Callable[[], Any]) -> str:
    try:
        table = load()
    except Exception:  # the cells of this table report it
        return ""
    return fingerprint(table)
