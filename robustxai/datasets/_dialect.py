"""Separator, preamble, header and ragged rows of a user's file: from its text to column names and rows of text."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from robustxai.datasets._file_text import Say
from robustxai.datasets._numbers import is_missing, is_number
from robustxai.exceptions import TableError

__all__ = ["TextTable", "read_rows"]

_SEPARATORS = (",", ";", "\t", "|")
_IN_WORDS = {",": "the comma", ";": "the semicolon", "\t": "the tab", "|": "the bar", " ": "blanks"}
#: Spellings of a separator on a command line.
_BY_NAME = {
    "tab": "\t",
    "\\t": "\t",
    "space": " ",
    "blank": " ",
    "comma": ",",
    "semicolon": ";",
    "bar": "|",
    "pipe": "|",
}
#: Number of lines from which separator and header are detected.
_SAMPLE = 1000
#: Largest number of lines that a message lists.
_FEW = 4
#: Longest field; the default of the csv module is too short for text.
_LONGEST_FIELD = 2**24

Records = list[list[str]]


@dataclass(frozen=True)
class TextTable:
    """A table of text.

    Parameters
    ----------
    names : list of str
        Of the columns, each one once.
    columns : list of list of str
        Of one length.
    lines : list of int
        Line of the file on which each row ends.
    sep : str
        The separator.
    words : frozenset of str
        Columns whose entries are texts by their type, and are not read as numbers.
    """

    names: list[str]
    columns: list[list[str]]
    lines: list[int]
    sep: str
    words: frozenset[str] = frozenset()

    def without(self, names: Sequence[str]) -> TextTable:
        """Return the table without some of its columns."""
        kept = [place for place, name in enumerate(self.names) if name not in names]
        return replace(
            self, names=[self.names[place] for place in kept], columns=[self.columns[place] for place in kept]
        )


def read_rows(path: Path, text: str, sep: str | None, say: Say) -> TextTable:
    """Split a text into columns, and report everything but a plain header and plain rows.

    Raises
    ------
    TableError
        No rows, a single column, or rows that do not fit the header.
    """
    text, directive = _directive(text.replace("\r\n", "\n").replace("\r", "\n"))
    if sep is None:
        sep = directive or _find_separator(text)
        if sep != ",":
            say(f"The columns are separated by {_IN_WORDS[sep]}; sep= (--sep) names another.")
    else:
        sep = _BY_NAME.get(sep.lower(), sep)
        if len(sep) != 1 or sep in '"\n\r':
            raise TableError(f"sep={sep!r} is no separator. Use one character, or a word of {', '.join(_BY_NAME)}.")
    rows, lines = _split(path, text, sep, say)
    rows, lines = _without_preamble(rows, lines, say)
    names, rows, lines = _header(rows, lines, say)
    names, rows, lines = _rectangular(path, names, rows, lines, sep, say)
    if not rows:
        raise TableError(
            f"{path} has a header but no rows, so that there is nothing to learn from. Give a file with rows."
        )
    columns = [list(column) for column in zip(*rows)]
    names, columns = _named(names, columns, say)
    if len(columns) < 2:
        raise TableError(
            f"{path} has a single column, {names[0][:60] if names else ''!r}, and a label alone is no data. Name the "
            "separator (sep=, --sep) if it has more."
        )
    return TextTable(names, columns, lines, sep)


def _directive(text: str) -> tuple[str, str | None]:
    """Read the line ``sep=;`` of spreadsheet programs, and empty it so that line numbers stay."""
    match = re.match(r'"?sep=([^\n"])"?[ \t]*(?=\n)', text, re.IGNORECASE)
    return (text[match.end() :].replace("\n", "\n", 1), match[1]) if match else (text, None)


def _find_separator(text: str) -> str:
    """Return the separator with which most lines have one number of fields and no field holds another separator."""
    sample = "\n".join(text.split("\n")[:_SAMPLE])
    best, best_score = ",", (0.0, 0.0, 0.0)
    for sep in (*_SEPARATORS, " "):
        if sep == " " and best_score[0] > 0.8:
            continue  # words have blanks between them, too
        try:
            rows = [row for row in _reader(sample, sep) if any(row) and not _is_comment(row)]
        except csv.Error:
            continue
        if not rows:
            continue
        width, count = Counter(len(row) for row in rows).most_common(1)[0]
        if width < 2:
            continue
        fields = [field.strip() for row in rows[:200] for field in row]
        clean = sum(not any(other in field for other in _SEPARATORS) or _is_decimal(field) for field in fields)
        score = (round(count / len(rows), 2), clean / len(fields), float(width))
        if score > best_score:
            best, best_score = sep, score
    return best


def _is_decimal(field: str) -> bool:
    """Return whether the comma in a field belongs to a number."""
    return bool(re.fullmatch(r"[-+]?[\d.' ]*,\d+(e[-+]?\d+)?\s*%?", field, re.IGNORECASE))


def _reader(text: str, sep: str, strict: bool = False) -> Any:
    blanks = sep in (" ", "\t")
    if sep == " ":
        text = "\n".join(re.sub(r"[ \t]+", " ", line).strip(" ") for line in text.split("\n"))
    return csv.reader(io.StringIO(text, newline=""), delimiter=sep, skipinitialspace=not blanks, strict=strict)


def _is_comment(row: Sequence[str]) -> bool:
    return bool(row) and row[0].lstrip().startswith(("#", "%", "//"))


def _split(path: Path, text: str, sep: str, say: Say) -> tuple[Records, list[int]]:
    """Return the lines that are not empty, with their numbers; comments are dropped and reported."""
    longest = csv.field_size_limit(_LONGEST_FIELD)
    try:
        reader = _reader(text, sep)
        numbered = [(row, reader.line_num) for row in reader if any(field.strip() for field in row) or len(row) > 1]
        unclosed = _unclosed_quote(text, sep)
    except csv.Error as error:
        raise TableError(f"{path} cannot be read as a table ({error}). Name its separator (sep=, --sep).") from error
    finally:
        csv.field_size_limit(longest)
    if unclosed:
        raise TableError(
            f"{path} cannot be read as a table: a quotation mark in or after line {unclosed} is never closed. Double "
            "it "
            'in the file ("") if it is a part of the text.'
        )
    usual = Counter(len(row) for row, _ in numbered).most_common(1)[0][0] if numbered else 0
    comments = [line for row, line in numbered if _is_comment(row) and len(row) != usual]
    if comments:
        say(f"{_lines(comments)} {'is a comment' if len(comments) == 1 else 'are comments'} and left out.")
        left = set(comments)
        numbered = [(row, line) for row, line in numbered if line not in left]
    blank = [line for row, line in numbered if not any(field.strip() for field in row)]
    if blank:
        say(f"{_lines(blank)} {'holds' if len(blank) == 1 else 'hold'} separators only and no values: left out.")
        left = set(blank)
        numbered = [(row, line) for row, line in numbered if line not in left]
    return [row for row, _ in numbered], [line for _, line in numbered]


def _unclosed_quote(text: str, sep: str) -> int:
    """Return the first line of a last record whose quotation mark is never closed, else 0."""
    if text.count('"') % 2 == 0:
        return 0
    reader, last = _reader(text, sep, strict=True), 0
    try:
        for _ in reader:
            last = reader.line_num
    except csv.Error as error:
        return last + 1 if "unexpected end" in str(error) else 0
    return 0


def _lines(lines: Sequence[int]) -> str:
    """Format line numbers: ``Line 3``, ``Lines 3, 4 and 7``, ``Lines 3, 4, 5 and 20 more``."""
    if len(lines) == 1:
        return f"Line {lines[0]}"
    if len(lines) <= _FEW:
        return f"Lines {', '.join(map(str, lines[:-1]))} and {lines[-1]}"
    return f"Lines {', '.join(map(str, lines[:3]))} and {len(lines) - 3} more"


def _without_preamble(rows: Records, lines: list[int], say: Say) -> tuple[Records, list[int]]:
    """Remove titles above the header: lines with one field where the table has several."""
    if not rows:
        return rows, lines
    width = Counter(len(row) for row in rows[:_SAMPLE]).most_common(1)[0][0]
    skipped = 0
    while width > 1 and skipped < len(rows) - 1 and sum(bool(field.strip()) for field in rows[skipped]) == 1:
        filled = [bool(field.strip()) for field in rows[skipped + 1]]
        if len(rows[skipped]) > 1 and sum(filled) <= 1:
            break
        skipped += 1
    if skipped and skipped < 20:
        say(f"{_lines(lines[:skipped])} above the header, a title without columns, left out.")
        return rows[skipped:], lines[skipped:]
    return rows, lines


def _header(rows: Records, lines: list[int], say: Say) -> tuple[list[str], Records, list[int]]:
    """Return the names of the columns, and the rows below."""
    if not rows:
        return [], rows, lines
    first, body = [field.strip() for field in rows[0]], rows[1:]
    if first and first[0].startswith("#") and len(first[0]) > 1:
        first[0] = first[0].lstrip("# ")
        say("The header begins with a '#', which is not taken as part of the first name.")
    if not body:
        return first, body, lines[1:]
    if _is_data(first, body[:_SAMPLE]):
        names = [f"column_{place + 1}" for place in range(len(first))]
        say(
            f"There is no header, the first line holds values: the columns are called {names[0]} to {names[-1]} "
            f"(target={names[0]!r} or --target {names[0]} for a label in the first)."
        )
        return names, rows, lines
    second = [field.strip() for field in body[0]]
    if len(body) > 2 and _is_second_header(second, body[1:_SAMPLE]):
        generic = all(
            re.fullmatch(r"[A-Za-z]?\d*|(unnamed|col|column|var)[ _:]*\d+", name, re.IGNORECASE) for name in first
        )
        names = second if generic and all(second[1:]) else first
        used, other = (lines[1], lines[0]) if names is second else (lines[0], lines[1])
        say(f"There are two lines of headers: the names are those of line {used}, and line {other} is left out.")
        return list(names), body[1:], lines[2:]
    return first, body, lines[1:]


def _is_data(first: list[str], body: Records) -> bool:
    """Return whether the first line holds values like those below it."""
    numbers = [is_number(field) for field in first]
    if all(field == str(place) for place, field in enumerate(first, int(first[0] == "1"))):
        return False  # positions are names
    evidence = 0
    for place, field in enumerate(first):
        column = [row[place].strip() for row in body if len(row) > place]
        filled = [value for value in column if not is_missing(value)]
        if not filled:
            continue
        if sum(map(is_number, filled)) > 0.5 * len(filled):
            if not numbers[place] and not (is_missing(field) and field):
                return False  # a word above numbers is a name, and so is nothing at all
            evidence += numbers[place] and not _is_position(field, place)
        elif numbers[place]:
            # a number above words is a column name only if the other names are positions too
            if _is_position(field, place):
                return False
            evidence += 1
        else:
            evidence += filled.count(field) > 0
            if field not in filled and len(set(filled)) < 0.5 * len(filled):
                return False  # a word that none of the categories below it is
    return evidence > 0


def _is_position(field: str, place: int) -> bool:
    return field in (str(place), str(place + 1))


def _is_second_header(second: list[str], body: Records) -> bool:
    """Return whether a line has words in every column that holds numbers below."""
    columns = 0
    for place, field in enumerate(second):
        column = [row[place].strip() for row in body if len(row) > place]
        filled = [value for value in column if not is_missing(value)]
        if len(filled) > 1 and all(map(is_number, filled)):
            if is_number(field):
                return False
            columns += not is_missing(field)
    return columns >= 2


def _rectangular(
    path: Path, names: list[str], rows: Records, lines: list[int], sep: str, say: Say
) -> tuple[list[str], Records, list[int]]:
    """Return rows with as many fields as there are names."""
    repeated = [number for number, row in enumerate(rows) if [field.strip() for field in row] == names]
    if repeated:
        verb = "repeats the header and is" if len(repeated) == 1 else "repeat the header and are"
        say(f"{_lines([lines[number] for number in repeated])} {verb} left out.")
        kept = [number for number in range(len(rows)) if number not in set(repeated)]
        rows, lines = [rows[number] for number in kept], [lines[number] for number in kept]
    width = len(names)
    long = [number for number, row in enumerate(rows) if len(row) > width]
    empty = [number for number in long if not any(field.strip() for field in rows[number][width:])]
    if empty:
        where = "Rows end" if len(empty) > _FEW else f"{_lines([lines[number] for number in empty])} end"
        say(f"{where} in separators without values behind them, which are left out.")
    if len(long) > len(empty):
        others = [number for number in long if number not in set(empty)]
        line, found = lines[others[0]], len(rows[others[0]])
        where = "its rows have" if len(others) == len(rows) else f"line {line} has"
        raise TableError(
            f"{path} cannot be read as a table: {where} more fields than its header ({found} instead of {width}). "
            "Name the "
            f"separator (sep=, --sep) if it is not {_IN_WORDS.get(sep, repr(sep))}, put a field that holds a separator "
            "between quotation marks, or give every column a name."
        )
    short = [number for number, row in enumerate(rows) if len(row) < width]
    # a header may end in a separator although the rows do not
    trailing = width - max(map(len, rows), default=width)
    if trailing > 0 and not any(names[width - trailing :]):
        names, width = names[: width - trailing], width - trailing
        say("The header ends in a separator without a name behind it, which is left out.")
        short = [number for number in short if len(rows[number]) < width]
    if short:
        number = short[0]
        raise TableError(
            f"{path} cannot be read as a table: line {lines[number]} has {len(rows[number])} fields and the header has "
            f"{width} ({len(short)} such line{'s' * (len(short) > 1)}). Name the separator (sep=, --sep) if it is not "
            f"{_IN_WORDS.get(sep, repr(sep))}, or complete the line."
        )
    return names, [row[:width] for row in rows], lines


def _named(names: list[str], columns: list[list[str]], say: Say) -> tuple[list[str], list[list[str]]]:
    """Give every column a unique name; drop an index and columns with neither name nor values."""
    kept = [bool(name) or any(not is_missing(value) for value in column) for name, column in zip(names, columns)]
    if not all(kept):
        n_left = len(kept) - sum(kept)
        say(f"Columns with neither a name nor values are left out ({n_left}).")
        names = [name for name, keep in zip(names, kept) if keep]
        columns = [column for column, keep in zip(columns, kept) if keep]
    index = [place for place, (name, column) in enumerate(zip(names, columns)) if _is_index(name, column)]
    if index and len(names) > len(index) + 1:
        places = ", ".join(str(place + 1) for place in index)
        say(f"What has no name at place {places} only counts the rows, as the index of a DataFrame: left out.")
        names = [name for place, name in enumerate(names) if place not in index]
        columns = [column for place, column in enumerate(columns) if place not in index]
    own: list[str] = []
    for place, name in enumerate(names):
        if not name:
            name = f"column_{place + 1}"
            say(f"The column at place {place + 1} has no name and is called {name!r}.")
        if name in own or (name in names[:place]):
            number = 1
            while f"{name}.{number}" in own or f"{name}.{number}" in names:
                number += 1
            later = f"{name}.{number}"
            say(f"Two columns are called {name!r}; the later one, at place {place + 1}, is called {later!r}.")
            name = f"{name}.{number}"
        own.append(name)
    return own, columns


def _is_index(name: str, column: list[str]) -> bool:
    """Return whether a column has no name, or pandas' word for none, and counts its rows."""
    if name and not re.fullmatch(r"Unnamed: ?\d+(\.\d+)?|index|level_0", name):
        return False
    start = column[0].strip()
    if start not in ("0", "1") or (name in ("index", "level_0") and len(column) < 10):
        return False
    return all(value.strip() == str(number) for number, value in enumerate(column, start=int(start)))
