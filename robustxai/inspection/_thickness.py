"""First flip against thickness and against the Hessian norm, one point per row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from typing_extensions import Self

from robustxai._arguments import COUNT, Instance, Named, Rows, Table, checked, optional
from robustxai._plotting import fit_text, pyplot
from robustxai.attacks import OPTIONAL_ATTACK, ERAttack, retarget
from robustxai.inspection._check import ESTIMATORS
from robustxai.metrics import flip_correlation, hessian_norm, ranking_thickness
from robustxai.perturbation import THREAT_ARGUMENTS, ThreatModel, as_threat
from robustxai.protocols import Attack, Estimator, Norm

__all__ = ["ThicknessDisplay"]

#: Quantity -> label of its axis.
_QUANTITIES = {"thickness": "ranking thickness", "hessian_norm": "Hessian norm"}


class ThicknessDisplay:
    """First flip of each row against its thickness and its Hessian norm (the R2ET paper's Figure 3).

    One line of panels for every model: first flip against thickness on the left, against the Hessian norm on the right.
    The title of each panel has Spearman's correlation. Rows that no step flipped are hollow and lie on the upper edge,
    one above the number of steps.

    Parameters
    ----------
    rows : dict of str to DataFrame
        For every model, columns ``first_flip``, ``thickness``, ``hessian_norm``, one row per sample.
    correlations : dict of str to dict
        For every model, the correlation of the first flip with each quantity.
    max_iter : int
        Number of steps of the attack.

    Attributes
    ----------
    axes_, figure_ : array of matplotlib Axes and Figure, after `plot`

    References
    ----------
    Chen et al., *Robust ranking explanations*, 2023, Figure 3.
    """

    @checked(rows=Named(Table(("first_flip", *_QUANTITIES)), least=1), correlations=Instance(Mapping), max_iter=COUNT)
    def __init__(
        self, rows: dict[str, pd.DataFrame], correlations: dict[str, dict[str, float]], *, max_iter: int = 1000
    ) -> None:
        self.rows = rows
        self.correlations = correlations
        self.max_iter = max_iter

    @classmethod
    @checked(
        attack=OPTIONAL_ATTACK,
        estimators=ESTIMATORS,
        X=Rows(),
        k=optional(COUNT),
        **THREAT_ARGUMENTS,
        n_draws=COUNT,
        n_points=COUNT,
    )
    def from_estimators(
        cls,
        estimators: Mapping[str, Estimator],
        X: Any,
        *,
        attack: Attack | None = None,
        k: int | None = None,
        threat: ThreatModel | None = None,
        epsilon: float | None = None,
        norm: Norm | None = None,
        n_draws: int = 50,
        n_points: int = 10,
    ) -> Self:
        """Attack and measure X on several classifiers, be it a table, images or graphs, and plot.

        Parameters
        ----------
        estimators : dict of str to fitted classifier, Pipeline or search
            The models by name.
        X : array-like of shape (n_samples, *features)
            Inputs, one point each.
        attack : attack on explanations, optional
            Its `estimator` is ignored and replaced by each of the models; `k` and `ranking` are also those of the
            thickness. By default the paper's: ERAttack with radius 1 and 1,000 steps of 1e-3. Steps so short tell
            rows apart that a stronger attack flips at once.
        k : int, optional
            Size of the top set; that of `attack` by default.
        threat : ThreatModel, optional
            Ball of the thickness, as in :func:`robustxai.metrics.ranking_thickness`; ``ThreatModel()`` (l2, epsilon
            0.5) by default.
        epsilon, norm : optional
            Shorthand for ``threat=ThreatModel(epsilon, norm)``.
        n_draws, n_points : int, default=50 and 10
            Sampling of the thickness, as in :func:`robustxai.metrics.ranking_thickness`.
        """
        attack = _paper_attack() if attack is None else attack
        draws: dict[str, Any] = {
            "threat": as_threat(threat, epsilon=epsilon, norm=norm),
            "n_draws": n_draws,
            "n_points": n_points,
        }
        rows, correlations = {}, {}
        for name, estimator in estimators.items():
            retargeted = retarget(attack, estimator, k)
            result = retargeted.run(X)
            values = {
                "thickness": ranking_thickness(estimator, X, retargeted.k_, ranking=retargeted.ranking, **draws),
                "hessian_norm": hessian_norm(estimator, X),
            }
            rows[name] = pd.DataFrame({"first_flip": result.first_flip, **values})
            correlations[name] = {q: flip_correlation(result.first_flip, values[q]).spearman for q in _QUANTITIES}
        return cls(rows, correlations, max_iter=result.n_iter).plot()

    def plot(self) -> Self:
        """Draw on a new figure."""
        plt = pyplot()

        self.figure_, self.axes_ = plt.subplots(
            len(self.rows), 2, figsize=(7.6, 2.4 * len(self.rows)), layout="constrained", sharey=True, squeeze=False
        )
        for number, (name, rows) in enumerate(self.rows.items()):
            censored = rows["first_flip"] > self.max_iter
            for ax, (quantity, label) in zip(self.axes_[number], _QUANTITIES.items()):
                for part, fill in ((rows[~censored], f"C{number}"), (rows[censored], "none")):
                    ax.scatter(
                        part[quantity], part["first_flip"], s=12, facecolors=fill, edgecolors=f"C{number}", alpha=0.6
                    )
                correlation = self.correlations[name][quantity]
                never = "no row flips" if censored.all() else "constant"
                ax.set_title(
                    f"{name}: " + (never if np.isnan(correlation) else f"rank correlation {correlation:.2f}"),
                    fontsize=10,
                )
                ax.grid(alpha=0.3)
                if number == len(self.rows) - 1:
                    ax.set_xlabel(label)
            self.axes_[number, 0].set_ylabel("first flip (step)")
        fit_text(self.figure_)
        return self


def _paper_attack() -> ERAttack:
    return ERAttack(threat=ThreatModel(epsilon=1.0), max_iter=1000, step_size=1e-3, momentum=0.0, keep="last")
