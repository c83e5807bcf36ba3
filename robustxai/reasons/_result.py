"""Ranked reasons of many rows: the table, codes for a letter, and the proven order of the columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from robustxai._arguments import COUNT, checked
from robustxai._validation import nearest_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Reasons"]

#: Columns that are drawn beside each other.
_MOST_IN_LINE = 4
#: Largest number of reasons in a letter of adverse action.
_MOST_CODES = 4


@dataclass(frozen=True, eq=False, repr=False)
class Reasons:
    """Reasons of :func:`~robustxai.reasons.reasons`.

    Attributes
    ----------
    frame : DataFrame
        One line per reason: ``row`` (its label in the index of X), ``rank`` (from 1), ``column``, ``value`` (as in the
        raw row), ``contribution`` (to the log-odds of `favorable`), ``direction``. With a threat model also ``radius``
        (share of all budgets within which the reason provably stays among the first; 1 is the whole budget),
        ``status`` ("proven", "attacked" or "undecided") and ``changes`` (for "attacked", what changes in the row that
        displaces the reason: column to new value).
    top : int
        Size of the top set, after clipping to the number of columns.
    favorable : object
        The class whose log-odds the contributions add up to; None where each row has its predicted class.
    attacked_rows : DataFrame or None
        The raw rows that displace a reason, with the labels of the rows that they change: one for each set of changes
        of a row in `frame`.
    proven_pairs : dict
        For every row label the pairs (column, column) of which the first provably stays above the second within the
        whole budget; the first is one of the top columns.
    summary_counts : dict
        Number of reasons of each status.
    """

    frame: pd.DataFrame
    top: int
    favorable: Any
    attacked_rows: pd.DataFrame | None = None
    proven_pairs: Mapping[Any, tuple[tuple[Any, Any], ...]] = field(default_factory=dict)

    def __repr__(self) -> str:
        counts = ", ".join(f"{n} {status}" for status, n in self.summary_counts.items())
        return f"Reasons({self.frame['row'].nunique()} rows, top={self.top}{', ' if counts else ''}{counts})"

    @property
    def summary_counts(self) -> dict[str, int]:
        """Number of reasons of each status, in the order proven, attacked, undecided."""
        if "status" not in self.frame:
            return {}
        counts = self.frame["status"].value_counts()
        return {status: int(counts.get(status, 0)) for status in ("proven", "attacked", "undecided")}

    @checked(most=COUNT)
    def codes(self, book: Mapping[Any, Any], most: int = _MOST_CODES) -> pd.DataFrame:
        """Return the reasons in the form of a letter: codes and texts, none twice.

        Parameters
        ----------
        book : mapping
            Column to ``(code, text)``, or to the code alone.
        most : int, default=4
            Largest number of codes of a row. Four are customary in notices of adverse action.

        Returns
        -------
        DataFrame
            ``row``, ``rank``, ``code``, ``text``, ``column``. Of columns with one code the first stands for all.

        Raises
        ------
        ValueError
            A column among the reasons that has no code.
        """
        if not isinstance(book, Mapping):
            raise TypeError(f"book must map columns to (code, text), got {type(book).__name__}.")
        needed = list(dict.fromkeys(self.frame["column"]))
        missing = [name for name in needed if name not in book]
        if missing:
            near = nearest_name(str(missing[0]), map(str, book))
            raise ValueError(
                f"The code book has no code for {', '.join(map(repr, missing[:5]))}, which "
                f"{'is' if len(missing) == 1 else 'are'} among the reasons.{near} Add an entry column: (code, text)."
            )
        lines = []
        for label, part in self.frame.groupby("row", sort=False):
            seen: set[Any] = set()
            for column in part.sort_values("rank")["column"]:
                code, text = _entry(book[column])
                if code not in seen and len(seen) < most:
                    seen.add(code)
                    lines.append((label, len(seen), code, text, column))
        return pd.DataFrame(lines, columns=["row", "rank", "code", "text", "column"])

    def order(self, row: Any) -> tuple[tuple[Any, Any], ...]:
        """Return the proven order of the columns of one row without the pairs that follow from others.

        The pairs (higher, lower) are the edges of the Hasse diagram of the partial order: (a, c) is left out where
        (a, b) and (b, c) are proven.

        Parameters
        ----------
        row : label
            Of the index of X.
        """
        if row not in self.proven_pairs:
            known = list(self.proven_pairs)
            raise ValueError(
                f"No order is known of the row {row!r}. "
                + (f"Rows are {known[:5]}." if known else "Call reasons(..., threat=...), which proves pairs.")
            )
        pairs = set(self.proven_pairs[row])
        return tuple(
            (a, c) for a, c in self.proven_pairs[row] if not any((a, b) in pairs and (b, c) in pairs for b, _ in pairs)
        )

    def plot_order(self, row: Any, ax: Axes | None = None) -> Axes:
        """Draw the proven order of the columns of one row as a Hasse diagram: higher columns stand above lower ones.

        Parameters
        ----------
        row : label
            Of the index of X.
        ax : Axes, optional
            Of matplotlib; a new figure by default.

        Returns
        -------
        Axes
        """
        import matplotlib.pyplot as plt

        edges = self.order(row)
        place = _places(edges)
        lowest = min((y for _, y in place.values()), default=0.0)
        ax = ax or plt.subplots(figsize=(7, 1.2 - 0.8 * lowest), layout="constrained")[1]
        for higher, lower in edges:
            ax.plot(*zip(place[higher], place[lower]), color="0.6", linewidth=1, zorder=1)
        top = set(self.frame.loc[self.frame["row"] == row, "column"])
        for name, (x, y) in place.items():
            box = {"boxstyle": "round", "facecolor": "#dbe9f6" if name in top else "white", "edgecolor": "0.4"}
            ax.text(x, y, str(name), ha="center", va="center", bbox=box, zorder=2, fontsize=9)
        ax.set(xlim=(0, 1), ylim=(lowest - 0.5, 0.5))
        ax.set_title(f"Proven order of the columns of row {row}", fontsize=10)
        ax.axis("off")
        return ax


def _entry(entry: Any) -> tuple[Any, str]:
    if isinstance(entry, (tuple, list)) and len(entry) == 2:
        return entry[0], str(entry[1])
    return entry, ""


def _places(edges: Sequence[tuple[Any, Any]]) -> dict[Any, tuple[float, float]]:
    """Return where every column is drawn: levels below each other, a wide level on several lines."""
    level, place, line = _levels(edges), {}, 0
    for depth in sorted(set(level.values())):
        names = [name for name in level if level[name] == depth]
        for first in range(0, len(names), _MOST_IN_LINE):
            several = names[first : first + _MOST_IN_LINE]
            for number, name in enumerate(several):
                place[name] = ((number + 0.5) / len(several), -float(line))
            line += 1
    return place


def _levels(edges: Sequence[tuple[Any, Any]]) -> dict[Any, int]:
    """Return the depth of every column: the length of the longest way down to it."""
    level = {name: 0 for pair in edges for name in pair}
    for _ in level:
        for higher, lower in edges:
            level[lower] = max(level[lower], level[higher] + 1)
    return dict(sorted(level.items(), key=lambda item: item[1]))
