"""Shared parts of all displays: matplotlib on demand, axes as arguments, and text that stays inside its figure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from robustxai._arguments import Constraint

__all__ = ["AX", "AXES", "check_one_data_set", "fit_text", "legend_beside", "pyplot"]

#: Characters per line of a legend.
_LEGEND = 36
#: Smallest width of a panel beside a legend, and margins of the figure, in inches.
_PANEL, _MARGIN = 3.0, 1.0


def check_one_data_set(display: type, rows: pd.DataFrame) -> None:
    """Raise ValueError if the results belong to several data sets."""
    if rows["data"].nunique() != 1:
        raise ValueError(f"{display.__name__} shows one data set, got {sorted(rows['data'].unique())}.")


@dataclass(frozen=True, eq=False)
class Axes(Constraint):
    """One matplotlib Axes, or with `several` an array of them; None for a new figure."""

    several: bool = False

    def fault(self, value: Any) -> type[Exception] | None:
        """Implement `Constraint.fault`."""
        if value is None:
            return None
        parts = np.asarray(value, dtype=object).ravel() if self.several else [value]
        fits = len(parts) and all(hasattr(part, "plot") and hasattr(part, "figure") for part in parts)
        return None if fits else TypeError

    def says(self) -> str:
        """Implement `Constraint.says`."""
        return "an array of matplotlib Axes or None" if self.several else "a matplotlib Axes or None"

    def good(self) -> Iterator[Any]:
        """Implement `Constraint.good`."""
        yield None


AX, AXES = Axes(), Axes(several=True)


def pyplot() -> Any:
    """Import and return ``matplotlib.pyplot``."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Figures need matplotlib, which is not installed. Install it with: pip install 'robustxai[plot]'"
        ) from error
    return plt


def legend_beside(ax: Any, *, own: bool, **options: Any) -> None:
    """Draw the legend of `ax` on its right; wrap long names, and enlarge a figure that is the display's `own`."""
    handles, labels = ax.get_legend_handles_labels()
    labels = [textwrap.fill(str(label), _LEGEND, break_long_words=True) for label in labels]
    style = {"fontsize": "small", "loc": "center left", "bbox_to_anchor": (1.0, 0.5), "frameon": False, **options}
    legend = ax.legend(handles, labels, **style)
    if not own:
        return
    figure = ax.figure
    figure.draw_without_rendering()
    box = legend.get_window_extent()
    width, height = box.width / figure.dpi, box.height / figure.dpi
    now = figure.get_size_inches()
    figure.set_size_inches(max(now[0], width + _PANEL + _MARGIN), max(now[1], height + 0.3))


def fit_text(figure: Any, *, own: bool = True) -> None:
    """Wrap titles and labels of axes that are longer than their panel; enlarge a figure that is the display's `own`.

    Text that fits is unchanged.
    """
    whole: dict[int, str] = {}  # the unwrapped text, which is wrapped again after the panels have moved
    for _ in range(2):  # wrapped text moves the panels
        figure.draw_without_rendering()
        heights = [ax.bbox.height for ax in figure.axes]
        changed = False
        for ax in figure.axes:
            lengths = (ax.bbox.width, ax.bbox.height, ax.bbox.width)
            texts = (ax.title, ax.yaxis.label, ax.xaxis.label)
            for text, length, upright in zip(texts, lengths, (False, True, False)):
                changed |= _wrap(text, length, upright, whole.setdefault(id(text), text.get_text()))
        if not changed:
            return
        figure.draw_without_rendering()
        if own:  # height that the new lines took from the panels
            lost = max(before - ax.bbox.height for before, ax in zip(heights, figure.axes))
            if lost > 0:
                rows = len({round(ax.get_position().y0, 2) for ax in figure.axes})
                width, height = figure.get_size_inches()
                figure.set_size_inches(width, height + rows * lost / figure.dpi)


def _wrap(text: Any, limit: float, upright: bool, whole: str) -> bool:
    """Wrap the text, originally `whole`, to lines of at most `limit` pixels; return whether it changed."""
    content = text.get_text()
    if not content or limit <= 0:
        return False
    box = text.get_window_extent()
    length = box.height if upright else box.width
    if length <= limit:
        return False
    lines = content.split("\n")
    characters = max(int(max(map(len, lines)) * limit / length), 8)
    broken = "\n".join(textwrap.fill(line, characters, break_long_words=True) for line in whole.split("\n"))
    if broken == content:
        return False
    text.set_text(broken)
    return True
