"""AUC against stability for every candidate of every method."""

from __future__ import annotations

from typing import Any

import pandas as pd
from typing_extensions import Self

from robustxai._arguments import COUNT, SHARE, Table, checked, optional
from robustxai._pareto import pareto_front
from robustxai._plotting import AX, check_one_data_set, fit_text, legend_beside, pyplot

__all__ = ["CandidatesDisplay"]


class CandidatesDisplay:
    """Stability against AUC for all candidates of a search, one curve per method along its Pareto front.

    A point is a candidate. The line of a method joins the candidates that no other candidate of the method dominates in
    AUC and P@k: it shows the AUC that the method reaches at a given stability. Up and right is better. A method with a
    single point has no hyper-parameters.

    Parameters
    ----------
    candidates : DataFrame
        Columns ``method``, ``roc_auc`` and ``precision_at_k``.
    k : int
        Size of the top set, for the label of the axis.
    min_auc : float, optional
        Left edge of the axis; hides collapsed candidates, which would compress the scale of all others.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure, after `plot`
    """

    @checked(candidates=Table(("method", "roc_auc", "precision_at_k")), k=COUNT, min_auc=optional(SHARE))
    def __init__(self, candidates: pd.DataFrame, *, k: int, min_auc: float | None = None) -> None:
        self.candidates = candidates
        self.k = k
        self.min_auc = min_auc

    @classmethod
    @checked(
        search=Table(("data", "method", "roc_auc", "precision_at_k", "k"), source="Study.search"),
        min_auc=optional(SHARE),
        ax=AX,
    )
    def from_results(cls, search: pd.DataFrame, *, min_auc: float | None = None, ax: Any = None) -> Self:
        """Plot the search cells of one data set, as in ``Study.search``."""
        check_one_data_set(cls, search)
        columns = search[["method", "roc_auc", "precision_at_k"]]
        return cls(columns, k=int(search["k"].iloc[0]), min_auc=min_auc).plot(ax=ax)

    @checked(ax=AX)
    def plot(self, *, ax: Any = None) -> Self:
        """Draw on `ax`, or on a new figure."""
        plt = pyplot()

        own = ax is None
        if ax is None:
            _, ax = plt.subplots(figsize=(8.4, 4.6), layout="constrained")
        for number, (name, rows) in enumerate(self.candidates.groupby("method", sort=False)):
            # ten colors, then their light variants; the markers differ too
            color = plt.colormaps["tab20"](2 * number % 20 + (number // 10) % 2)
            # the first methods are drawn on top: a curve must not hide the linear model's single point
            style = {"color": color, "marker": "os^DvPX*<>hdp8"[number % 14], "zorder": 100 - number}
            front = pareto_front(rows[["roc_auc", "precision_at_k"]].to_numpy(), keep_ties=False)
            best = rows.iloc[front[::-1]]
            ax.plot(best["roc_auc"], best["precision_at_k"], **style, label=str(name), linewidth=1.2, markersize=7)
            ax.scatter(rows["roc_auc"], rows["precision_at_k"], **style, s=14, alpha=0.35)
        if self.min_auc is not None:
            ax.set_xlim(left=self.min_auc)
        ax.set_xlabel("AUC on validation rows")
        ax.set_ylabel(f"P@{self.k} under the strongest attack")
        ax.set_ylim(top=1.03)
        ax.grid(alpha=0.3)
        legend_beside(ax, own=own)
        fit_text(ax.figure, own=own)
        self.ax_, self.figure_ = ax, ax.figure
        return self
