"""Tables of an experiment: those of the library, and users' files, which are identified by their content."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any, TypeAlias

import pandas as pd

from robustxai._arguments import FLAG, Choice, Each, Instance, PathName, Text, check_arguments, optional
from robustxai._files import file_name
from robustxai._table_bytes import COMPRESSED, table_bytes
from robustxai._validation import outside
from robustxai.benchmark._data_content import library_content
from robustxai.benchmark._registry import DATA
from robustxai.datasets import load_table
from robustxai.exceptions import DataNotFoundError, DataWarning, TableError

__all__ = [
    "TABLE",
    "TABLES",
    "Data",
    "UserTable",
    "announce",
    "identity",
    "is_file",
    "labels",
    "load",
    "options",
    "stem",
]

#: Endings of tables. An existing file may have any ending.
_ENDINGS = (".csv", ".tsv", ".tab", ".txt", ".data", ".dat", ".psv", ".parquet")


@dataclass(frozen=True)
class UserTable:
    """A user's file with the options of :func:`load_table`. A path alone means default options.

    Parameters
    ----------
    path : str
        The file.
    target, drop, na_values, sep, encoding, drop_unlabeled
        As in :func:`load_table`.
    """

    path: str
    target: str | None = None
    drop: tuple[str, ...] = ()
    na_values: tuple[str, ...] = ()
    sep: str | None = None
    encoding: str | None = None
    drop_unlabeled: bool = False

    _constraints = {
        "path": PathName(),
        "target": optional(Text()),
        "drop": Each(Text()),
        "na_values": Each(Instance(str)),
        "sep": optional(Text()),
        "encoding": optional(Text()),
        "drop_unlabeled": FLAG,
    }

    def __post_init__(self) -> None:
        check_arguments(self)

    def __str__(self) -> str:
        """The path, for messages."""
        return self.path


#: A name of ``DATA``, a path, or a path with options.
Data: TypeAlias = "str | UserTable"


def is_file(data: Data) -> bool:
    """Return whether `data` is a user's file rather than a name of the library."""
    if isinstance(data, UserTable):
        return True
    if data in DATA:
        return False
    return any(mark in data for mark in ("/", os.sep)) or _stem(data) != data or Path(data).expanduser().is_file()


@dataclass(frozen=True, eq=False)
class _Table(Choice):
    """The name of a data set, a path, or a path with options."""

    def fault(self, value: Any) -> type[Exception] | None:
        """As `Constraint.fault`."""
        if isinstance(value, UserTable):
            return None
        error = super().fault(value)
        return None if error is ValueError and "\0" not in value and is_file(value) else error


#: Constraints of one table, and of several.
TABLE = _Table(DATA, kind="data set", words="the name of a data set, a path or a UserTable")
TABLES = Each(TABLE, least=1)


def options(data: Data) -> dict[str, Any]:
    """Return the options of :func:`load_table` that are not at their defaults."""
    if not isinstance(data, UserTable):
        return {}
    return {name: value for name, value in asdict(data).items() if value and name != "path"}


def content(data: Data) -> str:
    """Return the digest of a file's content; empty for a table of the library, or without a file."""
    path = _path(data)
    if not is_file(data) or not path.is_file():
        return ""
    status = path.stat()
    return _hash(str(path), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _hash(path: str, time: int, size: int) -> str:
    """Hash the decompressed bytes; empty if unreadable. `time` and `size` are part of the cache key."""
    try:
        return hashlib.sha256(table_bytes(Path(path))).hexdigest()
    except TableError:  # reported when the table is read
        with suppress(OSError):
            return hashlib.sha256(Path(path).read_bytes()).hexdigest()
        return ""


def key(data: Data) -> tuple[Any, ...]:
    """Return a key that tells tables apart: name, or content and options, or the path of a missing file."""
    if not is_file(data):
        return (data,)
    return (content(data) or str(data), tuple(sorted(options(data).items())))


def identity(data: Data) -> tuple[Any, ...]:
    """Return the part of a table that results depend on: `key`, and the content of a table of the library."""
    return key(data) if is_file(data) else (data, library_content(str(data)))


def stem(data: Data) -> str:
    """Return the name of a table, or of a file without its folder and endings."""
    return _stem(str(data)) if is_file(data) else str(data)


def _stem(path: str) -> str:
    name = PurePath(path).name
    for endings in (COMPRESSED, _ENDINGS):
        ending = PurePath(name).suffix
        if ending.lower() in endings:
            name = name.removesuffix(ending)
    return name


def labels(tables: Iterable[Data]) -> dict[Data, str]:
    """Return the name of each table in results: its stem, after as many folders as make it unique.

    Two paths of the same content with the same options are one table, named after the first path.
    """
    first: dict[tuple[Any, ...], Data] = {}
    given = list(dict.fromkeys(tables))
    keys = {data: key(data) for data in given}
    for data in given:
        first.setdefault(keys[data], data)
    names = {own: _plain(stem(data)) for own, data in first.items()}
    # names of the library are reserved for its own tables
    for depth in range(1, 1 + max((len(_path(data).absolute().parts) for data in first.values()), default=0)):
        places: dict[str, set[Path | str]] = {}
        for own, data in first.items():
            places.setdefault(file_name(names[own]), set()).add(_path(data).absolute() if is_file(data) else str(data))
        for own, data in first.items():
            if len(places[file_name(names[own])]) > 1 and is_file(data):
                folders = _path(data).absolute().parent.parts[-depth:]
                names[own] = _plain("/".join([*folders, stem(data)]).replace(os.sep, "/").lstrip("/"))
    # the same file with other options
    used: dict[str, int] = {}
    for own, name in names.items():
        used[name] = used.get(name, 0) + 1
        if used[name] > 1:
            names[own] = f"{name} ({used[name]})"
    return {data: names[keys[data]] for data in given}


def _plain(text: str) -> str:
    """Return a name that UTF-8 can encode, even if the locale cannot decode the file's own name."""
    return os.fsencode(text).decode("utf-8", "replace")


def _path(data: Data) -> Path:
    return Path(str(data)).expanduser()


def load(data: Data) -> tuple[pd.DataFrame, pd.Series]:
    """Return features and labels, without the warnings of :func:`load_table`, which `announce` gives once."""
    if not is_file(data):
        return _library(DATA[str(data)], library_content(str(data)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return _file(data, content(data))


@lru_cache(maxsize=2)
def _library(read: Callable[[], Any], content: str) -> tuple[pd.DataFrame, pd.Series]:
    """Return the rows; `content` is part of the cache key."""
    return read()


@lru_cache(maxsize=2)
def _file(data: Data, content: str) -> tuple[pd.DataFrame, pd.Series]:
    """Return the rows; `content` is part of the cache key, so that a changed file is read again."""
    return load_table(str(data), **options(data), return_X_y=True)


def announce(tables: Iterable[Data]) -> None:
    """Give the warnings about every file once. If only some files are unreadable, their cells report it.

    Raises
    ------
    DataNotFoundError
        A file does not exist, or no table can be read. Nothing has started then.
    """
    tables = list(tables)
    files = [data for data in dict.fromkeys(tables) if is_file(data)]
    for data in files:
        if not _path(data).is_file():
            raise DataNotFoundError(f"There is no file {data}. Give the path of a table, or one of {', '.join(DATA)}.")
    errors: list[DataNotFoundError] = []
    names = Counter(_path(data).name for data in files)
    for data in files:
        name = _path(data).name
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                _file(data, content(data))
            except TableError as error:
                errors.append(error)
        for warning in caught:
            text = str(warning.message)
            if names[name] > 1 and text.startswith(name):  # which of them?
                text = f"{data}{text.removeprefix(name)}"
            warnings.warn(text, warning.category, stacklevel=outside())
    if errors and len(errors) == len(set(tables)):
        raise errors[0] if len(errors) == 1 else TableError("\n".join(map(str, errors)))
