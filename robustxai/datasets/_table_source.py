"""Tables: a csv file with a header row, as a DataFrame whose columns are checked."""

from __future__ import annotations

import gzip
import io
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from sklearn.utils import Bunch

from robustxai.datasets._base import Source, damaged

__all__ = ["TableSource", "as_bunch", "as_categories", "read_csv"]

#: Errors of pandas, gzip and the file system for a file that is not readable csv.
_UNREADABLE = (OSError, EOFError, zlib.error, ValueError)


def _unchanged(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


@dataclass(frozen=True, kw_only=True)
class TableSource(Source[pd.DataFrame]):
    """Content of the stored table of one data set, and its other sources."""

    kind: ClassVar[str] = "table"
    endings: ClassVar[tuple[str, ...]] = (".csv.gz", ".csv")
    as_frame: ClassVar[bool] = True

    #: Feature columns in the returned order.
    features: tuple[str, ...]
    #: Columns of numbers; the other features are categories.
    numeric: tuple[str, ...]
    target: str
    #: Values of the label in the file, as text.
    labels: tuple[str, ...]
    #: Required of a download only; a smaller file on disk is accepted.
    n_rows: int
    missing_mark: str = ""
    #: Columns that the preparation needs (a split, a filter) and that are not features.
    extra: tuple[str, ...] = ()
    original_separator: str = ","
    #: Conversion of the publisher's or OpenML's columns to those of the stored file.
    convert: Callable[[pd.DataFrame], pd.DataFrame] = _unchanged

    @property
    def columns(self) -> list[str]:
        """Columns of the stored file that are read."""
        return [*self.features, *self.extra, self.target]

    @property
    def form(self) -> str:
        """Description of the stored table."""
        return f"a comma-separated table with the columns {', '.join(self.columns)}"

    def read(self, path: Path) -> pd.DataFrame:
        """Read the table of a file, with the columns `columns`."""
        is_original = path.name == self.original
        separator = self.original_separator if is_original else ","
        frame = read_csv(path, self.advice, sep=separator, na_values=[self.missing_mark])
        if is_original:
            try:
                frame = self.convert(frame)
            except (KeyError, ValueError, TypeError) as error:
                raise damaged(path, f"it is not the published table ({error})", self.advice) from error
        if reason := self._fault(frame):
            raise damaged(path, reason, self.advice)
        return frame[self.columns].copy()

    def from_openml(self, fetched: Bunch) -> tuple[pd.DataFrame, bytes]:
        """Convert a download to a table, through the csv text that is stored."""
        text = self.convert(fetched.frame).to_csv(index=False, na_rep=self.missing_mark)
        frame = pd.read_csv(io.StringIO(text), na_values=[self.missing_mark], low_memory=False)
        if reason := self._fault(frame):
            raise ValueError(reason)
        if len(frame) != self.n_rows:
            raise ValueError(f"it has {len(frame)} rows instead of {self.n_rows}")
        return frame[self.columns].copy(), gzip.compress(text.encode(), mtime=0)

    def _fault(self, frame: pd.DataFrame) -> str:
        """Return what is wrong with a table, or an empty text."""
        if absent := [column for column in self.columns if column not in frame.columns]:
            return f"the header lacks the column(s) {', '.join(absent)}"
        if text := [column for column in self.numeric if not pd.api.types.is_numeric_dtype(frame[column])]:
            return f"the column(s) {', '.join(text)} should hold numbers but hold text"
        labels = set(frame[self.target].map(str))
        if not labels <= set(self.labels):
            strange = sorted(labels - set(self.labels))
            return f"the label {self.target!r} should be one of {list(self.labels)}, found {strange[:3]}"
        return ""


def read_csv(path: Path, advice: str, **options: Any) -> pd.DataFrame:
    """Call ``pandas.read_csv``; any failure or an empty table is a DataNotFoundError that names the file."""
    try:
        with warnings.catch_warnings():
            # if rows are longer than the header, pandas would silently use their first field as an index, and
            # shift the names of all columns
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(path, low_memory=False, index_col=False, **options)
    except pd.errors.ParserWarning as warning:
        raise damaged(path, "its rows have more fields than its header", advice) from warning
    except _UNREADABLE as error:
        raise damaged(path, f"it cannot be read as csv ({type(error).__name__}: {error})", advice) from error
    if frame.empty:
        raise damaged(path, "it has a header but no rows", advice)
    return frame


def as_categories(frame: pd.DataFrame) -> pd.DataFrame:
    """Return `frame` with all columns that hold no numbers, the label included, as pandas categories."""
    texts = [column for column in frame.columns if not pd.api.types.is_numeric_dtype(frame[column])]
    return frame.astype(dict.fromkeys(texts, "category"))


def as_bunch(frame: pd.DataFrame, target: str, *, descr: str, filename: str, return_X_y: bool) -> Any:
    """Return ``(X, y)``, or a Bunch as scikit-learn's loaders do; `target` is the label's column in `frame`."""
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
