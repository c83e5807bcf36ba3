"""AUC against P@k and what different rows share of it, one point per defense."""

from __future__ import annotations

from typing import Any

import pandas as pd
from typing_extensions import Self

from robustxai._arguments import COUNT, SHARE, Table, checked, optional
from robustxai._plotting import AX, check_one_data_set, fit_text, legend_beside, pyplot

__all__ = ["FrontierDisplay"]


class FrontierDisplay:
    """Stability against AUC, one point per defense with the spread over seeds.

    Every seed has its own split, which shifts the AUC of all defenses together. The horizontal bar is the standard
    deviation after the mean over all defenses of the same split is subtracted.

    Up and right is better. Logistic regression of two classes, explained by its gradient, has P@k = 1 whatever its AUC:
    compare how far right of it a defense is at the same height.

    Where it is known, a second panel below has the P@k between the explanations of two different rows at the same AUC:
    of two models with the same P@k under attack, the one that is lower there says more about a row itself.

    Parameters
    ----------
    points : DataFrame
        Indexed by defense, with columns ``auc``, ``auc_sd``, ``precision``, ``precision_sd`` and optionally
        ``between`` and ``between_sd``: B, the P@k between the explanations of two different rows, for the second panel
        and the legend.
    k : int
        Size of the top set, for the label of the axis.
    reference_auc : float, optional
        AUC of the best model that has no gradient explanation, drawn as a line.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure, after `plot`
    between_ax_ : matplotlib Axes of the second panel, after `plot`; None without ``between`` or on axes of the caller
    """

    @checked(points=Table(("auc", "auc_sd", "precision", "precision_sd")), k=COUNT, reference_auc=optional(SHARE))
    def __init__(self, points: pd.DataFrame, *, k: int, reference_auc: float | None = None) -> None:
        self.points = points
        self.k = k
        self.reference_auc = reference_auc

    @classmethod
    @checked(cells=Table(("data", "seed", "defense", "roc_auc", "precision_at_k", "k"), source="run_experiment"), ax=AX)
    def from_results(cls, cells: pd.DataFrame, *, ax: Any = None) -> Self:
        """Plot the cells of one data set, as ``run_experiment`` returns them."""
        check_one_data_set(cls, cells)
        split_effect = cells.groupby("seed")["roc_auc"].transform("mean")
        groups = cells.assign(paired_auc=cells["roc_auc"] - split_effect).groupby("defense", sort=False)
        points = pd.DataFrame(
            {
                "auc": groups["roc_auc"].mean(),
                "auc_sd": groups["paired_auc"].std(ddof=1),
                "precision": groups["precision_at_k"].mean(),
                "precision_sd": groups["precision_at_k"].std(ddof=1),
            }
        )
        if "between_rows_precision" in cells:
            points["between"] = groups["between_rows_precision"].mean()
            points["between_sd"] = groups["between_rows_precision"].std(ddof=1)
        blind = points[points["precision"].isna()]
        reference = float(blind["auc"].max()) if len(blind) else None
        display = cls(points.drop(blind.index), k=int(cells["k"].iloc[0]), reference_auc=reference)
        return display.plot(ax=ax)

    @checked(ax=AX)
    def plot(self, *, ax: Any = None) -> Self:
        """Draw on `ax`, one panel, or on a new figure."""
        plt = pyplot()

        own, below = ax is None, None
        if ax is None and "between" in self.points:
            _, (ax, below) = plt.subplots(
                2, 1, figsize=(7.6, 6.0), height_ratios=(3, 2), sharex=True, layout="constrained"
            )
        elif ax is None:
            _, ax = plt.subplots(figsize=(7.6, 4.0), layout="constrained")
        for number, (name, point) in enumerate(self.points.fillna(0.0).iterrows()):
            between = f" (B {point['between']:.2f})" if "between" in point else ""
            look: dict[str, Any] = {"fmt": "os^DvPX*"[number % 8], "color": f"C{number}", "markersize": 8, "capsize": 3}
            label = str(name).replace("_", " ") + between
            spread = {"xerr": point["auc_sd"], "yerr": point["precision_sd"]}
            ax.errorbar(point["auc"], point["precision"], **spread, label=label, **look)
            if below is not None:
                spread = {"xerr": point["auc_sd"], "yerr": point.get("between_sd", 0.0)}
                below.errorbar(point["auc"], point["between"], **spread, **look)
        for panel in (ax, below) if below is not None else (ax,):
            if self.reference_auc is not None:
                panel.axvline(self.reference_auc, color="0.6", linestyle=":", label="gradient boosting (AUC only)")
            panel.set_ylim(top=1.03)
            panel.grid(alpha=0.3)
        ax.set_ylabel(f"P@{self.k} under the strongest attack")
        lowest = ax if below is None else below
        lowest.set_xlabel("AUC on clean test rows")
        if below is not None:
            below.set_ylabel(f"P@{self.k} between rows\n(B, lower: more personal)")
        legend_beside(ax, own=own)
        fit_text(ax.figure, own=own)
        self.ax_, self.figure_, self.between_ax_ = ax, ax.figure, below
        return self
