"""Types of the columns of a user's file: numbers, dates, booleans or categories."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from robustxai.datasets._dialect import TextTable
from robustxai.datasets._file_text import Say
from robustxai.datasets._numbers import INFINITE, MISSING, MISSING_NUMBER, is_number, read_dates, read_numbers
from robustxai.datasets._preparation import is_different_in_most_rows
from robustxai.exceptions import TableError

__all__ = ["Seen", "is_gap_mark", "read_amounts", "typed"]

#: Number of rows up to which a partly numeric column is a category.
_FEW = 20
#: Number of levels above which a message reports them.
_MANY_LEVELS = 50
_BOOLEAN = {text: text.lower() == "true" for text in ("True", "False", "TRUE", "FALSE", "true", "false")}
#: Numeric codes of missing values in surveys and old files.
_CODES = (-1, -7, -8, -9, -77, -88, -99, -777, -888, -999, -9999, -99999, 99, 999, 9999, 99999, 999999)
#: Mean number of characters from which a column is running text.
_RUNNING = 40


@dataclass
class Seen:
    """Messages about columns; equal messages about several columns are merged."""

    columns: dict[str, list[str]] = field(default_factory=dict)

    def add(self, sentence: str, column: str, detail: str = "") -> None:
        """Add a sentence that contains ``{columns}``."""
        self.columns.setdefault(sentence, []).append(f"{column!r}{detail}")

    def tell(self, say: Say) -> None:
        """Report all messages."""
        for sentence, columns in self.columns.items():
            shown = ", ".join(columns[:5]) + (f" and {len(columns) - 5} more" if len(columns) > 5 else "")
            say(sentence.replace("{columns}", shown))


def typed(
    path: Path, table: TextTable, target: str | None, na_values: Mapping[str | None, Sequence[str]], seen: Seen
) -> pd.DataFrame:
    """Return the columns of a table with the dtypes that ``pandas.read_csv`` gives for a plain file.

    Parameters
    ----------
    path : Path
        For messages.
    table : TextTable
        The table.
    target : str or None
        The label: it may hold what a feature may not, and is judged elsewhere.
    na_values : mapping of str or None to sequence of str
        What stands for missing, in one column or (under None) in all.
    seen : Seen
        Takes what was seen.

    Raises
    ------
    TableError
        A column of numbers or dates that holds something else, an infinite number, or an identifier.
    """
    default = _decimal_sign(table)
    columns: dict[str, Any] = {}
    for name, texts in zip(table.names, table.columns):
        own = [*na_values.get(None, ()), *na_values.get(name, ())]
        column = _Column(path, name, texts, table.lines, name == target, seen, name in table.words)
        columns[name] = column.typed(own, default)
    return pd.DataFrame(columns)


def read_amounts(path: Path, table: TextTable, name: str, na_values: Sequence[str], seen: Seen) -> Any:
    """Return a column that is known to hold numbers or dates, as :func:`typed` reads them.

    Raises
    ------
    TableError
        A field that holds something else.
    """
    texts = table.columns[table.names.index(name)]
    column = _Column(path, name, texts, table.lines, False, seen, is_known=True)
    found = column.amounts(na_values, _decimal_sign(table))
    if found is None:
        gaps = [*MISSING_NUMBER, *na_values]
        row = next(
            (
                place
                for place, text in enumerate(texts)
                if not is_number(text) and not is_gap_mark(text.strip(), na_values) and text.strip().lower() not in gaps
            ),
            0,
        )
        raise TableError(
            f"{path}: {texts[row].strip()[:60]!r} in row {row + 1} (line {table.lines[row]}) of {name!r} is no number, "
            "and the model knows the column as one of numbers. Correct it, or read it as missing (na_values=, "
            "--na-values)."
        )
    return found


def is_gap_mark(word: str, na_values: Sequence[str]) -> bool:
    """Return whether a word marks a gap in any column, or in one with marks of its own."""
    return word in MISSING or word in na_values


def _decimal_sign(table: TextTable) -> str:
    """Return the decimal sign of the file: a comma where a column requires it, or where ";" separates fields."""
    if table.sep == ",":
        return "."
    for texts in table.columns:
        some = {text.strip() for text in texts[:2000]}
        if any(re.fullmatch(r"[-+]?(\d+,\d{1,2}|\d+,\d{4,}|0,\d+|\d{1,3}(\.\d{3})+,\d+)", text) for text in some):
            return ","
    return "," if table.sep == ";" else "."


@dataclass
class _Column:
    path: Path
    name: str
    texts: list[str]
    lines: list[int]
    is_label: bool
    seen: Seen
    is_text: bool = False
    is_known: bool = False

    def typed(self, na_values: Iterable[str], default: str) -> Any:
        codes, values = pd.factorize(np.array([text.strip() for text in self.texts], dtype=object))
        words = [str(value) for value in values]
        missing = self._missing(words, list(na_values))
        gaps = missing[codes]
        kept = [word for word, gone in zip(words, missing) if not gone]
        if not kept:
            if not self.is_label:
                self.seen.add(
                    "There is no value in any row of {columns}; drop= (--drop) leaves columns out.", self.name
                )
            return np.full(len(codes), np.nan)
        if len(kept) == 1 and not gaps.any() and not self.is_label:
            self.seen.add("There is one value in all rows of {columns}; drop= (--drop) leaves columns out.", self.name)
        if all(word in _BOOLEAN for word in kept):
            return self._filled(codes, words, missing, _BOOLEAN)
        for read in (self._as_dates,) if self.is_text else (self._as_numbers, self._as_dates):
            if (found := read(codes, words, missing, default)) is not None:
                return found
        if not self.is_text:
            self._refuse_mixtures(codes, words, missing)
        return self._as_category(codes, words, missing)

    def amounts(self, na_values: Iterable[str], default: str) -> Any:
        """Return numbers, or the days of dates; None where a field is neither."""
        codes, values = pd.factorize(np.array([text.strip() for text in self.texts], dtype=object))
        words = [str(value) for value in values]
        missing = self._missing(words, list(na_values))
        gone = missing | np.array([word.lower() in MISSING_NUMBER for word in words])
        if gone.all():
            return np.full(len(codes), np.nan)
        found = self._as_numbers(codes, words, missing, default)
        return self._as_dates(codes, words, missing, default) if found is None else found

    def _missing(self, words: list[str], na_values: list[str]) -> np.ndarray:
        """Return the words that mark missing values."""
        numbers = {float(value) for value in na_values if re.fullmatch(r"[-+]?\d+(\.\d*)?", value)}
        missing = np.array([
            word in MISSING or word in na_values
            or (bool(numbers) and bool(re.fullmatch(r"[-+]?\d+(\.\d*)?", word)) and float(word) in numbers)
            for word in words
        ])  # fmt: skip
        if "?" in words:
            self._say_missing(["?"])
        return missing

    def _say_missing(self, words: Iterable[str]) -> None:
        for word in words:
            rows = sum(text.strip() == word for text in self.texts)
            self.seen.add(f"{word!r} is read as missing in {{columns}}.", self.name, f" ({rows} row{'s' * (rows > 1)})")

    def _filled(self, codes: np.ndarray, words: list[str], missing: np.ndarray, meaning: Mapping[str, Any]) -> Any:
        """Return the value of every row; without gaps in the dtype of the values."""
        values = np.array([None if gone else meaning[word] for word, gone in zip(words, missing)], dtype=object)[codes]
        if missing.any():
            return pd.Series(values).where(pd.Series(values).notna(), np.nan)
        return pd.Series(values.tolist())

    def _as_numbers(self, codes: np.ndarray, words: list[str], missing: np.ndarray, default: str) -> Any:
        gone = missing | np.array([word.lower() in MISSING_NUMBER for word in words])
        kept = [word for word, absent in zip(words, gone) if not absent]
        infinite = not self.is_label and all(map(INFINITE.fullmatch, kept))
        if not kept or not (infinite or any(character.isdigit() for word in kept for character in word)):
            return None
        if default == "," and self._is_grouped(kept):
            read = read_numbers(kept, decimal=",")
        else:
            read = read_numbers(kept, default=default)
        how = read.how
        if np.isnan(read.values).any():
            found = self._with_unit(kept, default)
            if found is None:
                return None
            read, how = found
        if how:
            self.seen.add(f"Numbers written {how} are read as such in {{columns}}.", self.name)
        if added := [word for word, one, other in zip(words, gone, missing) if one and not other]:
            self._say_missing(added)
        values = np.full(len(words), np.nan)
        values[~gone] = read.values
        if np.isinf(values).any():
            row = int(np.flatnonzero(np.isinf(values[codes]))[0])
            raise TableError(
                f"{self.path}: the column {self.name!r} holds an infinite number, {self.texts[row].strip()!r}, in "
                f"row {row + 1} "
                f"(line {self.lines[row]}). Read it as missing (na_values=, --na-values), correct it, or leave the "
                "column "
                "out (drop=, --drop)."
            )
        if read.whole and not gone.any() and np.abs(read.values).max() < 2**63:
            # through float only where the text had separators, because large integers would be rounded
            column = np.array([int(value) for value in (read.values if how else words)], dtype=np.int64)[codes]
        else:
            column = values[codes]
        if not self.is_label and not self.is_known:
            self._say_numbers(values[~gone], column)
        return column

    @staticmethod
    def _is_grouped(words: list[str]) -> bool:
        """Return whether, in a file with decimal commas, all points of a column separate thousands."""
        pointed = [word for word in words if "." in word and "," not in word]
        return bool(pointed) and all(re.fullmatch(r"[-+]?[1-9]\d{0,2}(\.\d{3})+", word) for word in pointed)

    def _with_unit(self, words: list[str], default: str) -> Any:
        """Read numbers that all end in the same word, such as kg."""
        found = [re.fullmatch(r"(.*\d)\s*([A-Za-zµ°/²³]+)", word) for word in words]
        units = {match[2] for match in found if match}
        if len(words) <= _FEW or len(units) != 1 or any(match is None for match in found):
            return None
        read = read_numbers([match[1].strip() for match in found if match], default=default)
        return None if np.isnan(read.values).any() else (read, f"with the unit {units.pop()}")

    def _say_numbers(self, values: np.ndarray, column: np.ndarray) -> None:
        """Report codes of missing values, and numbers that only count the rows."""
        rows = column[~np.isnan(column)] if column.dtype.kind == "f" else column
        for code in self._codes(rows):
            self.seen.add(
                f"The number {code} stands far from all others in {{columns}} and may be a code for missing: "
                f"na_values={code} (--na-values={code}) reads it as such.",
                self.name,
                f" ({int((rows == code).sum())} rows)",
            )
        if column.dtype.kind != "i" or len(column) < 10:
            return
        steps = np.diff(column)
        named = re.search(
            r"(^|[_\W])(id|ids|idx|index|uuid|guid|rowid|nr|no|number|key)$", self.name, re.IGNORECASE
        ) or re.search(r"[a-z](ID|Id)$", self.name)
        if (steps == 1).all() or (named and len(values) == len(column)):
            self.seen.add(
                "A number of its own in every row suggests an identifier, which says nothing about new rows: "
                "{columns}; "
                "drop= (--drop) leaves columns out.",
                self.name,
            )

    @staticmethod
    def _codes(rows: np.ndarray) -> list[int]:
        """Return the codes that occur more than once outside the range of all other numbers."""
        present = [code for code in _CODES if (rows == code).sum() > 1]
        if not present:
            return []
        negative = [code for code in present if code < 0]
        others = rows[~np.isin(rows, negative)]
        suspicious: list[int] = []
        # negative while all other numbers are not
        if negative and len(others) and others.min() >= 0 and len(np.unique(others)) > 2:
            suspicious += negative
        others = rows[~np.isin(rows, present)]
        if len(others) and len(np.unique(others)) > 2:
            low, high = float(others.min()), float(others.max())
            span = max(high - low, 1.0)
            suspicious += [code for code in present if code > 0 and code > high + 2 * span]
            suspicious += [code for code in negative if code not in suspicious and code < low - 2 * span]
        return suspicious

    def _as_dates(self, codes: np.ndarray, words: list[str], missing: np.ndarray, default: str) -> Any:
        gone = missing | np.array([word.lower() in MISSING_NUMBER for word in words])
        kept = [word for word, absent in zip(words, gone) if not absent]
        if self.is_label or not kept or (found := read_dates(kept)) is None:
            return None
        days, order = found
        self.seen.add(f"Dates{order} are read as days since 1970-01-01 in {{columns}}.", self.name)
        if added := [word for word, one, other in zip(words, gone, missing) if one and not other]:
            self._say_missing(added)
        values = np.full(len(words), np.nan)
        values[~gone] = days
        return values[codes]

    def _refuse_mixtures(self, codes: np.ndarray, words: list[str], missing: np.ndarray) -> None:
        """Refuse numbers or dates mixed with other text, which would become one feature per value."""
        if self.is_label:
            return
        counts = np.bincount(codes, minlength=len(words))
        for what, test in (("numbers", is_number), ("dates", lambda word: read_dates([word]) is not None)):
            fits = np.array([not gone and test(word) for word, gone in zip(words, missing)])
            if fits.sum() <= _FEW or counts[fits].sum() <= 0.5 * counts[~missing].sum():
                continue
            others = [
                number for number in np.argsort(-counts, kind="stable") if not fits[number] and not missing[number]
            ]
            if not others:
                others = [int(np.flatnonzero(fits)[-1])]
            row = int(np.flatnonzero(codes == others[0])[0])
            more = f" and {len(others) - 1} other such values" if len(others) > 1 else ""
            raise TableError(
                f"{self.path}: the column {self.name!r} holds {what}, but {words[others[0]]!r} in row {row + 1} (line "
                f"{self.lines[row]}){more}. Read it as missing (na_values=, --na-values {words[others[0]]}), correct "
                "it, or "
                "leave the column out (drop=, --drop)."
            )

    def _as_category(self, codes: np.ndarray, words: list[str], missing: np.ndarray) -> Any:
        merged = self._one_spelling(codes, words, missing)
        column = self._filled(codes, words, missing, dict(zip(words, merged)))
        if self.is_label:
            return column
        n_levels = column.nunique()
        if is_different_in_most_rows(column) is not None:
            running = np.mean([len(word) for word in words]) > _RUNNING
            kind = "running text" if running else "an identifier"
            raise TableError(
                f"{self.path}: the column {self.name!r} holds {n_levels} different texts in {len(codes)} rows, as "
                f"{kind} does "
                f"(row 1: {self.texts[0].strip()[:40]!r}). Each would become a feature of its own. Leave it out "
                f"(drop=[{self.name!r}], --drop {self.name}), or turn it into few categories or numbers before."
            )
        if n_levels > _MANY_LEVELS:
            self.seen.add(
                "There are many categories in {columns}; drop= (--drop) leaves columns out.",
                self.name,
                f" ({n_levels})",
            )
        return column

    def _one_spelling(self, codes: np.ndarray, words: list[str], missing: np.ndarray) -> list[str]:
        """Merge words that differ in capitals only, such as Male, male and MALE, to their most frequent spelling."""
        counts = np.bincount(codes, minlength=len(words))
        spellings: dict[str, list[int]] = {}
        for number, word in enumerate(words):
            if (
                not missing[number]
                and len(word) > 2
                and word in (word.lower(), word.upper(), word.capitalize(), word.title())
            ):
                spellings.setdefault(word.lower(), []).append(number)
        merged = list(words)
        for same in spellings.values():
            if len(same) > 1:
                best = words[max(same, key=lambda number: counts[number])]
                for number in same:
                    merged[number] = best
                self.seen.add(
                    "Categories that differ in capitals only are taken as one in {columns}.",
                    self.name,
                    f" ({', '.join(repr(words[number]) for number in same)})",
                )
        return merged
