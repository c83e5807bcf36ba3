"""Read a page of the documentation: its figures, the queries that they stand on, and its generated tables.

A paragraph (or the lines of a list or of a table) with figures is followed by a comment that readers do not see:

.. code-block:: text

    R2ET has an AUC of 0.8803 on Adult and a P@8 of 0.979, on 5 splits.
    <!-- figures
    benchmark("auc", "adult", "r2et")
    benchmark("worst", "adult", "r2et")
    given 5: the command's --seeds
    holds: benchmark("worst", "adult", "r2et") > benchmark("worst", "adult", "softplus")
    -->

A line of the comment is a Python expression over ``tests/docs/queries.py``. The expressions give the figures of the
paragraph in their order; one that gives a list stands for several. How a figure is written (decimals, sign, commas, a
zero before the point) is read off the text. ``given N: why`` is a figure that is chosen, not measured. ``holds:`` is a
condition that the words of the paragraph depend on. Code spans, link targets and ``CONSTANTS`` are no figures.

Between ``<!-- table: NAME -->`` and ``<!-- end table -->`` stands what the function NAME of ``tests/docs/tables.py``
returns.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from robustxai._files import write_text

from . import queries, tables
from .constants import CONSTANTS

__all__ = ["PAGES", "ROOT", "Page", "numbers", "rewrite", "written_like"]

ROOT = Path(__file__).parents[2]
#: Every page that is held against the CSV files.
PAGES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")))

_NUMBER = re.compile(
    r"(?<![\w.,/'-])(?:(?<![^\s(\[|])[+-])?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?![\w/])"
)
_NO_PROSE = re.compile(r"`[^`]*`|\]\([^)]*\)|<[!/a-zA-Z][^>]*>|https?://\S+|!\[[^\]]*\]", re.DOTALL)
#: A line may end wherever a pattern has a space.
_CONSTANTS = [re.compile(pattern.replace(" ", r"\s+"), re.MULTILINE) for pattern in CONSTANTS]


def numbers(text: str) -> list[re.Match[str]]:
    """Find the figures of a piece of Markdown, outside code, links and constants.

    Returns
    -------
    list of Match
        In the order of the text, with positions in it.
    """

    def blank(found: re.Match[str]) -> str:
        return "\0" * len(found.group())

    text = _NO_PROSE.sub(blank, text)
    for pattern in _CONSTANTS:
        text = pattern.sub(blank, text)
    return list(_NUMBER.finditer(text))


def written_like(value: float, model: str) -> str:
    """Write a value as `model` is written: the same decimals, sign, commas and zero before the point."""
    digits = model.lstrip("+-")
    decimals = len(digits.partition(".")[2])
    text = f"{abs(value):{',' if ',' in digits else ''}.{decimals}f}"
    if digits.startswith(".") and text.startswith("0."):
        text = text[1:]
    zero = not float(text.replace(",", ""))
    sign = "" if zero else "-" if value < 0 else "+" if model[0] in "+-" else ""
    return sign + text


@dataclass(frozen=True)
class _Block:
    """A paragraph and the lines of the comment behind it (none where it has no comment)."""

    start: int  # offset of the paragraph in the page
    text: str
    line: int
    queries: tuple[str, ...]


class Page:
    """One Markdown file, cut into paragraphs, generated tables and the rest.

    Parameters
    ----------
    text : str
        The file.
    name : str
        What errors call it.
    """

    def __init__(self, text: str, name: str = "page") -> None:
        self.text = text
        self.name = name
        # a page makes every table and value once, whatever it is asked
        self._made, self._values = functools.cache(_made), functools.cache(_values)

    def updated(self) -> str:
        """The page with every table and every figure as the CSV files have them."""
        text = self.text
        for start, end, name in reversed(list(self._tables())):
            try:
                text = text[:start] + self._made(name) + text[end:]
            except Exception:  # a column is missing, say: it is among the problems
                continue
        page = self if text == self.text else Page(text, self.name)
        for position, found, value in reversed(list(page._pairs())):
            text = text[:position] + written_like(value, found) + text[position + len(found) :]
        return text

    def problems(self) -> list[str]:
        """Everything that the page says and no CSV does, one sentence each."""
        problems = []
        for start, end, name in self._tables():
            where = f"{self.name}:{self._line(start)}"
            try:
                if self.text[start:end] != self._made(name):
                    problems.append(f"{where}: the table {name} is not what its CSV makes.")
            except Exception as error:
                problems.append(f"{where}: the table {name} cannot be made: {error!r}.")
        for block in self._blocks():
            where = f"{self.name}:{block.line}"
            found = [match.group() for match in numbers(block.text)]
            if not block.queries:
                problems += [f"{where}: {figure} stands on no query." for figure in found]
                continue
            expected: list[tuple[str, float]] = []
            for query in block.queries:
                try:
                    values = list(self._values(query))
                    if query.startswith("holds:") and not values.pop():
                        problems.append(f"{where}: no longer true: {query[6:].strip()}")
                    expected += [(query, value) for value in values]
                except Exception as error:
                    problems.append(f"{where}: {query} cannot be computed: {error!r}.")
                    break
            else:
                if len(found) != len(expected):
                    pairs = "; ".join(f"{query} = {value:.6g}" for query, value in expected)
                    problems.append(
                        f"{where}: {len(found)} figures ({', '.join(found)}) and {len(expected)} values ({pairs})."
                    )
                    continue
                problems += [
                    f"{where}: says {figure}, {query} is {value:.6g}."
                    for figure, (query, value) in zip(found, expected)
                    if written_like(value, figure) != figure
                ]
        return problems

    def _line(self, offset: int) -> int:
        return self.text.count("\n", 0, offset) + 1

    def _tables(self) -> Iterator[tuple[int, int, str]]:
        """Start, end and name of every generated table."""
        for match in re.finditer(r"<!-- table: (\w+) -->\n(.*?)<!-- end table -->", self.text, re.DOTALL):
            yield match.start(2), match.end(2), match.group(1)

    def _pairs(self) -> Iterator[tuple[int, str, float]]:
        """Position and text of every figure whose paragraph has as many values, and the value."""
        for block in self._blocks():
            found = numbers(block.text)
            asked = [query for query in block.queries if not query.startswith("holds:")]
            try:
                values = [value for query in asked for value in self._values(query)]
            except Exception:  # it is among the problems
                continue
            if len(values) == len(found):
                yield from ((block.start + m.start(), m.group(), value) for m, value in zip(found, values))

    def _blocks(self) -> Iterator[_Block]:
        """Cut out code and tables, then take the runs of lines between blank lines and comments."""

        def blank(found: re.Match[str]) -> str:
            return re.sub(r"[^\n]", " ", found.group())

        text = re.sub(r"^ *```.*?^ *```$", blank, self.text, flags=re.DOTALL | re.MULTILINE)
        text = re.sub(r"<!-- table: \w+ -->.*?<!-- end table -->", blank, text, flags=re.DOTALL)
        pieces = re.compile(
            r"^ *<!-- figures\n(?P<queries>.*?)^ *-->$|(?P<text>(?:^(?! *<!-- figures)[^\n]*\S[^\n]*\n?)+)",
            re.DOTALL | re.MULTILINE,
        )
        found = list(pieces.finditer(text))
        for match, following in zip(found, [*found[1:], None]):
            if match["text"] is None:
                continue
            own = following is not None and following["queries"] is not None
            lines = _logical_lines(following["queries"]) if own else ()
            yield _Block(match.start(), self.text[match.start() : match.end()], self._line(match.start()), lines)


def _made(name: str) -> str:
    """Make a table; without the blank lines Markdown reads it as a part of the comment before it."""
    return f"\n{getattr(tables, name)().strip()}\n\n"


def _logical_lines(text: str) -> tuple[str, ...]:
    """Lines of a comment; one whose brackets are open goes on in the next."""
    lines: list[str] = []
    for line in map(str.strip, text.splitlines()):
        if lines and lines[-1].count("(") + lines[-1].count("[") > lines[-1].count(")") + lines[-1].count("]"):
            lines[-1] += f" {line}"
        elif line:
            lines.append(line)
    return tuple(lines)


def _values(query: str) -> tuple[float, ...]:
    """The values of one line of a comment: floats, or for ``holds:`` one bool."""
    given = re.fullmatch(r"given (\S+): .+", query)
    if given:
        return (float(given.group(1).replace(",", "")),)
    result = eval(query.removeprefix("holds:").strip(), vars(queries).copy())
    if query.startswith("holds:"):
        return (bool(result),)
    return tuple(map(float, result if isinstance(result, (list, tuple)) else [result]))


def rewrite(names: list[str] = PAGES) -> list[str]:
    """Bring pages to what the CSV files say; returns what is left for a person to mend."""
    problems = []
    for name in names:
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        new = Page(text, name).updated()
        if new != text:
            write_text(path, new)
        problems += Page(new, name).problems()
    return problems
