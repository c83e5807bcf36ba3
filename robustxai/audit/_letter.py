"""The reason letter: one page with the reasons of one decision, and how far each holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustxai._arguments import Either, Instance, Nothing, PathName, Text, checked, optional
from robustxai._files import write_text
from robustxai.audit._html import Html, tag
from robustxai.audit._markdown import markdown_text
from robustxai.audit._render import page
from robustxai.audit._report import value_in_words
from robustxai.audit._words import percent
from robustxai.reasons import Reasons

__all__ = ["Reason", "ReasonLetter", "reason_letter"]

#: Largest number of reasons of a letter, as in notices of adverse action.
_MOST = 4
#: Signs of a bar of text.
_SIGNS, _LENGTH = {"proven": "█", "attacked": "░", "undecided": "▒"}, 20
_PATH = Either((PathName(), Nothing()), words="a path, or None for the text alone")
_TONES = {
    "proven": "proven: the reason stays at every admissible change within this share",
    "attacked": "attacked: an admissible change is known that displaces it",
    "undecided": "undecided: neither is known",
}
_STYLE = (
    "main{max-width:46rem;padding-top:2.2rem}ol{padding-left:1.4rem;margin:1.4rem 0}"
    "ol li{margin:0 0 1.3rem;break-inside:avoid}"
    "li p{margin:.15rem 0}li svg{width:100%;max-width:30rem;height:1rem;display:block;margin:.35rem 0}"
    ".key{list-style:none;padding:0;color:var(--muted);font-size:.9rem}"
    ".key svg{display:inline-block;width:1.6rem;height:.8rem;margin:0;"
    "margin-right:.5rem;vertical-align:-.05rem}h1{font-size:1.6rem}"
)


@dataclass(frozen=True)
class Reason:
    """One reason of a letter.

    Attributes
    ----------
    sentence : str
        The reason, and how far it holds.
    proven : float
        Share of the admissible change within which it provably stays a reason; NaN where nothing was asked.
    beyond : str
        What is known of the rest: "attacked", "undecided", or "" where there is no rest.
    """

    sentence: str
    proven: float
    beyond: str


@dataclass(frozen=True, eq=False, repr=False)
class ReasonLetter:
    """A page with the reasons of one decision.

    Attributes
    ----------
    row : label
        Of the row.
    heading : str
    lead : str
        What the reasons are about.
    reasons : tuple of Reason
        At most four.
    """

    row: Any
    heading: str
    lead: str
    reasons: tuple[Reason, ...]

    def __repr__(self) -> str:
        return f"ReasonLetter(row {self.row!r}, {len(self.reasons)} reasons)"

    @checked(path=_PATH)
    def to_html(self, path: str | Path | None = None) -> str:
        """Return the letter as one HTML page, and write it to `path` if one is given; all names are shown as text."""
        body = tag("main", tag("h1", self.heading), *self._parts())
        return _written(page(self.heading, [body], script=False, extra_style=_STYLE), path)

    @checked(path=_PATH)
    def to_markdown(self, path: str | Path | None = None) -> str:
        """Return the letter as Markdown, and write it to `path` if one is given."""
        lines = [f"# {markdown_text(self.heading)}", f"{markdown_text(self.lead)}"]
        for number, one in enumerate(self.reasons, 1):
            lines.append(f"{number}. {markdown_text(one.sentence)}" + self._bar_of_text(one))
        if self._has_bars:
            lines.append("\n".join(f"* {_SIGNS[tone]} {markdown_text(text)}" for tone, text in _TONES.items()))
        return _written("\n\n".join(lines) + "\n", path)

    def _repr_html_(self) -> str:
        return self.to_html()

    @property
    def _has_bars(self) -> bool:
        return any(not math.isnan(one.proven) for one in self.reasons)

    def _bar_of_text(self, one: Reason) -> str:
        if math.isnan(one.proven):
            return ""
        filled = round(_LENGTH * one.proven)
        return f"\n\n   {_SIGNS['proven'] * filled}{_SIGNS.get(one.beyond, '') * (_LENGTH - filled)}"

    def _parts(self) -> list[Html]:
        items = [tag("li", tag("p", one.sentence), _bar(one)) for one in self.reasons]
        parts = [tag("p", self.lead), tag("ol", *items)]
        if self._has_bars:
            keys = [tag("li", _sample(tone), text) for tone, text in _TONES.items()]
            parts.append(tag("ul", *keys, class_="key"))
        return parts


@checked(
    reasons=Instance(Reasons, words="what robustxai.reasons.reasons returns"),
    book=optional(Instance(Mapping, words="a mapping of columns to (code, text)")),
    decision=optional(Text()),
)
def reason_letter(
    reasons: Reasons, row: Any, *, book: Mapping[Any, Any] | None = None, decision: str | None = None
) -> ReasonLetter:
    """Make a page of the reasons of one row: up to four sentences, each with a bar that says how far the reason holds.

    Parameters
    ----------
    reasons : Reasons
        From :func:`robustxai.reasons.reasons`.
    row : label
        Of the index of X.
    book : mapping of column to (code, text), optional
        Texts in place of names of columns, as in ``Reasons.codes``.
    decision : str, optional
        The decision, as the letter names it.

    Returns
    -------
    ReasonLetter

    Raises
    ------
    ValueError
        A row that has no reasons.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from sklearn.pipeline import make_pipeline
    >>> from robustxai import SoftplusClassifier
    >>> from robustxai.audit import reason_letter
    >>> from robustxai.datasets import make_preprocessor
    >>> from robustxai.reasons import reasons
    >>> X = pd.DataFrame({"age": [20, 40, 60, 30] * 20, "debt": [900, 0, 100, 500] * 20})
    >>> y = np.where(X["debt"] < 300, "paid", "defaulted")
    >>> pipe = make_pipeline(make_preprocessor(X), SoftplusClassifier(max_epochs=20)).fit(X, y)
    >>> found = reasons(pipe, X[:1], top=1, favorable="paid")
    >>> print(reason_letter(found, 0, decision="credit denied").to_markdown())
    # Reasons for the decision
    <BLANKLINE>
    Row 0: credit denied. The columns that count most against paid, largest first.
    <BLANKLINE>
    1. debt (900) counts against paid.
    <BLANKLINE>
    """
    part = reasons.frame[reasons.frame["row"] == row].sort_values("rank", kind="stable")
    if not len(part):
        known = list(reasons.frame["row"].unique()[:5])
        raise ValueError(f"There is no reason of the row {row!r}. Rows with reasons are {known}.")
    made = tuple(_reason(line, reasons, book) for _, line in part.iloc[:_MOST].iterrows())
    sides = set(part["direction"])
    favorable = "the predicted class" if reasons.favorable is None else value_in_words(reasons.favorable)
    side = "against" if sides == {"adverse"} else "for" if sides == {"favorable"} else "for or against"
    said = f"Row {value_in_words(row)}" + (f": {decision}." if decision else ".")
    return ReasonLetter(
        row,
        "Reasons for the decision",
        f"{said} The columns that count most {side} {favorable}, largest first.",
        made,
    )


def _reason(line: Any, reasons: Reasons, book: Mapping[Any, Any] | None) -> Reason:
    column = line["column"]
    name = str(column)
    if book is not None and column in book:
        entry = book[column]
        name = str(entry[1]) if isinstance(entry, (tuple, list)) and len(entry) == 2 else str(entry)
    favorable = "the predicted class" if reasons.favorable is None else value_in_words(reasons.favorable)
    side = "against" if line["direction"] == "adverse" else "for"
    sentence = f"{name} ({value_in_words(line['value'])}) counts {side} {favorable}"
    if "status" not in line:
        return Reason(f"{sentence}.", math.nan, "")
    radius, status = float(line["radius"]), line["status"]
    if status == "proven":
        return Reason(f"{sentence}, and stays one of the first {reasons.top} at every admissible change.", 1.0, "")
    if status == "attacked":
        changes = line["changes"] or {}
        what = "; ".join(f"{one} becomes {value_in_words(new)}" for one, new in changes.items())
        known = f" It provably stays within {percent(radius)} of the admissible change." if radius > 0 else ""
        return Reason(f"{sentence}, but leaves the first {reasons.top} if {what}.{known}", radius, "attacked")
    known = f"provably within {percent(radius)} of the admissible change" if radius > 0 else "not known how far"
    return Reason(f"{sentence}, and stays one of the first {reasons.top}: {known}.", radius, "undecided")


def _bar(one: Reason) -> Html | None:
    if math.isnan(one.proven):
        return None
    width = 300 * one.proven
    words = f"proven for {percent(one.proven)} of the admissible change"
    words += f", the rest is {one.beyond}" if one.beyond else ""
    rest = (
        tag("rect", x=f"{width:.0f}", y="0", width=f"{300 - width:.0f}", height="14", class_=f"f-{one.beyond}")
        if one.beyond
        else None
    )
    return tag(
        "svg",
        tag("title", words),
        tag("rect", x="0", y="0", width=f"{width:.0f}", height="14", class_="f-proven"),
        rest,
        viewBox="0 0 300 14",
        preserveAspectRatio="none",
        role="img",
        aria_label=words,
    )


def _sample(tone: str) -> Html:
    inside = tag("rect", x="0", y="0", width="32", height="14", class_=f"f-{tone}")
    return tag("svg", inside, viewBox="0 0 32 14", aria_hidden="true")


def _written(text: str, path: str | Path | None) -> str:
    if path is not None:
        write_text(path, text)
    return text
