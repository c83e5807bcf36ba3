"""Certified and attacked P@k against epsilon."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from typing_extensions import Self

from robustxai._arguments import COUNT, Table, checked
from robustxai._plotting import AXES, check_one_data_set, fit_text, pyplot

__all__ = ["BracketDisplay"]

#: Column of the results -> label and style of its line.
_LINES: dict[str, tuple[str, dict[str, Any]]] = {
    "er_paper": ("the papers' attack", {"color": "C1", "marker": "^", "linestyle": "--"}),
    "random": ("random directions", {"color": "0.45", "marker": "v", "linestyle": ":"}),
    "attacked": ("attacked", {"color": "C3", "marker": "s"}),
    "certified": ("certified", {"color": "C0", "marker": "o"}),
}
#: Metrics beside stability, for the titles of the panels: column -> label and decimals.
_MODEL = {"roc_auc": ("AUC", 3), "comprehensiveness": ("COMP", 2), "between_rows_precision": ("B", 2)}


class BracketDisplay:
    """Bracket of the true P@k against the radius, one panel per defense, for one data set.

    The true P@k lies in the shaded area. In a narrow area P@k is almost known. A line above the area belongs to an
    attack that overstates P@k. The title of a panel has the AUC, the comprehensiveness and B of the model (the share
    that the top-k sets of two different rows have in common), because a collapsed model is perfectly stable, and so is
    a linear model of two classes that is explained by its gradient.

    Parameters
    ----------
    points : DataFrame
        Indexed by ``defense`` and ``epsilon``, with columns ``certified``, ``attacked``, ``er_paper`` and ``random``.
    models : DataFrame
        Indexed by ``defense``, with columns ``roc_auc``, ``comprehensiveness`` and, where it is known,
        ``between_rows_precision``.
    k : int
        Size of the top set, for the label of the axis.

    Attributes
    ----------
    axes_ : ndarray of Axes, one per defense, after `plot`
    figure_ : matplotlib Figure, after `plot`
    """

    @checked(points=Table(tuple(_LINES), index=("defense", "epsilon")), models=Table(index=("defense",)), k=COUNT)
    def __init__(self, points: pd.DataFrame, *, models: pd.DataFrame, k: int) -> None:
        self.points = points
        self.models = models
        self.k = k

    @classmethod
    @checked(rows=Table(("data", "defense", "epsilon", "k", *_LINES), source="Bracket.run"), axes=AXES)
    def from_results(cls, rows: pd.DataFrame, *, axes: Any = None) -> Self:
        """Plot the rows of one data set, as ``Bracket.run`` returns them; means over seeds.

        Parameters
        ----------
        rows : DataFrame
            One row per defense, seed and epsilon.
        axes : array of Axes, optional
            As in :meth:`plot`.
        """
        check_one_data_set(cls, rows)
        points = rows.groupby(["defense", "epsilon"], sort=False)[list(_LINES)].mean()
        models = rows.groupby("defense", sort=False)[[name for name in _MODEL if name in rows]].mean()
        return cls(points, models=models, k=int(rows["k"].iloc[0])).plot(axes=axes)

    @checked(axes=AXES)
    def plot(self, *, axes: Any = None) -> Self:
        """Draw on `axes`, one per defense, or on a new figure.

        Parameters
        ----------
        axes : array of Axes, optional
            As many as there are defenses, of any shape.
        """
        plt = pyplot()

        names = list(self.models.index)
        figure = None
        if axes is None:
            columns = min(3, len(names))
            lines = math.ceil(len(names) / columns)
            size = (1.0 + 2.9 * columns, 1.2 + 2.4 * lines)
            figure, axes = plt.subplots(
                lines, columns, figsize=size, squeeze=False, sharex=True, sharey=True, layout="constrained"
            )
            for spare in axes.flat[len(names) :]:
                spare.remove()
        axes = np.asarray(axes).ravel()[: len(names)]
        for ax, name in zip(axes, names):
            self._panel(ax, name)
        if figure is not None:
            figure.supxlabel("epsilon (l2, features in [0, 1])", fontsize="medium")
            figure.supylabel(f"P@{self.k}", fontsize="medium")
            handles, labels = axes[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside right center", fontsize="small", frameon=False)
        fit_text(axes[0].figure, own=figure is not None)
        self.axes_, self.figure_ = axes, axes[0].figure
        return self

    def _panel(self, ax: Any, name: str) -> None:
        line = self.points.loc[name].sort_index()
        epsilons = line.index.to_numpy(dtype=float)
        for column, (label, style) in _LINES.items():
            ax.plot(epsilons, line[column].to_numpy(), markersize=4, linewidth=1.3, label=label, **style)
        between = (line["certified"], line["attacked"])
        label = f"true P@{self.k} lies here"
        ax.fill_between(epsilons, *between, color="C0", alpha=0.15, linewidth=0, label=label)
        worth = ", ".join(
            f"{label} {self.models.loc[name, column]:.{digits}f}"
            for column, (label, digits) in _MODEL.items()
            if column in self.models
        )
        title = str(name).replace("_", " ")
        ax.set_title(f"{title}\n{worth}", fontsize="small")
        ax.set_xscale("log")
        ax.set_xticks(epsilons, [f"{epsilon:g}" for epsilon in epsilons])
        ax.minorticks_off()
        ax.set_ylim(-0.04, 1.04)
        ax.grid(alpha=0.3)
        ax.tick_params(labelsize="small")
