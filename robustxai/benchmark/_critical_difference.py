"""Average ranks of methods and their critical difference."""

from __future__ import annotations

import math
import textwrap
from typing import Any, get_args

import numpy as np
import pandas as pd
from typing_extensions import Self

from robustxai._arguments import COUNT, NOT_NEGATIVE, SHARE, Choice, Instance, Text, checked, optional
from robustxai._plotting import AX, fit_text, pyplot
from robustxai._statistics import average_ranks, cliques, friedman_p, nemenyi_difference
from robustxai.benchmark._comparison import ALPHA, CELLS, pairs_of
from robustxai.protocols import RankBlocks

__all__ = ["CriticalDifferenceDisplay"]

#: Metrics by their names in the figure.
_NAMES = {"precision_at_k": "P@k under the strongest attack", "roc_auc": "AUC"}
#: Characters per line of a method's name.
_WIDTH = 36


class CriticalDifferenceDisplay:
    """Average ranks of methods, with lines that join methods whose ranks do not differ significantly (Demsar, 2006).

    One row per method, the best on top; the point is its average rank, 1 for the highest score of a block. Two methods
    differ by Nemenyi's test if their ranks are further apart than the critical difference, which is drawn as a bar.
    Methods joined by a vertical line on the right do not differ.

    Parameters
    ----------
    ranks : Series
        Average rank by method.
    critical_difference : float
        Nemenyi's critical difference.
    n_blocks : int
        Number of blocks in which the methods were ranked.
    metric : str
        What was ranked, for the label of the axis.
    friedman : float, optional
        p-value of Friedman's test that all methods rank alike.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure, after `plot`

    References
    ----------
    Demsar, *Statistical comparisons of classifiers over multiple data sets*, JMLR 7, 2006.
    """

    @checked(
        ranks=Instance(pd.Series),
        critical_difference=NOT_NEGATIVE,
        n_blocks=COUNT,
        metric=Text(),
        friedman=optional(SHARE),
    )
    def __init__(
        self, ranks: pd.Series, *, critical_difference: float, n_blocks: int, metric: str, friedman: float | None = None
    ) -> None:
        self.ranks = ranks
        self.critical_difference = critical_difference
        self.n_blocks = n_blocks
        self.metric = metric
        self.friedman = friedman

    @classmethod
    @checked(cells=CELLS, metric=Text(), by=Text(), blocks=Choice(get_args(RankBlocks)), alpha=ALPHA, ax=AX)
    def from_results(
        cls,
        cells: pd.DataFrame,
        *,
        metric: str = "precision_at_k",
        by: str = "defense",
        blocks: RankBlocks = "split",
        alpha: float = 0.05,
        ax: Any = None,
    ) -> Self:
        """Rank the methods of cells as ``run_experiment`` returns them, over all their data sets, and plot.

        A method without a value in some block is left out, because ranks among different methods do not compare.

        Parameters
        ----------
        cells : DataFrame
            One row per table (``data``), split (``seed``) and method.
        metric : str, default="precision_at_k"
            Column that is ranked; the highest value has rank 1.
        by : str, default="defense"
            Column of the methods.
        blocks : {"split", "data"}, default="split"
            Rank on every split of every table, or once per table by the mean over its splits. Tables are independent
            and are what Demsar ranks on, but three of them let hardly any difference be seen. Splits of one table
            share rows, so that more of them look like more evidence than they are.
        alpha : float, default=0.05
            Level of Nemenyi's test.
        ax : matplotlib Axes, optional
            A new figure by default.

        Raises
        ------
        ValueError
            Fewer than two methods have a value in every block.
        """
        table = pairs_of(cells, metric, by)
        if blocks == "data":
            table = table.groupby(level="data", sort=False).agg(lambda values: values.mean(skipna=False))
        table = table.dropna(axis=1)
        if table.shape[1] < 2:
            raise ValueError(
                f"Ranks need two methods with a value of {metric!r} in every block, got {list(table)}. Pass the rows "
                "of methods that have run on the same tables and splits."
            )
        scores = table.to_numpy()
        p = friedman_p(scores)
        display = cls(
            pd.Series(average_ranks(scores), index=table.columns, name="rank"),
            critical_difference=nemenyi_difference(table.shape[1], len(table), alpha),
            n_blocks=len(table),
            metric=_NAMES.get(metric, metric.replace("_", " ")),
            friedman=None if math.isnan(p) else p,
        )
        return display.plot(ax=ax)

    @checked(ax=AX)
    def plot(self, *, ax: Any = None) -> Self:
        """Draw on `ax`, or on a new figure."""
        plt = pyplot()

        ranks = self.ranks.sort_values(kind="stable")
        names = [textwrap.fill(str(name).replace("_", " "), _WIDTH) for name in ranks.index]
        own = ax is None
        if ax is None:
            lines = sum(name.count("\n") + 1 for name in names)
            _, ax = plt.subplots(figsize=(7.6, 1.6 + 0.3 * lines), layout="constrained")
        values = ranks.to_numpy(dtype=float)
        places = np.arange(len(values))
        ax.hlines(places, 1, values, color="0.85", linewidth=1, zorder=1)
        ax.plot(values, places, "o", color="C0", markersize=6, zorder=3)
        for place, value in zip(places, values):
            ax.annotate(f"{value:.2f}", (value, place), (6, 0), textcoords="offset points", va="center", size="small")
        right = self._lines(ax, values)
        ax.plot([1, 1 + self.critical_difference], [-0.9, -0.9], color="C3", linewidth=2.5, solid_capstyle="butt")
        text = f"critical difference {self.critical_difference:.2f}"
        ax.annotate(text, (1, -0.9), (0, 4), textcoords="offset points", size="small", color="C3", va="bottom")
        ax.set_xlim(0.8, max(right, 1.2 + self.critical_difference))
        ax.set_ylim(len(values) - 0.4, -1.7)
        ax.set_yticks(places, names)
        ax.set_xticks(range(1, len(values) + 1))
        friedman = "" if self.friedman is None else f", Friedman p = {self.friedman:.2g}"
        ax.set_xlabel(f"average rank by {self.metric} (1 is best)\n{self.n_blocks} blocks{friedman}")
        ax.grid(axis="x", alpha=0.3)
        for side in ("top", "right", "left"):
            ax.spines[side].set_visible(False)
        ax.tick_params(axis="y", length=0)
        fit_text(ax.figure, own=own)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _lines(self, ax: Any, ranks: np.ndarray) -> float:
        """Draw a line for each group of methods that do not differ; return the right edge of the axis."""
        step = 0.05 * (len(ranks) - 1)
        start = float(ranks.max()) + 4 * step
        ends: list[int] = []  # last row that is taken, by column of lines
        for first, last in cliques(ranks, self.critical_difference):
            column = next((number for number, end in enumerate(ends) if end < first), len(ends))
            ends[column : column + 1] = [last]
            place = [start + column * step] * 2
            ax.plot(place, [first - 0.2, last + 0.2], color="0.25", linewidth=3, solid_capstyle="butt", zorder=2)
        return start + max(len(ends), 1) * step
