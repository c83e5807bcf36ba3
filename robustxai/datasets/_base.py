"""How a data set is found, kept and handed over; the same for tables, images and graphs.

The one way in is a stored file: a file on disk is parsed as it is, a download is first brought into the form of the
file. So whatever the origin, the same checks follow. A kind of data set (`_table_source.py`, `_array_source.py`) is a
`Source` that says how its files are read.
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

#: What a stored file holds, once it is read.
Content = TypeVar("Content")

#: Names the folder that holds the data sets.
ENVIRONMENT_VARIABLE = "ROBUSTXAI_DATA"

#: What `fetch_openml` raises without a network, without the set, and for a transfer that breaks off.
_UNREACHABLE = (OSError, HTTPException, ValueError)

#: What a conversion raises for a download with other columns, rows or types.
_UNEXPECTED = (KeyError, ValueError, TypeError, AttributeError)


@dataclass(frozen=True, kw_only=True)
class Source(Generic[Content]):
    """Where the stored file of one data set lies, and where else it can be had; a subclass says how it is read."""

    #: What the error messages call the content, and the endings of the files that hold it, the stored one's first.
    kind: ClassVar[str]
    endings: ClassVar[tuple[str, ...]]
    #: What `fetch_openml` is asked for.
    as_frame: ClassVar[bool]

    name: str
    origin: str
    #: The publisher's own file, which is accepted too.
    original: str | None = None
    openml_id: int | None = None
    #: Why there is no `openml_id`.
    no_download: str = "OpenML has no set with the same content, so there is nothing to download"

    @property
    def file_name(self) -> str:
        """Where the stored file lies below a data folder."""
        return f"{self.name}/{self.name}{self.endings[0]}"

    def candidates(self, home: Path) -> Iterator[Path]:
        """The files that would do, best first."""
        for name in filter(None, (*(f"{self.name}{ending}" for ending in self.endings), self.original)):
            yield home / self.name / name
            yield home / name

    @property
    def form(self) -> str:
        """The content of the stored file in words."""
        raise NotImplementedError

    @property
    def advice(self) -> str:
        """Where to get the data, and under which name to put it."""
        own_copy = f" {self.original} is accepted as it is, under {self.name}/{self.original}." if self.original else ""
        return f"The data come from {self.origin}.{own_copy} {self.file_name} is {self.form}."

    def read(self, path: Path) -> Content:
        """The content of a file; raises `damaged` for anything else."""
        raise NotImplementedError

    def from_openml(self, fetched: Bunch) -> tuple[Content, bytes]:
        """A download as content and as the bytes of the stored file; raises one of `_UNEXPECTED` for another set."""
        raise NotImplementedError


#: Constraint on `data_home`.
HOME = optional(PathName())


def fetch(source: Source[Content], data_home: PathLike | None) -> tuple[Content, str]:
    """The content of a source, and the place it was read from.

    Parameters
    ----------
    source : Source
        What is looked for.
    data_home : path-like or None
        Folder to look in first.

    Raises
    ------
    DataNotFoundError
        If no file is found and the download fails, or if the first file found is damaged. A damaged file is never
        passed over in silence: the next folder might hold different data.
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
    """The error for a file that is there and is not what it should be."""
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
