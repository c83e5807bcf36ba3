"""Pareto front of a search in two metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
from typing_extensions import Self

from robustxai._arguments import Each, Has, Instance, Numbers, Text, checked
from robustxai._compat import BaseSearchCV
from robustxai._fingerprint import content_key
from robustxai._pareto import pareto_front
from robustxai._plotting import AX, fit_text, legend_beside, pyplot
from robustxai._validation import nearest_name

__all__ = ["ParetoDisplay"]

_VALUES = Numbers(finite=False)


class ParetoDisplay:
    """All candidates of a search in two metrics, and their Pareto front.

    Up and right is better. Every candidate of the front has a number, and the legend lists its parameters. Bars are
    standard deviations over the splits.

    Parameters
    ----------
    x, y : ndarray of shape (n_candidates,)
        Mean test scores.
    x_std, y_std : ndarray of shape (n_candidates,)
        Their standard deviations over the splits.
    labels : list of str
        Parameters of every candidate, as text.
    x_name, y_name : str
        Names of the metrics, for the axes.

    Attributes
    ----------
    front_ : ndarray of int
        Candidates that no other candidate dominates, by rising x.
    ax_, figure_ : matplotlib Axes and Figure, after `plot`
    """

    @checked(
        x=_VALUES, y=_VALUES, x_std=_VALUES, y_std=_VALUES, labels=Each(Instance(str)), x_name=Text(), y_name=Text()
    )
    def __init__(
        self,
        x: np.ndarray,
        y: np.ndarray,
        *,
        x_std: np.ndarray,
        y_std: np.ndarray,
        labels: list[str],
        x_name: str,
        y_name: str,
    ) -> None:
        self.x = x
        self.y = y
        self.x_std = x_std
        self.y_std = y_std
        self.labels = labels
        self.x_name = x_name
        self.y_name = y_name

    @classmethod
    @checked(
        search=Has(("cv_results_",), words="a fitted search, such as BatchedSearchCV or GridSearchCV"),
        x=Text(),
        y=Text(),
        ax=AX,
    )
    def from_search(cls, search: BaseSearchCV, x: str, y: str, *, ax: Any = None) -> Self:
        """Plot a fitted search (``BatchedSearchCV``, ``GridSearchCV``, ...) in two of its metrics.

        Parameters
        ----------
        search : fitted search
            With several metrics in ``cv_results_``. Candidates that halving dropped are left out.
        x, y : str
            Metrics as in ``scoring``.
        ax : matplotlib Axes, optional
            A new figure by default.
        """
        results = search.cv_results_
        prefix = "mean_test_"
        metrics = [name.removeprefix(prefix) for name in results if name.startswith(prefix)]
        for name in (x, y):
            if name not in metrics:
                raise ValueError(f"The search has no metric {name!r}.{nearest_name(name, metrics)}")
        rows = np.arange(len(results["params"]))
        if "rung" in results:
            rows = rows[results["rung"] == np.max(results["rung"])]
        names = dict.fromkeys(name for params in results["params"] for name in params)
        varied = [name for name in names if len({content_key(p.get(name)) for p in results["params"]}) > 1]
        labels = [", ".join(_in_words(results["params"][i], varied)) for i in rows]
        columns = {
            "x_std": results[f"std_test_{x}"][rows],
            "y_std": results[f"std_test_{y}"][rows],
            "labels": labels,
            "x_name": x,
            "y_name": y,
        }
        return cls(results[prefix + x][rows], results[prefix + y][rows], **columns).plot(ax=ax)

    @checked(ax=AX)
    def plot(self, *, ax: Any = None) -> Self:
        """Draw on `ax`, or on a new figure."""
        plt = pyplot()

        own = ax is None
        if ax is None:
            _, ax = plt.subplots(figsize=(8.4, 4.2), layout="constrained")
        scores = np.column_stack([self.x, self.y])
        finite = np.where(np.isfinite(scores), scores, np.nan)
        self.front_ = pareto_front(finite, keep_ties=False)[::-1]
        ax.scatter(self.x, self.y, s=16, color="0.6", label="candidates", zorder=1)
        ax.plot(self.x[self.front_], self.y[self.front_], color="C0", linewidth=1.2, zorder=2)
        for number, i in enumerate(self.front_, start=1):
            label = f"{number}: {self.labels[i]}" if self.labels[i] else str(number)
            point = {"xerr": self.x_std[i], "yerr": self.y_std[i], "elinewidth": 0.6, "zorder": 3}
            ax.errorbar(self.x[i], self.y[i], **point, fmt="o", color="C0", markersize=9, label=label)
            ax.annotate(str(number), (self.x[i], self.y[i]), color="white", size=7, ha="center", va="center", zorder=4)
        ax.set_xlabel(self.x_name)
        ax.set_ylabel(self.y_name)
        ax.grid(alpha=0.3)
        legend_beside(ax, own=own)
        fit_text(ax.figure, own=own)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _in_words(params: dict[str, Any], names: list[str]) -> list[str]:
    """``name=value``, without the steps of a pipeline."""
    return [
        f"{name.rsplit('__', 1)[-1]}={f'{v:.3g}' if isinstance(v, float) else v}"
        for name in names
        if (v := params.get(name)) is not None
    ]
