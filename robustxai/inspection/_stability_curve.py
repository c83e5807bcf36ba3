"""P@k against the radius of the attack, one line per model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from typing_extensions import Self

from robustxai._arguments import (
    COUNT,
    FLAG,
    NORM,
    NOT_NEGATIVE,
    Choice,
    Each,
    Instance,
    Named,
    Numbers,
    Rows,
    Table,
    checked,
    optional,
)
from robustxai._doubts import of_one_evaluation
from robustxai._frames import in_numbers, take
from robustxai._plotting import AX, fit_text, legend_beside, pyplot
from robustxai.attacks import OPTIONAL_ATTACK, AutoExplanationAttack, RandomAttack, radius_curve, retarget, warn_of_rise
from robustxai.inspection._check import ESTIMATORS, ByName
from robustxai.inspection._scores import SCORES, in_words, model_score
from robustxai.perturbation import canonical_norm
from robustxai.protocols import Attack, Estimator, Norm, Score

__all__ = ["StabilityCurveDisplay"]

_COLUMNS = ("attacked", "attacked_sd", "random", "certified")
#: Largest number of radii with a tick each.
_MOST_TICKS = 8


class StabilityCurveDisplay:
    """P@k under attack against epsilon, one line per model, with the spread over seeds.

    Higher is more stable. The legend has the model's accuracy or AUC, because a collapsed model is perfectly stable,
    and so is a linear model of two classes that is explained by its gradient. Any attack must fall below the
    random-search baseline (dotted), and none can fall below the certificate (dashed). The true P@k lies between the
    certificate and the attack.

    Parameters
    ----------
    points : DataFrame
        Indexed by ``model`` and ``epsilon``, with columns ``attacked``, ``attacked_sd``, ``random`` and ``certified``;
        NaN draws nothing.
    k : int
        Size of the top set, for the label of the axis.
    scores : dict of str to float, optional
        Accuracy or AUC of the models, for the legend.
    score : {"accuracy", "roc_auc"}, default="accuracy"
        Which of the two `scores` are.
    norm : {2, inf, "inf"}, optional
        Norm of the ball, for the label of the axis.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure, after `plot`

    Examples
    --------
    >>> from robustxai.inspection import StabilityCurveDisplay
    >>> curves = {"Vanilla": [0.9, 0.6, 0.3], "R2ET": [1.0, 0.9, 0.8]}
    >>> scores = {"Vanilla": 0.98, "R2ET": 0.97}
    >>> display = StabilityCurveDisplay.from_curves(curves, [0.1, 0.2, 0.4], k=8, scores=scores)
    >>> [text.get_text() for text in display.ax_.get_legend().get_texts()]
    ['Vanilla (accuracy .98)', 'R2ET (accuracy .97)']
    """

    @checked(
        points=Table(_COLUMNS, index=("model", "epsilon")),
        k=COUNT,
        scores=optional(Named(Numbers(finite=False))),
        score=Choice(SCORES),
        norm=optional(NORM),
    )
    def __init__(
        self,
        points: pd.DataFrame,
        *,
        k: int,
        scores: Mapping[str, float] | None = None,
        score: Score = "accuracy",
        norm: Norm | None = None,
    ) -> None:
        self.points = points
        self.k = k
        self.scores = scores
        self.score = score
        self.norm = norm

    @classmethod
    @checked(
        attack=OPTIONAL_ATTACK,
        estimators=ESTIMATORS,
        X=Rows(),
        y=optional(Rows()),
        epsilons=Each(NOT_NEGATIVE, least=1),
        k=optional(COUNT),
        n_rows=optional(COUNT),
        random=FLAG,
        certified=optional(Instance(Mapping)),
        score=Choice(SCORES),
        ax=AX,
    )
    def from_estimators(
        cls,
        estimators: Mapping[str, Estimator],
        X: Any,
        y: Any = None,
        *,
        epsilons: Sequence[float],
        attack: Attack | None = None,
        k: int | None = None,
        n_rows: int | None = None,
        random: bool = True,
        certified: Mapping[str, Any] | None = None,
        score: Score = "accuracy",
        ax: Any = None,
    ) -> Self:
        """Attack several classifiers at several radii and plot P@k.

        A perturbation found at one radius is valid at every larger one and counts there, so that no line rises.

        Parameters
        ----------
        estimators : dict of str to fitted classifier, Pipeline or search, or to a list of them
            Models by name. For a list, one model per seed, the mean is drawn, with the standard deviation as a band.
        X : array-like of shape (n_samples, *features)
            Inputs.
        y : array-like of shape (n_samples,), optional
            Labels; needed for accuracy or AUC in the legend.
        epsilons : sequence of float
            Radii; the rest of the attack's threat model stays as it is.
        attack : attack on explanations, default=AutoExplanationAttack(preset="fast")
            Its `estimator` is ignored and replaced by each of the models.
        k : int, optional
            Size of the top set; that of `attack` by default.
        n_rows : int, optional
            Attack only the first rows; accuracy and AUC refer to all rows.
        random : bool, default=True
            Whether to draw the random-search baseline: as many random directions as the attack has iterations. An
            attack that does not fall below it does not work.
        certified : dict of str to curve, optional
            Certified P@k of some of the models at `epsilons`, as in :meth:`from_curves`.
        score : {"accuracy", "roc_auc"}, default="accuracy"
            Score in the legend.
        ax : matplotlib Axes, optional
            A new figure by default.

        Warns
        -----
        EvaluationWarning
            The attack alone is weaker at a larger radius than at a smaller one, by more than 0.01.
        """
        attack = AutoExplanationAttack(preset="fast") if attack is None else attack
        attack.resolved_threat()  # refuses a threat model of raw tables, which has no radius
        radii = _radii(epsilons)
        attacked: dict[str, list[np.ndarray]] = {}
        baselines: dict[str, list[np.ndarray]] = {}
        scores: dict[str, float] = {}
        for name, given in estimators.items():
            models = list(given) if isinstance(given, (list, tuple)) else [given]
            if not models:
                raise ValueError(f"There is no classifier in the list of {name!r}.")
            for model in models:
                rows = take(X, slice(n_rows))
                retargeted = retarget(attack, model, k)
                attacked.setdefault(name, []).append(_curve(retargeted, rows, radii))
                if random:
                    options = {"k": retargeted.k, "threat": retargeted.resolved_threat(), "ranking": retargeted.ranking}
                    options["max_iter"] = getattr(retargeted, "max_iter", 100)
                    baselines.setdefault(name, []).append(_curve(RandomAttack(model, **options), rows, radii))
            if y is not None:
                scores[name] = float(np.mean([model_score(score, model, X, y) for model in models]))
        return cls.from_curves(
            attacked,
            radii,
            k=retargeted.k_,
            scores=scores or None,
            score=score,
            random=baselines if random else None,
            certified=certified,
            norm=retargeted.resolved_threat().norm,
            ax=ax,
        )

    @classmethod
    @checked(
        curves=ByName(words="a dict of at least one name and curve"),
        epsilons=Each(NOT_NEGATIVE, least=1),
        k=COUNT,
        scores=optional(Named(Numbers(finite=False))),
        score=Choice(SCORES),
        random=optional(Instance(Mapping)),
        certified=optional(Instance(Mapping)),
        norm=optional(NORM),
        ax=AX,
    )
    def from_curves(
        cls,
        curves: Mapping[str, Any],
        epsilons: Sequence[float],
        *,
        k: int,
        scores: Mapping[str, float] | None = None,
        score: Score = "accuracy",
        random: Mapping[str, Any] | None = None,
        certified: Mapping[str, Any] | None = None,
        norm: Norm | None = None,
        ax: Any = None,
    ) -> Self:
        """Plot computed values of P@k.

        A curve is an array of shape (n_epsilons,); or one of shape (n_samples, n_epsilons), as
        ``AutoExplanationAttack.curve`` returns it; or a list of either, one for each seed.

        Parameters
        ----------
        curves : dict of str to curve
            P@k under attack, by model.
        epsilons : sequence of float
            Radii, in the order of the columns.
        k : int
            Size of the top set.
        scores : dict of str to float, optional
            Accuracy or AUC of the models, for the legend.
        score : {"accuracy", "roc_auc"}, default="accuracy"
            Which of the two `scores` are.
        random : dict of str to curve, optional
            P@k of the random-search baseline, for some of the models.
        certified : dict of str to curve, optional
            Certified P@k, for some of the models.
        norm : {2, inf, "inf"}, optional
            Norm of the ball, for the label of the axis.
        ax : matplotlib Axes, optional
            A new figure by default.
        """
        radii = _radii(epsilons)
        for what, others in (("scores", scores), ("random", random), ("certified", certified)):
            strangers = [name for name in others or {} if name not in curves]
            if strangers:
                raise ValueError(f"{what} names {strangers[0]!r}, but there are only curves of {list(curves)}.")
        parts = []
        for name, curve in curves.items():
            part = pd.DataFrame(index=pd.MultiIndex.from_product([[name], radii], names=["model", "epsilon"]))
            part["attacked"], part["attacked_sd"] = _over_seeds(name, curve, len(radii))
            for column, others in (("random", random), ("certified", certified)):
                part[column] = _over_seeds(name, others[name], len(radii))[0] if others and name in others else np.nan
            parts.append(part)
        display = cls(pd.concat(parts), k=k, scores=scores, score=score, norm=norm)
        return display.plot(ax=ax)

    @checked(ax=AX)
    def plot(self, *, ax: Any = None) -> Self:
        """Draw on `ax`, or on a new figure.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            A new figure by default.
        """
        plt = pyplot()
        own = ax is None
        if ax is None:
            _, ax = plt.subplots(figsize=(7.6, 4.0), layout="constrained")
        names = self.points.index.unique("model")
        for number, name in enumerate(names):
            line = self.points.loc[name].sort_index()
            radii, color = line.index.to_numpy(dtype=float), f"C{number}"
            style = {"color": color, "marker": "os^DvPX*"[number % 8], "markersize": 5, "linewidth": 1.4}
            ax.plot(radii, line["attacked"].to_numpy(), **style, label=self._label(name), zorder=3)
            low, high = (line["attacked"] + sign * line["attacked_sd"] for sign in (-1, 1))
            if line["attacked_sd"].notna().any():
                ax.fill_between(radii, low.clip(0, 1), high.clip(0, 1), color=color, alpha=0.15, linewidth=0)
            for column, linestyle in (("random", ":"), ("certified", "--")):
                if line[column].notna().any():
                    ax.plot(radii, line[column].to_numpy(), color=color, linestyle=linestyle, linewidth=1.0)
        for column, label, linestyle in (("random", "random directions", ":"), ("certified", "certified", "--")):
            if self.points[column].notna().any():
                ax.plot([], [], color="0.4", linestyle=linestyle, linewidth=1.0, label=label)
        _scale(ax, np.sort(self.points.index.unique("epsilon").to_numpy(dtype=float)))
        norm = "" if self.norm is None else " (l2)" if canonical_norm(self.norm) == 2 else " (l-infinity)"
        ax.set_xlabel(f"epsilon{norm}")
        ax.set_ylabel(f"P@{self.k} under attack")
        ax.set_ylim(-0.03, 1.03)
        ax.grid(alpha=0.3)
        legend_beside(ax, own=own)
        fit_text(ax.figure, own=own)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _label(self, name: Any) -> str:
        if self.scores is None or name not in self.scores:
            return str(name)
        return f"{name} ({in_words(self.score, self.scores[name])})"


def _radii(epsilons: Sequence[float]) -> list[float]:
    radii = np.asarray(epsilons, dtype=np.float64)
    if len(np.unique(radii)) < len(radii):
        raise ValueError(f"epsilons must name radii, each once, got {epsilons!r}.")
    return [float(radius) for radius in radii]


def _curve(attack: Attack, X: Any, radii: Sequence[float]) -> np.ndarray:
    """Return P@k of every row at every radius, shape (n_samples, n_epsilons)."""
    if hasattr(attack, "curve"):
        return np.asarray(attack.curve(X, radii))
    threat = attack.resolved_threat()
    alone: dict[float, float] = {}

    def attack_at(radius: float) -> np.ndarray:
        attack.set_params(threat=replace(threat, epsilon=radius))
        with of_one_evaluation(silent=radius < max(radii)):  # a tiny ball is no cause for a warning
            precision: np.ndarray = attack.run(X).precision_at_k
        alone[radius] = float(precision.mean())
        return precision

    columns = radius_curve(attack_at, radii)
    attack.set_params(threat=threat)
    if not isinstance(attack, RandomAttack):
        cure = "Give it more iterations. What is drawn counts what was found at smaller radii, and does not rise."
        warn_of_rise(alone, cure)
    return columns


def _over_seeds(name: str, curve: Any, n_epsilons: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation over seeds of a curve, each of shape (n_epsilons,)."""
    with in_numbers(curve, f"The curve of {name!r}"):
        several = np.ndim(curve) == 3 or (isinstance(curve, (list, tuple)) and len(curve) > 0 and np.ndim(curve[0]) > 0)
        runs = [np.asarray(run, dtype=np.float64) for run in (curve if several else [curve])]
    for run in runs:
        if run.ndim not in (1, 2) or run.shape[-1] != n_epsilons or not run.size:
            raise ValueError(
                f"The curve of {name!r} must have shape ({n_epsilons},) or (n_samples, {n_epsilons}), got {run.shape}."
            )
    means = np.stack([run if run.ndim == 1 else run.mean(axis=0) for run in runs])
    spread = means.std(axis=0, ddof=1) if len(means) > 1 else np.full(n_epsilons, np.nan)
    return means.mean(axis=0), spread


def _scale(ax: Any, radii: np.ndarray) -> None:
    """Use a logarithmic axis if small radii are denser, and one tick per radius if there are few."""
    gaps = np.diff(radii)
    if len(radii) > 2 and radii[0] > 0 and gaps.max() >= 4 * gaps.min():
        ax.set_xscale("log")
    if len(radii) <= _MOST_TICKS:
        ax.set_xticks(radii, [f"{radius:g}" for radius in radii])
        ax.minorticks_off()
