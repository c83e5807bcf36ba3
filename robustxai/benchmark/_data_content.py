"""What tells the data sets of the library, or those registered in their place, from others of the same name."""

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
    """Digest of a table, by its name in ``DATA``.

    Of a data set that the library loads from a file, it is that of the bytes; of a table that was registered at run
    time, that of what its function returns, which is asked once in a process. Empty where there are no data, and for
    breast cancer, which comes with scikit-learn.
    """
    if DATA[name] is not SHIPPED["DATA"].get(name):
        return _returned(DATA[name])
    return "" if name == "breast_cancer" else stored_content(name)


def stored_content(name: str) -> str:
    """Digest of the file of a data set that the library knows; empty where there is none and none can be had."""
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
    """The digest; `time` and `size` are there for the cache, which must not answer for a file that has changed."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@functools.lru_cache(maxsize=64)
def _returned(load: Callable[[], Any]) -> str:
    try:
        table = load()
    except Exception:  # of any kind: its cells will tell
        return ""
    return fingerprint(table)
