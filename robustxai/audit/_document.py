"""A document as data: plain text, tables and figures, from which HTML and Markdown are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from robustxai.audit._figure import AuditFigure

__all__ = ["Block", "Callout", "Cell", "Document", "Facts", "Number", "Picture", "Section", "Table", "Text"]


class Number(NamedTuple):
    """A number by which rows are sorted, and its text."""

    value: float
    text: str


Cell: TypeAlias = str | Number


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Callout:
    """A sentence that must not be overlooked."""

    kind: Literal["warning", "good", "note"]
    text: str


@dataclass(frozen=True)
class Facts:
    """Terms and what is said of them."""

    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """A table, whose rows a reader may sort.

    `first_is_name` says that the first column names the row.
    """

    caption: str
    names: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    first_is_name: bool = True

    def is_number(self, place: int) -> bool:
        """Return whether a column holds numbers."""
        return bool(self.rows) and all(isinstance(row[place], Number) for row in self.rows)


@dataclass(frozen=True)
class Picture:
    """A figure."""

    figure: AuditFigure


Block: TypeAlias = Text | Callout | Facts | Table | Picture


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Document:
    """A title, a lead, and sections."""

    title: str
    lead: Sequence[Block]
    sections: Sequence[Section]
    footer: str
