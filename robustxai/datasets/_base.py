"""How a data set is found, read, checked and handed over; the same for every set.

The one way in is a csv text: a file on disk is parsed as it is, a download is first written in the form of the file.
So whatever the origin, the same parsing and the same checks follow.
"""

from __future__ import annotations

import gzip
import io
import os
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
from sklearn.datasets import fetch_openml
from sklearn.utils import Bunch

from robustxai.exceptions import DataNotFoundError

__all__ = ["ENVIRONMENT_VARIABLE", "PathLike", "Source", "as_bunch", "as_categories", "fetch", "read_csv"]

PathLike: TypeAlias = "str | os.PathLike[str]"

#: Names the folder that holds the data sets.
ENVIRONMENT_VARIABLE = "ROBUSTXAI_DATA"

#: Everything that pandas, gzip and the file system raise for a file that is not a readable csv.
_UNREADABLE = (OSError, EOFError, zlib.error, ValueError)

#: What `fetch_openml` raises without a network, without the set, and for a transfer that breaks off.
_UNREACHABLE = (OSError, HTTPException, ValueError)


def _unchanged(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


@dataclass(frozen=True)
class Source:
    """What the stored file of one data set contains, and where else it can be had."""

    name: str
    #: In the order in which they are returned.
    features: tuple[str, ...]
    #: The columns that must hold numbers; the other features are categories.
    numeric: tuple[str, ...]
    target: str
    #: The values of the label in the file, as text.
    labels: tuple[str, ...]
    #: Asked of a download only: a smaller file that someone put in place is taken as it is.
    n_rows: int
    origin: str
    missing_mark: str = ""
    #: Columns that steer the preparation (a split, a filter) and are never features.
    extra: tuple[str, ...] = ()
    #: The publisher's own file, which is accepted too, and its separator.
    original: str | None = None
    original_separator: str = ","
    openml_id: int | None = None
    #: From the publisher's or OpenML's columns to those of the stored file.
    convert: Callable[[pd.DataFrame], pd.DataFrame] = _unchanged

    @property
    def columns(self) -> list[str]:
        """The columns of the stored file that are read."""
        return [*self.features, *self.extra, self.target]

    @property
    def file_name(self) -> str:
        """Where the stored file lies below a data folder."""
        return f"{self.name}/{self.name}.csv.gz"

    def candidates(self, home: Path) -> Iterator[Path]:
        """The files that would do, best first."""
        for name in filter(None, (f"{self.name}.csv.gz", f"{self.name}.csv", self.original)):
            yield home / self.name / name
            yield home / name

    @property
    def advice(self) -> str:
        """Where to get the data, and under which name to put it."""
        own_copy = f" {self.original} is accepted as it is, under {self.name}/{self.original}." if self.original else ""
        form = f"{self.file_name} is a comma-separated table with the columns {', '.join(self.columns)}"
        return f"The data come from {self.origin}.{own_copy} {form}."


def fetch(source: Source, data_home: PathLike | None) -> tuple[pd.DataFrame, str]:
    """The table of a source with the columns of `Source.columns`, and the place it was read from.

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
                return _read(source, path), str(path)
    return _download(source, homes)


def _homes(data_home: PathLike | None) -> Iterator[tuple[str, Path]]:
    if data_home is not None:
        yield "data_home", Path(data_home).expanduser()
    if from_environment := os.environ.get(ENVIRONMENT_VARIABLE):
        yield ENVIRONMENT_VARIABLE, Path(from_environment).expanduser()
    yield "cache", Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "robustxai"


def read_csv(path: Path, advice: str, **options: Any) -> pd.DataFrame:
    """``pandas.read_csv`` whose every failure, and an empty table, is a DataNotFoundError that names the file."""
    try:
        with warnings.catch_warnings():
            # rows longer than the header: by default their first field would silently become an index, and every
            # column would stand under the wrong name
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(path, low_memory=False, index_col=False, **options)
    except pd.errors.ParserWarning as warning:
        raise _damaged(path, "its rows have more fields than its header", advice) from warning
    except _UNREADABLE as error:
        raise _damaged(path, f"it cannot be read as csv ({type(error).__name__}: {error})", advice) from error
    if frame.empty:
        raise _damaged(path, "it has a header but no rows", advice)
    return frame


def _damaged(path: object, reason: str, advice: str) -> DataNotFoundError:
    return DataNotFoundError(f"{path} is damaged: {reason}. Delete it or replace it by a good copy. {advice}")


def _read(source: Source, path: Path) -> pd.DataFrame:
    is_original = path.name == source.original
    separator = source.original_separator if is_original else ","
    frame = read_csv(path, source.advice, sep=separator, na_values=[source.missing_mark])
    if is_original:
        try:
            frame = source.convert(frame)
        except (KeyError, ValueError, TypeError) as error:
            raise _damaged(path, f"it is not the published table ({error})", source.advice) from error
    if reason := _fault(source, frame):
        raise _damaged(path, reason, source.advice)
    return frame[source.columns].copy()


def _fault(source: Source, frame: pd.DataFrame) -> str:
    """What is wrong with a table, in words; empty if nothing is."""
    if absent := [column for column in source.columns if column not in frame.columns]:
        return f"the header lacks the column(s) {', '.join(absent)}"
    if text := [column for column in source.numeric if not pd.api.types.is_numeric_dtype(frame[column])]:
        return f"the column(s) {', '.join(text)} should hold numbers but hold text"
    labels = set(frame[source.target].map(str))
    if not labels <= set(source.labels):
        strange = sorted(labels - set(source.labels))
        return f"the label {source.target!r} should be one of {list(source.labels)}, found {strange[:3]}"
    return ""


def _download(source: Source, homes: dict[str, Path]) -> tuple[pd.DataFrame, str]:
    if source.openml_id is None:
        raise _not_found(source, homes, "OpenML has no set with the same content, so there is nothing to download")
    place = f"OpenML data set {source.openml_id}"
    try:
        fetched = fetch_openml(data_id=source.openml_id, as_frame=True, cache=False)
    except _UNREACHABLE as error:
        raise _not_found(source, homes, f"The download of {place} failed ({error})") from error
    try:
        text = source.convert(fetched.frame).to_csv(index=False, na_rep=source.missing_mark)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise _not_found(source, homes, f"{place} is not the expected table ({error})") from error
    frame = pd.read_csv(io.StringIO(text), na_values=[source.missing_mark], low_memory=False)
    reason = _fault(source, frame)
    if not reason and len(frame) != source.n_rows:
        reason = f"it has {len(frame)} rows instead of {source.n_rows}"
    if reason:
        raise _not_found(source, homes, f"{place} is not the expected table: {reason}")
    path = homes["cache"] / source.file_name
    try:
        _write_atomically(path, gzip.compress(text.encode(), mtime=0))
    except OSError as error:
        warnings.warn(f"The download could not be kept in {path} ({error}); it will be repeated.", stacklevel=4)
        return frame[source.columns].copy(), place
    return frame[source.columns].copy(), str(path)


def _write_atomically(path: Path, content: bytes) -> None:
    """A reader, or a second process that downloads the same set, sees the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _not_found(source: Source, homes: dict[str, Path], reason: str) -> DataNotFoundError:
    places = ", ".join(f"{home} ({label})" for label, home in homes.items())
    return DataNotFoundError(
        f"The {source.name} data are not on this machine: no {source.file_name} in {places}. {reason}. Put the file "
        f"in one of these folders, or set the environment variable {ENVIRONMENT_VARIABLE} to the folder that holds "
        f"{source.file_name}. {source.advice}"
    )


def as_categories(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` with every column that holds no numbers, the label included, as a pandas category."""
    texts = [column for column in frame.columns if not pd.api.types.is_numeric_dtype(frame[column])]
    return frame.astype(dict.fromkeys(texts, "category"))


def as_bunch(frame: pd.DataFrame, target: str, *, descr: str, filename: str, return_X_y: bool) -> Any:
    """``(X, y)``, or the Bunch that scikit-learn's own loaders return; `target` is the label's column in `frame`."""
    data, labels = frame.drop(columns=target), frame[target]
    if return_X_y:
        return data, labels
    categorical = isinstance(labels.dtype, pd.CategoricalDtype)
    names = list(labels.cat.categories) if categorical else sorted(labels.unique().tolist())
    return Bunch(
        data=data,
        target=labels,
        frame=frame,
        feature_names=list(data.columns),
        target_names=names,
        DESCR=descr,
        filename=filename,
    )
