"""HTML without holes: every piece of text is escaped where it enters a tag, and nowhere else."""

from __future__ import annotations

import html
import unicodedata
from typing import Any

__all__ = ["Html", "html_text", "plain_text", "tag"]

#: Elements without content and end tag.
_VOID = frozenset({"meta", "br", "col", "link"})
#: Elements of SVG without content, which close themselves.
_SHAPES = frozenset({"line", "path", "rect", "circle", "polyline", "polygon"})
#: What reorders the letters around it, so that a name could be read as another one.
_REORDERS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def plain_text(value: Any) -> str:
    r"""Return a value as one line of visible text.

    White space becomes a space; control characters, lone surrogates and characters that reorder the text become "�".
    A text that is not empty stays visible: one of white space alone becomes "␣".
    """
    text = value if isinstance(value, str) else str(value)
    made = []
    for sign in text:
        kind = unicodedata.category(sign)
        if sign.isspace() or kind in ("Zl", "Zp"):
            made.append(" ")
        elif kind in ("Cc", "Cs") or sign in _REORDERS or sign in "\ufffe\uffff":
            made.append("\ufffd")
        else:
            made.append(sign)
    joined = "".join(made)
    return joined if joined.strip() or not joined else "\u2423"


def html_text(value: Any) -> Html:
    """Return a value as HTML or SVG that shows its text, in elements and in quoted attributes; the only escape."""
    return value if isinstance(value, Html) else Html(html.escape(plain_text(value), quote=True))


def tag(name: str, /, *children: Any, **attributes: Any) -> Html:
    """Return an element; children and values of attributes that are not `Html` are escaped.

    Parameters
    ----------
    name : str
        Of the element.
    *children : object
        Markup, or text. None is left out.
    **attributes : object
        "class_" and "for_" lose their underscore, others become dashes. True gives an attribute without a value; None
        and False give none.
    """
    said = []
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            said.append(f" {key}")
        elif value is not None and value is not False:
            said.append(f' {key}="{html_text(value)}"')
    start = f"<{name}{''.join(said)}"
    inside = "".join(html_text(child) for child in children if child is not None)
    if name in _VOID:
        return Html(f"{start}>")
    if name in _SHAPES and not inside:
        return Html(f"{start}/>")
    return Html(f"{start}>{inside}</{name}>")
