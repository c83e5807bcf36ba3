"""Files that are there as a whole or not at all, and text in UTF-8 on every machine."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

__all__ = ["file_name", "write_csv", "write_text", "written_at_once"]


@contextmanager
def written_at_once(path: str | Path, mode: str = "wb") -> Iterator[IO[Any]]:
    r"""A file to write to in the block, which takes the place of `path` when the block ends without an error.

    A reader, or a second process that writes the same, sees the whole file, the one before, or none. Folders are made.
    A link stays a link: what it points to is replaced. Permissions are those that the umask gives to a new file.

    Parameters
    ----------
    path : path-like
        The file.
    mode : {"wb", "w"}, default="wb"
        Text is UTF-8 with "\n" as it stands, whatever the locale and the system are.
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{uuid.uuid4().hex}.part"
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    # not tempfile.mkstemp, whose files nobody else may read; the kernel takes the umask off these permissions
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(handle, mode, **text) as file:
            yield file
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write a text file at once."""
    with written_at_once(path, "w") as file:
        file.write(text)


def write_csv(frame: Any, path: str | Path) -> None:
    """Write a DataFrame at once as comma-separated text, without its index, with six significant digits."""
    with written_at_once(path, "w") as file:
        frame.to_csv(file, index=False, float_format="%.6g", lineterminator="\n")


def file_name(text: str) -> str:
    """A text as part of a file name: without separators of folders, and in the encoding of the file system."""
    plain = text.replace("/", "--").replace("\\", "--")
    return os.fsdecode(plain.encode("utf-8", "surrogateescape"))
