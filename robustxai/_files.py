"""Files that are there as a whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

__all__ = ["written_at_once"]


@contextmanager
def written_at_once(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """A file to write to in the block, which takes the place of `path` when the block ends without an error.

    A reader, or a second process that writes the same, sees the whole file, the one before, or none. Folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, mode) as file:
            yield file
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
