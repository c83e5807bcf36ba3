"""Figures as SVG, drawn here: small, in the colors of the page, with a description and the table of their numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from robustxai._arguments import PathName, checked
from robustxai._files import write_text
from robustxai.audit._html import Html, tag

__all__ = ["COLORS", "AuditFigure", "Series", "histogram", "intervals", "lines", "scatter"]

#: Colors of figures and pages, light and dark. Text on the paper has a contrast of at least 4.5, marks of at least 3.
COLORS = {
    "paper": ("#ffffff", "#16181d"),
    "panel": ("#f5f6f8", "#1f232b"),
    "ink": ("#1b1d22", "#e9ebef"),
    "muted": ("#565c68", "#a8afbc"),
    "grid": ("#d9dce2", "#363b46"),
    "proven": ("#1a7f5a", "#5fd0a5"),
    "attacked": ("#b8321f", "#ff9180"),
    "undecided": ("#6d7280", "#9aa1af"),
    "blue": ("#2156b0", "#8ab4ff"),
    "amber": ("#8a5a00", "#f0b95a"),
}

_SHAPES = (
    ".t{fill:var(--ink);font:13px system-ui,sans-serif}.m{fill:var(--muted);font:12px system-ui,sans-serif}"
    ".g{stroke:var(--grid);stroke-width:1}.a{stroke:var(--muted);stroke-width:1}"
)
_MARKS = "".join(
    f".f-{name}{{fill:var(--{name})}}.s-{name}{{stroke:var(--{name});fill:none;stroke-width:2.2}}"
    for name in ("proven", "attacked", "undecided", "blue", "amber", "muted", "ink", "paper")
)
#: Rules that figures need, of a page or of a file of their own.
STYLE = _SHAPES + _MARKS

_DASHES = ("", "7 4", "2 3", "9 3 2 3")


def variables(place: int) -> str:
    """Return the colors as variables of CSS; `place` is 0 for light and 1 for dark."""
    return "".join(f"--{name}:{both[place]};" for name, both in COLORS.items())


@dataclass(frozen=True, eq=False, repr=False)
class AuditFigure:
    """A figure of an audit; notebooks show it.

    Attributes
    ----------
    name : str
        Short name.
    title : str
    description : str
        What is seen, in words, for people who do not see it.
    svg : str
        Markup that takes its colors from the page.
    table : DataFrame
        The numbers.
    """

    name: str
    title: str
    description: str
    svg: str
    table: pd.DataFrame

    def __repr__(self) -> str:
        return f"AuditFigure({self.name!r}: {self.title})"

    def to_svg(self) -> str:
        """Return a picture that can stand alone, in light or dark colors as its reader prefers."""
        style = (
            f"svg{{{variables(0)}background:var(--paper)}}"
            f"@media(prefers-color-scheme:dark){{svg{{{variables(1)}}}}}{STYLE}"
        )
        head, rest = self.svg.split(">", 1)
        return f"{head}><style>{style}</style>{rest}"

    @checked(path=PathName())
    def save(self, path: str | Path) -> None:
        """Write :meth:`to_svg` to a file."""
        write_text(path, self.to_svg())

    def _repr_svg_(self) -> str:
        return self.to_svg()


@dataclass(frozen=True)
class Series:
    """A line of a chart: name, color, values."""

    name: str
    color: str
    values: Sequence[float]


def _canvas(name: str, title: str, description: str, width: int, height: int, *parts: Html) -> str:
    return tag(
        "svg",
        tag("title", title),
        tag("desc", description, id=f"{name}-desc"),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=title,
        aria_describedby=f"{name}-desc",
    )


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "m", **more: str) -> Html:
    return tag("text", text, x=_n(x), y=_n(y), class_=kind, text_anchor=anchor, **more)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str, **more: str) -> Html:
    return tag("line", x1=_n(x1), y1=_n(y1), x2=_n(x2), y2=_n(y2), class_=kind, **more)


def _n(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")


def shortened(text: str, most: int) -> str:
    """Return a text of at most `most` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def _mark(x: float, y: float, place: int, color: str) -> Html:
    """Return one of four shapes, so that colors are not all there is to tell lines apart."""
    kind = f"f-{color}"
    if place == 0:
        return tag("circle", cx=_n(x), cy=_n(y), r="4", class_=kind)
    if place == 1:
        return tag("rect", x=_n(x - 3.6), y=_n(y - 3.6), width="7.2", height="7.2", class_=kind)
    if place == 2:
        return tag("path", d=f"M{_n(x)} {_n(y - 5)}l5 8.6h-10z", class_=kind)
    return tag("path", d=f"M{_n(x)} {_n(y - 5.4)}l5.4 5.4-5.4 5.4-5.4-5.4z", class_=kind)


def lines(
    name: str, title: str, description: str, x: Sequence[float], series: Sequence[Series], x_name: str, y_name: str
) -> AuditFigure:
    """Draw lines of values between 0 and 1 over shares."""
    width, height, left, right, top, bottom = 640, 330, 52, 196, 18, 46
    inner, tall = width - left - right, height - top - bottom
    low, high = min(x), max(x)
    span = (high - low) or 1.0

    def at(value: float, share: float) -> tuple[float, float]:
        return left + inner * (share - low) / span, top + tall * (1 - value)

    parts = [
        part
        for tick in (0, 0.25, 0.5, 0.75, 1)
        for part in (
            _line(left, at(tick, low)[1], left + inner, at(tick, low)[1], "g"),
            _text(left - 8, at(tick, low)[1] + 4, f"{tick:g}", "end"),
        )
    ]
    parts += [_text(at(0, share)[0], top + tall + 18, f"{share:g}", "middle") for share in x]
    parts += [
        _text(left + inner / 2, height - 6, x_name, "middle"),
        _text(14, top + tall / 2, y_name, "middle", transform=f"rotate(-90 14 {_n(top + tall / 2)})"),
    ]
    ends = []
    for place, one in enumerate(series):
        points = [at(v, s) for s, v in zip(x, one.values) if not math.isnan(v)]
        if not points:
            continue
        path = "M" + "L".join(f"{_n(a)} {_n(b)}" for a, b in points)
        parts.append(tag("path", d=path, class_=f"s-{one.color}", stroke_dasharray=_DASHES[place % 4] or None))
        parts += [_mark(a, b, place % 4, one.color) for a, b in points]
        ends.append((points[-1], place, one))
    # names beside the ends of their lines, moved apart
    taken = -math.inf
    for (a, b), place, one in sorted(ends, key=lambda end: end[0][1]):
        y = max(b, taken + 18)
        taken = y
        parts.append(_line(a + 6, b, left + inner + 14, y, "g"))
        parts.append(_mark(left + inner + 22, y, place % 4, one.color))
        parts.append(_text(left + inner + 34, y + 4, one.name, kind="t"))
    table = pd.DataFrame({x_name: list(x), **{one.name: list(one.values) for one in series}})
    return AuditFigure(name, title, description, _canvas(name, title, description, width, height, *parts), table)


def histogram(
    name: str, title: str, description: str, counts: Sequence[tuple[str, int, str]], x_name: str
) -> AuditFigure:
    """Draw bars of counts: (name, count, color)."""
    width, height, left, top, bottom = 640, 240, 20, 22, 46
    tall, most = height - top - bottom, max((n for _, n, _ in counts), default=1) or 1
    step = (width - 2 * left) / max(len(counts), 1)
    parts = [_line(left, top + tall, width - left, top + tall, "a")]
    for place, (label, n, color) in enumerate(counts):
        size = tall * n / most
        x, y = left + step * (place + 0.15), top + tall - size
        bar = tag("rect", x=_n(x), y=_n(y), width=_n(0.7 * step), height=_n(size), class_=f"f-{color}")
        parts += [bar, _text(x + 0.35 * step, y - 6, f"{n:,}", "middle", "t")]
        parts.append(_text(x + 0.35 * step, top + tall + 18, label, "middle"))
    parts.append(_text(width / 2, height - 6, x_name, "middle"))
    table = pd.DataFrame([(label, n) for label, n, _ in counts], columns=[x_name, "rows"])
    return AuditFigure(name, title, description, _canvas(name, title, description, width, height, *parts), table)


def intervals(
    name: str,
    title: str,
    description: str,
    entries: Sequence[tuple[str, str, float, float, float, str]],
    x_name: str,
) -> AuditFigure:
    """Draw values with intervals, one under the other: (group, name, value, low, high, color)."""
    row, left, right, top, bottom = 24, 230, 52, 8, 42
    n_groups = len(dict.fromkeys(group for group, *_ in entries if group))
    width, height = 640, top + bottom + row * (len(entries) + n_groups)
    inner = width - left - right
    end = height - bottom
    parts = []
    for tick in (0, 0.25, 0.5, 0.75, 1):
        x = left + inner * tick
        parts += [_line(x, top, x, end, "g"), _text(x, end + 16, f"{tick:g}", "middle")]
    parts.append(_text(left + inner / 2, height - 6, x_name, "middle"))
    y, last = top + row / 2, ""
    for group, label, value, low, high, color in entries:
        if group and group != last:
            parts.append(_text(8, y + 4, shortened(group, 30), kind="t", font_weight="600"))
            y, last = y + row, group
        parts.append(_text(left - 12, y + 4, shortened(label, 28), "end", "t"))
        if not math.isnan(value):
            ends = [left + inner * min(max(v, 0.0), 1.0) for v in (low, high)]
            parts.append(_line(ends[0], y, ends[1], y, f"s-{color}"))
            parts.append(_mark(left + inner * min(max(value, 0.0), 1.0), y, 0, color))
            parts.append(_text(left + inner + 10, y + 4, f"{value:.2f}"))
        y += row
    table = pd.DataFrame([entry[:5] for entry in entries], columns=["group", "label", "value", "low", "high"])
    return AuditFigure(name, title, description, _canvas(name, title, description, width, height, *parts), table)


def scatter(
    name: str,
    title: str,
    description: str,
    points: Sequence[tuple[str, tuple[float, float, float], tuple[float, float, float], str]],
    x_name: str,
    y_name: str,
) -> AuditFigure:
    """Draw models as crosses of two intervals: (name, x, y, color)."""
    width, height, left, right, top, bottom = 640, 330, 56, 180, 16, 46
    inner, tall = width - left - right, height - top - bottom
    known = [v for _, x, _, _ in points for v in x if not math.isnan(v)]
    low = math.floor(20 * min(known, default=0.5) - 1e-9) / 20
    high = min(1.0, math.ceil(20 * max(known, default=1.0) + 1e-9) / 20)
    span = max(high - low, 0.05)

    def at(x: float, y: float) -> tuple[float, float]:
        return left + inner * (x - low) / span, top + tall * (1 - y)

    parts = []
    for tick in (0, 0.25, 0.5, 0.75, 1):
        y = at(low, tick)[1]
        parts += [_line(left, y, left + inner, y, "g"), _text(left - 8, y + 4, f"{tick:g}", "end")]
    for part in range(5):
        tick = low + span * part / 4
        parts.append(_text(at(tick, 0)[0], top + tall + 18, f"{tick:.3g}", "middle"))
    parts.append(_text(left + inner / 2, height - 6, x_name, "middle"))
    parts.append(_text(14, top + tall / 2, y_name, "middle", transform=f"rotate(-90 14 {_n(top + tall / 2)})"))
    taken = -math.inf
    for place, (label, one, other, color) in sorted(enumerate(points), key=lambda entry: -entry[1][2][0]):
        if math.isnan(one[0]) or math.isnan(other[0]):
            continue
        a, b = at(one[0], other[0])
        parts.append(_line(at(one[1], 0)[0], b, at(one[2], 0)[0], b, f"s-{color}"))
        parts.append(_line(a, at(0, other[1])[1], a, at(0, other[2])[1], f"s-{color}"))
        parts.append(_mark(a, b, place % 4, color))
        taken = max(b, taken + 18)
        parts.append(_mark(left + inner + 16, taken, place % 4, color))
        parts.append(_text(left + inner + 28, taken + 4, shortened(label, 22), kind="t"))
    rows = [(label, *x, *y) for label, x, y, _ in points]
    names = ["model", "x", "x_low", "x_high", "y", "y_low", "y_high"]
    table = pd.DataFrame(rows, columns=names)
    return AuditFigure(name, title, description, _canvas(name, title, description, width, height, *parts), table)
