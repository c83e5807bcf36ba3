"""Arrays: a numpy archive (npz) whose arrays have known types and shapes."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from robustxai._files import seal, unseal
from robustxai.datasets._base import Source, damaged

__all__ = ["ArraySource", "Arrays", "Spec", "sealed_npz", "to_npz"]

Arrays = dict[str, np.ndarray]

#: Errors of numpy, zipfile and the file system for a file that is not a readable archive. Objects, which
#: only pickle could read, are a ValueError; a broken header asks for a shape that does not fit into memory.
_UNREADABLE = (OSError, EOFError, ValueError, RuntimeError, MemoryError, SyntaxError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Spec:
    """Required type, shape and values of one array of an archive."""

    #: Abstract numpy type; ``np.integer`` allows every integer type.
    dtype: type
    #: Sizes; a name stands for a size of at least 1 that is the same wherever the name is used.
    shape: tuple[int | str, ...]
    #: Number of labels, which are 0 to ``n_values - 1``.
    n_values: int | None = None

    def __str__(self) -> str:
        """Return type and shape for an error message."""
        return f"{self.dtype.__name__} of shape ({', '.join(map(str, self.shape))})"

    def fault(self, array: np.ndarray, sizes: dict[str, int]) -> str:
        """Return what is wrong with an array, or an empty text; `sizes` are those of the arrays before it."""
        if not np.issubdtype(array.dtype, self.dtype):
            return f"should be {self} but is of type {array.dtype}"
        settled = f" with {', '.join(f'{size}={n}' for size, n in sizes.items())}" if sizes else ""
        fits = array.ndim == len(self.shape)
        for size, actual in zip(self.shape, array.shape):
            expected = sizes.setdefault(size, actual) if isinstance(size, str) else size
            fits = fits and actual == expected >= 1
        if not fits:
            return f"should be {self}{settled} but has the shape {array.shape}"
        if self.n_values is not None and (array.min() < 0 or array.max() >= self.n_values):
            return f"should hold labels from 0 to {self.n_values - 1} but has {array.min()} to {array.max()}"
        return ""


@dataclass(frozen=True, kw_only=True)
class ArraySource(Source[Arrays]):
    """Content of the stored archive of one data set, and its other sources."""

    kind: ClassVar[str] = "set of arrays"
    endings: ClassVar[tuple[str, ...]] = (".npz",)
    as_frame: ClassVar[bool] = False

    #: Arrays that are read; others in the archive are ignored.
    arrays: Mapping[str, Spec]

    @property
    def form(self) -> str:
        """Description of the stored archive."""
        return f"a numpy archive with {', '.join(f'{name} ({spec})' for name, spec in self.arrays.items())}"

    def read(self, path: Path) -> Arrays:
        """Read the arrays of a file and check them."""
        try:
            content = io.BytesIO(path.read_bytes())
            # refuses a single array and a pickle before numpy reads them
            if not zipfile.is_zipfile(content):
                raise damaged(path, "it is no numpy archive (npz)", self.advice)
            _check_seal(content, self.name)
            with np.load(content) as archive:
                arrays = {name: archive[name] for name in self.arrays if name in archive.files}
        except _UNREADABLE as error:
            reason = f"it cannot be read as a numpy archive ({type(error).__name__}: {error})"
            raise damaged(path, reason, self.advice) from error
        if reason := self.fault(arrays):
            raise damaged(path, reason, self.advice)
        return arrays

    def fault(self, arrays: Arrays) -> str:
        """Return what is wrong with the arrays, or an empty text."""
        if absent := [name for name in self.arrays if name not in arrays]:
            return f"it lacks the array(s) {', '.join(absent)}"
        sizes: dict[str, int] = {}
        for name, spec in self.arrays.items():
            if reason := spec.fault(arrays[name], sizes):
                return f"the array {name} {reason}"
        return ""


def to_npz(arrays: dict[str, Any]) -> bytes:
    """Return the archive of `arrays` as the bytes of a file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


#: Start of the comment of an archive that the library wrote; the name of the set and a checksum follow.
_SEALED = b"robustxai "


def sealed_npz(archive: bytes, name: str) -> bytes:
    """Return the archive with a comment that holds the set's name and a checksum; other programs can read it."""
    buffer = io.BytesIO(archive)
    comment = seal(_comment(name))
    with zipfile.ZipFile(buffer, "a") as file:
        file.comment = comment  # of the right length; its checksum is not yet that of the archive
    return seal(buffer.getvalue()[: len(_comment(name)) - len(comment)])


def _comment(name: str) -> bytes:
    return _SEALED + name.encode() + b" sha256 "


def _check_seal(content: io.BytesIO, name: str) -> None:
    """Raise ValueError if an archive that the library wrote was altered or holds another set."""
    with zipfile.ZipFile(content) as archive:
        comment = archive.comment
    if comment.startswith(_SEALED):
        unseal(content.getvalue())
        if not comment.startswith(_comment(name)):
            raise ValueError(f"it is of another set: {comment.decode(errors='replace')}")
