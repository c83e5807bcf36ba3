"""Atomic file writes, checksums, and UTF-8 text on every machine."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from robustxai.exceptions import AlteredFileError

__all__ = [
    "check_place",
    "file_name",
    "read_sealed",
    "seal",
    "unseal",
    "write_csv",
    "write_sealed",
    "write_text",
    "written_at_once",
]

#: Errors of file systems without fsync.
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)
#: Number of hexadecimal digits of a checksum.
_LENGTH = hashlib.sha256().digest_size * 2


@contextmanager
def written_at_once(path: str | Path, mode: str = "wb", *, lasting: bool = True) -> Iterator[IO[Any]]:
    r"""A file to write to in the block, which takes the place of `path` when the block ends without an error.

    A reader, or a second process that writes the same, sees the whole file, the one before, or none, also after a
    full disk, a kill or a power failure. Folders are made. A link stays a link: what it points to is replaced.
    Permissions are those that the umask gives to a new file.

    Parameters
    ----------
    path : path-like
        The file.
    mode : {"wb", "w"}, default="wb"
        Text is UTF-8 with "\n" as it stands, whatever the locale and the system are.
    lasting : bool, default=True
        Whether it must survive a power failure, which takes milliseconds; temporary files need not.

    Raises
    ------
    OSError
        The file cannot be written; the error names it, and nothing else is left behind.
    """
    path = Path(os.path.realpath(path))
    check_place(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{uuid.uuid4().hex}.part"
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    try:
        # not tempfile.mkstemp, whose files nobody else may read; the kernel takes the umask off these permissions
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0), 0o666)
        try:
            with os.fdopen(handle, mode, **text) as file:
                yield file
                file.flush()
                if lasting:
                    _to_disk(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise  # of the block, about something else
        reason = f"{error.strerror}; this could not be written, and what was there before is untouched"
        raise OSError(error.errno, reason, str(path)) from error


def check_place(path: Path) -> None:
    """Raise OSError for anything but a regular file; reading a pipe would block."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "A folder is in the place of a file; move it away", str(path))
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "Something else is in the place of a file; move it away", str(path))


def _to_disk(handle: int) -> None:
    """Flush the content to disk before the rename; some file systems report a full quota only here."""
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically."""
    with written_at_once(path, "w") as file:
        file.write(text)


def write_csv(frame: Any, path: str | Path) -> None:
    """Write a DataFrame atomically as comma-separated text, without its index, with six significant digits."""
    with written_at_once(path, "w") as file:
        frame.to_csv(file, index=False, float_format="%.6g", lineterminator="\n")


def seal(head: bytes, tail: bytes = b"") -> bytes:
    """Return the content of a file with a SHA-256 checksum between `head` and `tail`, which detects any change.

    It guards against accidents (disks, transfers, edits, files that were mixed up), not against a person who writes a
    new checksum.
    """
    return head + hashlib.sha256(head).hexdigest().encode() + tail


def unseal(raw: bytes, tail: bytes = b"") -> bytes:
    """Return the `head` of content made by :func:`seal`; ValueError with the reason if the content differs."""
    end = len(raw) - len(tail)
    head, digest = raw[: max(end - _LENGTH, 0)], raw[max(end - _LENGTH, 0) : max(end, 0)]
    if raw[max(end, 0) :] != tail or not re.fullmatch(rb"[0-9a-f]{%d}" % _LENGTH, digest):
        raise ValueError("it does not end in a checksum: it was cut or altered, or an older version wrote it")
    if hashlib.sha256(head).hexdigest().encode() != digest:
        raise ValueError("its checksum does not fit its content: it was altered")
    return head


def write_sealed(path: str | Path, content: bytes, name: str, *, lasting: bool = True) -> None:
    """Write bytes atomically for :func:`read_sealed`, with the name of the object that they belong to."""
    with written_at_once(path, lasting=lasting) as file:
        file.write(seal(content + _named(name)))


def read_sealed(path: str | Path, name: str, advice: str) -> bytes:
    """Return the bytes that :func:`write_sealed` wrote for `name`.

    Parameters
    ----------
    path : path-like
        The file.
    name : str
        What the content must belong to.
    advice : str
        A sentence that says what to do with a file that is refused.

    Raises
    ------
    AlteredFileError
        The file was altered or cut, belongs to something else, or cannot be read; the message names it.
    FileNotFoundError
        There is none.
    """
    try:
        check_place(path := Path(path))
        head = unseal(path.read_bytes())
        if not head.endswith(_named(name)):
            raise ValueError("it belongs to something else")
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        raise AlteredFileError(f"{path} cannot be used: {reason}. {advice}") from error
    return head.removesuffix(_named(name))


def _named(name: str) -> bytes:
    return f"\n{name} sha256 ".encode()


def file_name(text: str) -> str:
    """Return a text as part of a file name: without path separators, in the encoding of the file system."""
    plain = text.replace("/", "--").replace("\\", "--")
    return os.fsdecode(plain.encode("utf-8", "surrogateescape"))
