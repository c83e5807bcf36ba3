"""AUC against P@k, one point per defense."""

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

    Parameters
    ----------
    points : DataFrame
        Indexed by defense, with columns ``auc``, ``auc_sd``, ``precision``, ``precision_sd`` and optionally
        ``between``: B, the P@k between the explanations of two different rows, for the legend.
    k : int
        Size of the top set, for the label of the axis.
    reference_auc : float, optional
        AUC of the best model that has no gradient explanation, drawn as a line.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure, after `plot`
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
        blind = points[points["precision"].isna()]
        reference = float(blind["auc"].max()) if len(blind) else None
        display = cls(points.drop(blind.index), k=int(cells["k"].iloc[0]), reference_auc=reference)
        return display.plot(ax=ax)

    @checked(ax=AX)
    def plot(self, *, ax: Any = None) -> Self:
        """Draw on `ax`, or on a new figure."""
        plt = pyplot()

        own = ax is None
        if ax is None:
            _, ax = plt.subplots(figsize=(7.6, 4.0), layout="constrained")
        for number, (name, point) in enumerate(self.points.fillna(0.0).iterrows()):
            between = f" (B {point['between']:.2f})" if "between" in point else ""
            ax.errorbar(
                point["auc"],
                point["precision"],
                xerr=point["auc_sd"],
                yerr=point["precision_sd"],
                fmt="os^DvPX*"[number % 8],
                color=f"C{number}",
                markersize=8,
                capsize=3,
                label=str(name).replace("_", " ") + between,
            )
        if self.reference_auc is not None:
            ax.axvline(self.reference_auc, color="0.6", linestyle=":", label="gradient boosting (AUC only)")
        ax.set_xlabel("AUC on clean test rows")
        ax.set_ylabel(f"P@{self.k} under the strongest attack")
        ax.set_ylim(top=1.03)
        ax.grid(alpha=0.3)
        legend_beside(ax, own=own)
        fit_text(ax.figure, own=own)
        self.ax_, self.figure_ = ax, ax.figure
        return self
