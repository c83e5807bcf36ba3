"""Markdown without holes: the one escape of text that CommonMark, or the tables of GitHub, would read as markup."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from robustxai.audit._html import plain_text

__all__ = ["Markdown", "markdown_table", "markdown_text"]

#: Signs that mean something inside of a line; an "@" names a person.
_INLINE = re.compile(r"([\\`*_{}\[\]<>&|~$#!@^])")
#: Starts of addresses, of which GitHub makes links.
_ADDRESS = re.compile(r"(?i)\b(https?|ftp|mailto|xmpp):")
#: Signs that mean something at the start of a line; "=" starts a formula where a table is pasted.
_AT_START = re.compile(r"^([-+=])")
_NUMBERED = re.compile(r"^(\d+)([.)])")


class Markdown(str):
    """Text that is markup already."""

    __slots__ = ()


def markdown_text(value: Any) -> Markdown:
    """Return a value as Markdown that shows its text, anywhere in a line and in a cell of a table."""
    if isinstance(value, Markdown):
        return value
    text = re.sub(" +", " ", plain_text(value)).strip()
    text = _INLINE.sub(r"\\\1", text)
    text = _NUMBERED.sub(r"\1\\\2", _AT_START.sub(r"\\\1", text))
    return Markdown(_ADDRESS.sub(r"\1\\:", re.sub(r"(?i)\b(www)\.", r"\1\\.", text)))


def markdown_table(names: Sequence[Any], rows: Sequence[Sequence[Any]], right: Sequence[bool]) -> Markdown:
    """Return a table; cells that are not `Markdown` are escaped.

    Parameters
    ----------
    names : sequence
        Of the columns.
    rows : sequence of sequences
        Cells.
    right : sequence of bool
        Whether a column is aligned to the right.
    """
    lines = [[markdown_text(cell) or Markdown(" ") for cell in row] for row in (names, *rows)]
    lines.insert(1, [Markdown("---:" if flag else "---") for flag in right])
    return Markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))
