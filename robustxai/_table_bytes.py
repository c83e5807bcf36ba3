"""The bytes of a user's file, decompressed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from robustxai.exceptions import TableError

__all__ = ["COMPRESSED", "table_bytes"]

_OPENERS: dict[str, Callable[..., bytes]] = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}
#: Endings of files that are decompressed.
COMPRESSED = (*_OPENERS, ".zip")
#: Errors of the openers and of the file system.
_UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError, ValueError)


def table_bytes(path: Path) -> bytes:
    """Return the content of a file, decompressed according to its ending; raise TableError if it cannot be read."""
    try:
        raw = path.read_bytes()
        ending = path.suffix.lower()
        if ending == ".zip":
            with zipfile.ZipFile(path) as archive:
                members = [name for name in archive.namelist() if not name.endswith("/") and "__MACOSX" not in name]
                if len(members) != 1:
                    raise TableError(
                        f"{path} cannot be read as a table: the archive holds {len(members)} files, {members[:5]}. "
                        "Extract the one that is meant and give its path."
                    )
                return archive.read(members[0])
        return _OPENERS[ending](raw) if ending in _OPENERS else raw
    except TableError:
        raise
    except _UNREADABLE as error:
        raise TableError(
            f"{path} cannot be read ({type(error).__name__}: {error}). Check its permissions, and that its ending "
            "says how it is compressed."
        ) from error
