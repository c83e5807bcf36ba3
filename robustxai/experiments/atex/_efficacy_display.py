"""FGSM accuracy after adversarial training against the ATEX iterations before it."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from typing_extensions import Self

from robustxai._arguments import NOT_NEGATIVE, Instance, Table, checked
from robustxai._plotting import AXES, fit_text, pyplot

__all__ = ["EfficacyDisplay"]

#: Column of the cells -> kind of adversarial training.
_TRAININGS = {
    "fgsm_accuracy_samples": "after training on samples made once",
    "fgsm_accuracy_online": "after training on new ones at every step",
}


class EfficacyDisplay:
    """FGSM accuracy after adversarial training against the iterations before it, one line per arm.

    One column of panels per data set, one row per kind of adversarial training. Lines of different arms have a small
    horizontal offset. Every seed has its own split, which shifts all arms together. The bar is the standard deviation
    after the mean of all lines of the same split is subtracted.

    Parameters
    ----------
    points : DataFrame
        Indexed by ``data``, ``training``, ``defense`` and ``iterations``, with columns ``accuracy`` and
        ``accuracy_sd``.
    majority : Series
        Accuracy of a constant prediction, by data set; may be empty.
    reference : Series
        Accuracy of logistic regression after the same training, by data set and training; may be empty.
    epsilon : float
        Radius of the attack, for the label of the axis.

    Attributes
    ----------
    axes_ : ndarray of Axes, shape (n_trainings, n_data_sets), after `plot`
    figure_ : matplotlib Figure, after `plot`
    """

    @checked(
        points=Table(("accuracy", "accuracy_sd"), index=("data", "training", "defense", "iterations")),
        majority=Instance(pd.Series),
        reference=Instance(pd.Series),
        epsilon=NOT_NEGATIVE,
    )
    def __init__(self, points: pd.DataFrame, *, majority: pd.Series, reference: pd.Series, epsilon: float) -> None:
        self.points = points
        self.majority = majority
        self.reference = reference
        self.epsilon = epsilon

    @classmethod
    @checked(cells=Table(("data", "defense", "seed", "iterations", "epsilon"), source="ATEXEfficacy.run"), axes=AXES)
    def from_results(cls, cells: pd.DataFrame, *, axes: Any = None) -> Self:
        """Plot the cells of one radius, as ``ATEXEfficacy.run`` returns them, or of a study of one's own.

        Parameters
        ----------
        cells : DataFrame
            One row per model, of tables or images alike, with columns ``data``, ``defense``, ``seed``, ``iterations``,
            ``epsilon``, and ``fgsm_accuracy_samples``, ``fgsm_accuracy_online`` or both. With a column ``majority``,
            the accuracy of a constant prediction is drawn; the defense ``"logistic_regression"`` is drawn as a level.
        axes : array of Axes, optional
            As in :meth:`plot`.
        """
        if cells["epsilon"].nunique() != 1:
            raise ValueError(f"EfficacyDisplay shows one epsilon, got {sorted(cells['epsilon'].unique())}.")
        trainings = [column for column in _TRAININGS if column in cells]
        if not trainings:
            raise ValueError(f"EfficacyDisplay needs at least one of the columns {list(_TRAININGS)}.")
        long = cells.melt(["data", "defense", "seed", "iterations"], trainings, "training", "accuracy")
        linear = long["defense"] == "logistic_regression"
        reference = long[linear].groupby(["data", "training"], sort=False)["accuracy"].mean()
        lines = long[~linear]
        split_effect = lines.groupby(["data", "training", "seed"])["accuracy"].transform("mean")
        keys = ["data", "training", "defense", "iterations"]
        groups = lines.assign(paired=lines["accuracy"] - split_effect).groupby(keys, sort=False)
        points = pd.DataFrame({"accuracy": groups["accuracy"].mean(), "accuracy_sd": groups["paired"].std(ddof=1)})
        known = cells if "majority" in cells else cells.iloc[:0].assign(majority=0.0)
        majority = known.groupby("data", sort=False)["majority"].mean()
        display = cls(points, majority=majority, reference=reference, epsilon=float(cells["epsilon"].iloc[0]))
        return display.plot(axes=axes)

    @checked(axes=AXES)
    def plot(self, *, axes: Any = None) -> Self:
        """Draw on `axes`, or on a new figure.

        Parameters
        ----------
        axes : array of Axes, optional
            Of shape (n_trainings, n_data_sets).
        """
        plt = pyplot()

        names = list(self.points.index.unique("data"))
        trainings = list(self.points.index.unique("training"))
        own = axes is None
        if axes is None:
            size = (3.0 + 2.9 * len(names), 0.8 + 2.5 * len(trainings))
            _, axes = plt.subplots(len(trainings), len(names), figsize=size, squeeze=False, layout="constrained")
        axes = np.asarray(axes).reshape(len(trainings), len(names))
        for row, training in zip(axes, trainings):
            for ax, name in zip(row, names):
                self._panel(ax, name, training)
            row[0].set_ylabel(f"FGSM accuracy, epsilon {self.epsilon:g}\n{_TRAININGS[training]}", fontsize="small")
        for ax, name in zip(axes[0], names):
            ax.set_title(str(name))
        for ax in axes[-1]:
            ax.set_xlabel("iterations before adversarial training", fontsize="small")
        labels = [textwrap.fill(label, 30) for label in axes[0, -1].get_legend_handles_labels()[1]]
        style = {"fontsize": "small", "loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "frameon": False}
        axes[0, -1].legend(axes[0, -1].get_legend_handles_labels()[0], labels, **style)
        self.axes_, self.figure_ = axes, axes[0, 0].figure
        self.figure_.align_ylabels(axes[:, 0])
        fit_text(self.figure_, own=own)
        return self

    def _panel(self, ax: Any, name: Any, training: str) -> None:
        lines = self.points.fillna(0.0).reset_index()
        lines = lines[(lines["data"] == name) & (lines["training"] == training)]
        arms = lines.groupby("defense", sort=False)
        for number, (arm, line) in enumerate(arms):
            ax.errorbar(
                line["iterations"].to_numpy() + 0.08 * (number - (len(arms) - 1) / 2),
                line["accuracy"],
                yerr=line["accuracy_sd"],
                marker="os^Dv"[number % 5],
                markersize=4,
                linewidth=1.2,
                capsize=2,
                color=f"C{number}",
                label=str(arm).replace("_", " "),
            )
        if name in self.majority.index:
            ax.axhline(self.majority[name], color="0.6", linestyle=":", label="constant prediction")
        if (name, training) in self.reference.index:
            ax.axhline(self.reference[name, training], color="0.3", linestyle="--", label="logistic regression")
        ax.grid(alpha=0.3)
        ax.tick_params(labelsize="small")
