"""Search, storage and reading of data sets, common to tables, images and graphs.

All data come from a stored file. A file on disk is parsed as it is; a download is first converted to the form of the
stored file, so that the same checks apply to both. A kind of data set (`_table_source.py`, `_array_source.py`) is a
`Source` that reads its files.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import ClassVar, Generic, TypeAlias, TypeVar

from sklearn.datasets import fetch_openml
from sklearn.utils import Bunch

from robustxai._arguments import PathName, optional
from robustxai._files import written_at_once
from robustxai._validation import outside
from robustxai.exceptions import DataNotFoundError

__all__ = ["ENVIRONMENT_VARIABLE", "PathLike", "Source", "damaged", "fetch"]

PathLike: TypeAlias = "str | os.PathLike[str]"

#: Content of a stored file.
Content = TypeVar("Content")

#: Environment variable that names the folder of the data sets.
ENVIRONMENT_VARIABLE = "ROBUSTXAI_DATA"

#: Errors of `fetch_openml` without a network, for a missing set, and for an interrupted transfer.
_UNREACHABLE = (OSError, HTTPException, ValueError)

#: Errors of a conversion of a download with other columns, rows or types.
_UNEXPECTED = (KeyError, ValueError, TypeError, AttributeError)


@dataclass(frozen=True, kw_only=True)
class Source(Generic[Content]):
    """Stored file of one data set and its other sources; a subclass reads it."""

    #: Word for the content in error messages, and endings of its files, that of the stored file first.
    kind: ClassVar[str]
    endings: ClassVar[tuple[str, ...]]
    #: Argument of `fetch_openml`.
    as_frame: ClassVar[bool]

    name: str
    origin: str
    #: Name of the publisher's own file, which is accepted too.
    original: str | None = None
    openml_id: int | None = None
    #: Reason why there is no `openml_id`.
    no_download: str = "OpenML has no set with the same content, so there is nothing to download"

    @property
    def file_name(self) -> str:
        """Path of the stored file below a data folder."""
        return f"{self.name}/{self.name}{self.endings[0]}"

    def candidates(self, home: Path) -> Iterator[Path]:
        """Yield the paths of acceptable files, best first."""
        for name in filter(None, (*(f"{self.name}{ending}" for ending in self.endings), self.original)):
            yield home / self.name / name
            yield home / name

    @property
    def form(self) -> str:
        """Description of the content of the stored file."""
        raise NotImplementedError

    @property
    def advice(self) -> str:
        """Advice on the source of the data and the name of the file."""
        own_copy = f" {self.original} is accepted as it is, under {self.name}/{self.original}." if self.original else ""
        return f"The data come from {self.origin}.{own_copy} {self.file_name} is {self.form}."

    def read(self, path: Path) -> Content:
        """Read the content of a file; raises `damaged` for any other content."""
        raise NotImplementedError

    def from_openml(self, fetched: Bunch) -> tuple[Content, bytes]:
        """Convert a download to content and to the bytes of the stored file; raises `_UNEXPECTED` for another set."""
        raise NotImplementedError


#: Constraint on `data_home`.
HOME = optional(PathName())


def fetch(source: Source[Content], data_home: PathLike | None) -> tuple[Content, str]:
    """Return the content of a source, and the place from which it was read.

    Parameters
    ----------
    source : Source
        Data set to find.
    data_home : path-like or None
        Folder that is searched first.

    Raises
    ------
    DataNotFoundError
        If no file is found and the download fails, or if the first file found is damaged. A damaged file is never
        skipped, because the next folder might hold different data.
    """
    homes = dict(_homes(data_home))
    for home in homes.values():
        for path in source.candidates(home):
            if path.is_file():
                return source.read(path), str(path)
    return _download(source, homes)


def _homes(data_home: PathLike | None) -> Iterator[tuple[str, Path]]:
    if data_home is not None:
        yield "data_home", Path(data_home).expanduser()
    if from_environment := os.environ.get(ENVIRONMENT_VARIABLE):
        yield ENVIRONMENT_VARIABLE, Path(from_environment).expanduser()
    yield "cache", Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "robustxai"


def damaged(path: object, reason: str, advice: str) -> DataNotFoundError:
    """Return the error for a file that exists but is damaged."""
    return DataNotFoundError(f"{path} is damaged: {reason}. Correct it or replace it by a good copy. {advice}")


def _download(source: Source[Content], homes: dict[str, Path]) -> tuple[Content, str]:
    if source.openml_id is None:
        raise _not_found(source, homes, source.no_download)
    place = f"OpenML data set {source.openml_id}"
    try:
        fetched = fetch_openml(data_id=source.openml_id, as_frame=source.as_frame, cache=False)
    except _UNREACHABLE as error:
        raise _not_found(source, homes, f"The download of {place} failed ({error})") from error
    try:
        content, stored = source.from_openml(fetched)
    except _UNEXPECTED as error:
        raise _not_found(source, homes, f"{place} is not the expected {source.kind} ({error})") from error
    path = homes["cache"] / source.file_name
    try:
        with written_at_once(path) as file:
            file.write(stored)
    except OSError as error:
        message = f"The download could not be kept in {path} ({error}); it will be repeated."
        warnings.warn(message, stacklevel=outside())
        return content, place
    return content, str(path)


def _not_found(source: Source[Content], homes: dict[str, Path], reason: str) -> DataNotFoundError:
    places = ", ".join(f"{home} ({label})" for label, home in homes.items())
    return DataNotFoundError(
        f"The {source.name} data are not on this machine: no {source.file_name} in {places}. {reason}. Put the file "
        f"in one of these folders, or set the environment variable {ENVIRONMENT_VARIABLE} to the folder that holds "
        f"{source.file_name}. {source.advice}"
    )
