"""AutoExplanationAttack: an ensemble of the library's attacks, the lowest P@k of each row, nothing to tune."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from typing_extensions import Self

from robustxai._all_or_nothing import all_or_nothing
from robustxai._arguments import (
    COUNT,
    FLAG,
    INTEGER_SEED,
    NOT_NEGATIVE,
    POSITIVE,
    Choice,
    Each,
    checked,
    optional,
)
from robustxai._doubts import of_one_evaluation, warn_of_mismatch
from robustxai._frames import take
from robustxai._switches import own_switches
from robustxai._validation import outside
from robustxai.attacks._base import BaseAttack
from robustxai.attacks._black_box import BlackBox
from robustxai.attacks._boundary_margin import BoundaryMarginAttack
from robustxai.attacks._curve import radius_curve
from robustxai.attacks._er import ERAttack
from robustxai.attacks._gradient import N_ASKED, NO_DERIVATIVE, lacks_derivative
from robustxai.attacks._mse import MSEAttack
from robustxai.attacks._multi_objective import MultiObjectiveAttack
from robustxai.attacks._nes import NESAttack
from robustxai.attacks._probability_change import CHANGE
from robustxai.attacks._promotion import PromotionAttack
from robustxai.attacks._radius import Lines, closing_directions
from robustxai.attacks._random import RandomAttack
from robustxai.attacks._result import AttackResult, lowest, warn_of_rise, warn_of_sameness, zero_rows
from robustxai.attacks._soft_overlap import SoftOverlapAttack
from robustxai.attacks._table import PROMISING, Steps, TableRun
from robustxai.attacks._top_k import TopKManipulation
from robustxai.attacks._transformer import AttackTransformer
from robustxai.attacks._unexplained import Lenient, asked_twice, lenient, unexplained_rows
from robustxai.columns import TableThreat, check_table
from robustxai.engine import has_piecewise_linear, softplus_surrogate
from robustxai.exceptions import EvaluationWarning
from robustxai.perturbation import ThreatModel
from robustxai.protocols import AttackPreset, Estimator, Ranking
from robustxai.ranking import RANKING, clip_k

__all__ = ["AutoExplanationAttack"]

#: Class of an attack, and parameters that differ from its defaults.
AttackSpec = tuple[type[BaseAttack], dict[str, Any]]

_GRADIENT: tuple[type[BaseAttack], ...] = (
    BoundaryMarginAttack,
    SoftOverlapAttack,
    ERAttack,
    MSEAttack,
    TopKManipulation,
    MultiObjectiveAttack,
)


def _restarts(n: int, max_iter: int) -> list[AttackSpec]:
    losses = (BoundaryMarginAttack, SoftOverlapAttack)
    return [
        (loss, {"random_start": True, "max_iter": max_iter, "seed": seed})
        for seed in range(1, n + 1)
        for loss in losses
    ]


#: Attacks by preset: the random-search baseline first, then the strongest attack. "standard" contains every single
#: attack at its defaults, so that none of them can beat it on any row.
PRESETS: dict[str, list[AttackSpec]] = {
    "fast": [(RandomAttack, {"max_iter": 50}), (BoundaryMarginAttack, {"max_iter": 50})],
    "standard": [
        (RandomAttack, {}),
        *((attack, {}) for attack in _GRADIENT),
        *((PromotionAttack, {"rank": rank, "max_iter": 50}) for rank in (1, 2)),
        *_restarts(1, 60),
    ],
    "strong": [
        (RandomAttack, {"max_iter": 1000}),
        *((attack, {}) for attack in _GRADIENT),
        *((attack, {"max_iter": 300}) for attack in _GRADIENT[:2]),
        *((PromotionAttack, {"rank": rank}) for rank in (1, 2, 3, 4)),
        *_restarts(4, 100),
    ],
}
#: Attacks to add where the explanation has no derivative by itself, and a surrogate gives the gradients.
_WITHOUT_DERIVATIVE: dict[str, list[AttackSpec]] = {
    "fast": [(NESAttack, {"max_iter": 10})],
    "standard": [(NESAttack, {"max_iter": 30})],
    "strong": [(NESAttack, {"max_iter": 60}), (NESAttack, {"max_iter": 60, "random_start": True, "seed": 1})],
}
#: If a larger share of a row's iterates changes its prediction, the prediction limits the attack: close to a decision
#: boundary random directions change it in half of the cases.
_OFTEN = 0.4


class AutoExplanationAttack(AttackTransformer):
    """Find the lowest P@k of every row over an ensemble of attacks; the user chooses k and the threat model only.

    Random directions are the baseline. All attacks of the library that lower P@k, promotion of single outsiders and
    random restarts follow, each on the rows that still resist. ReLU networks are attacked through a smooth surrogate
    and also directly without gradients (:class:`NESAttack`); a :class:`BlackBox` without gradients only. Every
    perturbation is evaluated on the target estimator itself and keeps its prediction.

    Parameters
    ----------
    estimator : fitted classifier, BlackBox, Pipeline or search
        Target estimator; it is not trained. Of a Pipeline the last step is attacked, as in :class:`BaseAttack`.
    k : int, default=8
        Size of the top set; clipped with a warning when there are not more units than that.
    threat : ThreatModel or TableThreat, optional
        Perturbations that are allowed; ``ThreatModel()`` (l2, epsilon 0.5) by default. Under a
        :class:`robustxai.columns.TableThreat`, X and what comes back are raw rows, as in :class:`BaseAttack`. Of
        the choices of switches of a row, the baseline and the first attack search the twelve in which the switches
        alone come furthest, the others those in which the earlier ones came furthest; all with preset="strong".
    ranking : {"magnitude", "signed"}, default="magnitude"
        Ranked scores.
    max_probability_change : float, optional
        Largest change of the explained class's probability, as in :class:`BaseAttack`; no limit by default.
    preset : {"fast", "standard", "strong"}, default="standard"
        "standard" is never above any single attack of the library at its defaults, on any row. "fast" takes a tenth of
        its time, for a first impression; "strong" three to four times its time, for a final figure.
    batch_size : int, optional
        Rows that are searched at once, as in :class:`BaseAttack`.
    random_state : int, default=0
        Seed.

    Attributes
    ----------
    n_features_in_ : int
    k_ : int
        `k` after clipping.

    Warns
    -----
    EvaluationWarning
        P@k is probably misleading; the message gives the reason and the cure: attributions that are the same for every
        input, explanations without a derivative, gradient attacks that find less than random directions, a prediction
        that changes at most iterates, attacks that still improved when they stopped, and a mean P@k that rises with
        the radius.
    SharedExplanationWarning
        Different rows have more than 90 % of their top-k sets in common, without any attack.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from robustxai import SoftplusClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = SoftplusClassifier(max_epochs=20).fit(X, y)
    >>> result = AutoExplanationAttack(clf, k=2, preset="fast").run(X[:30])
    >>> bool(0 <= result.precision_at_k.mean() <= 1)
    True
    """

    _constraints = {
        "k": COUNT,
        "ranking": RANKING,
        "max_probability_change": CHANGE,
        "preset": Choice(PRESETS),
        "random_state": INTEGER_SEED,
    }

    def __init__(
        self,
        estimator: Estimator | None = None,
        *,
        k: int = 8,
        ranking: Ranking = "magnitude",
        max_probability_change: float | None = None,
        preset: AttackPreset = "standard",
        random_state: int = 0,
        **params: Any,
    ) -> None:
        super().__init__(estimator, **params)
        self.k = k
        self.ranking = ranking
        self.max_probability_change = max_probability_change
        self.preset = preset
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters, the target estimator and X of shape (n_samples, *features); nothing is learned."""
        return self._prepare(X)

    def _prepare(self, X: Any, epsilon: float | None = None) -> Self:
        """Do the same as `fit`, for another radius than that of the threat model if one is given."""
        with all_or_nothing(self):
            X = self._check_fit(X)
            self.k_ = clip_k(self.k, self._n_units(X))
            self._warn_of_ball(X, epsilon)
            warn_of_mismatch(self._target_estimator, f"The {type(self).__name__}", k=self.k_, ranking=self.ranking)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the perturbed inputs, shape and dtype of X; of a Pipeline, of X as its last step sees it.

        Under a TableThreat, raw rows like X.
        """
        check_is_fitted(self)
        self._check_params()  # they may have been set since
        table = self._table_threat
        if table is None:
            values = self._validate(self._seen(X))
            if self.k != self.k_:
                self.k_ = clip_k(self.k, self._n_units(values))
        with own_switches():
            if table is not None:
                result, doubts = self._on_table(X, table)
            else:
                result, doubts = self._ensemble(self._as_fitted(values), self.resolved_threat())
        for doubt in doubts:
            _say(doubt)
        warn_of_sameness(result.attribution, self.k_, self.ranking)
        return np.asarray(result.X_adv) if table is None else result.X_adv

    def run(self, X: Any, y: Any = None) -> AttackResult:
        """Attack X of shape (n_samples, *features) and report everything that was found; `y` is ignored.

        ``first_flip`` and ``last_gain`` are those of the attack that won the row. A DataFrame, of pandas, polars or
        another library, gives DataFrames of its kind.
        """
        self.fit(X)
        table = self._table_threat
        rows = X if table is not None else self._seen(X)
        with own_switches():
            if table is not None:
                result, doubts = self._on_table(X, table)
            else:
                result, doubts = self._ensemble(rows, self.resolved_threat())
        for doubt in doubts:
            _say(doubt)
        warn_of_sameness(result.attribution, self.k_, self.ranking)
        if table is not None:
            return result
        tables = ("X_adv", "attribution", "attribution_adv")
        return replace(result, **{name: self._given_back(X, rows, getattr(result, name)) for name in tables})

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "k_")

    @checked(epsilons=Each(NOT_NEGATIVE, least=1))
    def curve(self, X: Any, epsilons: Sequence[float]) -> np.ndarray:
        """Return P@k of every row at several radii; it never rises with the radius.

        The ensemble attacks all rows at every radius, from small to large. A perturbation found at one radius is valid
        at every larger one and counts there.

        Parameters
        ----------
        X : array-like of shape (n_samples, *features)
            Inputs to attack.
        epsilons : sequence of float
            Radii, in any order; the rest of the threat model stays as it is. Of a TableThreat, shares of its budgets.

        Returns
        -------
        ndarray of shape (n_samples, n_epsilons)
            Columns in the order of `epsilons`.

        Warns
        -----
        EvaluationWarning
            As in `run`, each once, with the radii that it holds for; and where the attack by itself found less at a
            larger radius than at a smaller one, by more than 0.01 in the mean.
        """
        self._prepare(X, float(max(epsilons)))
        table = self._table_threat
        X = self._seen(X) if table is None else X
        alone: dict[float, float] = {}
        doubted: dict[str, list[float]] = {}
        attribution = None

        def attack_at(radius: float) -> np.ndarray:
            nonlocal attribution
            with own_switches():
                if table is not None:
                    result, doubts = self._on_table(X, table.scaled(radius))
                else:
                    result, doubts = self._ensemble(X, replace(self.resolved_threat(), epsilon=radius))
            alone[radius], attribution = result.mean_precision, result.attribution
            for doubt in doubts:
                doubted.setdefault(doubt, []).append(radius)
            return result.precision_at_k

        columns = radius_curve(attack_at, epsilons)
        for doubt, where in doubted.items():
            _say(f"(epsilon {', '.join(f'{radius:g}' for radius in where)}) {doubt}")
        warn_of_sameness(attribution, self.k_, self.ranking)
        cure = "Run preset='strong'. What is returned counts what was found at smaller radii, and does not rise."
        warn_of_rise(alone, cure)
        return columns

    @own_switches()
    @checked(max_epsilon=optional(POSITIVE), n_levels=COUNT, keep_prediction=FLAG)
    def minimum_radius(
        self, X: Any, *, max_epsilon: float | None = None, n_levels: int = 15, keep_prediction: bool = True
    ) -> np.ndarray:
        """Return the smallest radius found at which the top-k set of each row changes.

        The search starts along the straight lines on which, to first order, a pair at the boundary of the top set
        closes soonest. Then, from `max_epsilon` down in steps of a fifth, the ensemble attacks the rows whose radius is
        larger, until it has failed at a row twice in a row. Each perturbation found is shortened as long as the set
        stays changed. The result is an upper bound on the true radius; compare it with
        :func:`robustxai.certificates.certified_radius`.

        Under a TableThreat the radius is the share of the budgets that the numbers need, while categories switch as
        they may: 0 where a switch alone changes the top set. It is exact for rows with at most 2,000 admissible
        changes.

        Parameters
        ----------
        X : array-like of shape (n_samples, *features)
            Centers.
        max_epsilon : float, optional
            Radius at which the search begins; that of the threat model by default, 1 for a TableThreat.
        n_levels : int, default=15
            Number of radii of the ensemble, down to 1/23 of the first.
        keep_prediction : bool, default=True
            Count a point only if it has the prediction of its row, with its probability within
            `max_probability_change`. False also counts other top-k sets beyond the decision boundary, explained for the
            same class, as a certificate does. (The ensemble keeps the prediction.)

        Returns
        -------
        ndarray of shape (n_samples,)
            In the units of the threat model; infinite for a row without a change within `max_epsilon`.
        """
        self._prepare(X, max_epsilon)
        if self._table_threat is not None:
            most = 1.0 if max_epsilon is None else float(max_epsilon)
            return self._shortest_on_table(X, self._table_threat, most, n_levels, keep_prediction)
        X = self._seen(X)
        threat = self.resolved_threat().resolve(self._validate(X), getattr(self, "feature_names_in_", None))
        epsilon = threat.epsilon if max_epsilon is None else max_epsilon
        POSITIVE.check("max_epsilon", epsilon, "AutoExplanationAttack.minimum_radius")  # of the threat model too
        lines = Lines(
            self._target_estimator,
            self._as_fitted(X),
            threat,
            self.k_,
            self.ranking,
            keep_prediction,
            self.max_probability_change,
        )
        best = self._on_lines(X, lines, replace(threat, epsilon=epsilon))
        misses = np.zeros(len(X), dtype=int)
        for level in range(n_levels):
            radius = epsilon * 0.8**level
            rows = np.flatnonzero((misses < 2) & (best > radius))
            if len(rows):
                result, _ = self._ensemble(take(X, rows), replace(threat, epsilon=radius))
                flipped = result.precision_at_k < 1
                misses[rows] = np.where(flipped, 0, misses[rows] + 1)
                if flipped.any():
                    found = lines.lengths(rows[flipped], np.asarray(result.X_adv, dtype=np.float64)[flipped])
                    best[rows[flipped]] = np.minimum(best[rows[flipped]], found)
        return best

    def _on_lines(self, X: Any, lines: Lines, threat: ThreatModel) -> np.ndarray:
        """Return the smallest radius on the straight lines; infinite where there is no derivative to follow."""
        best = np.full(len(lines.start), np.inf)
        if isinstance(self._target_estimator, BlackBox):
            return best
        module = self._followed_module()
        ball = threat.bind(self._validate(X), device=self._target_estimator.device_)
        low, high = (np.asarray(bound.cpu(), dtype=np.float64) for bound in (ball.low, ball.high))
        x, target = self._tensor(self._validate(X)), self._predicted(self._validate(X))
        for gradient in closing_directions(module, self._target_estimator.explainer_, x, target, self.k_, self.ranking):
            steps = np.asarray(ball.ascent(-gradient).cpu(), dtype=np.float64)
            best = np.minimum(best, lines.along(steps, low, high, threat.epsilon))
        return best

    # ---------------------------------------------------------------- raw tables

    def _on_table(self, X: Any, threat: TableThreat) -> tuple[AttackResult, list[str]]:
        """Return the lowest result of all attacks for each raw row, and reasons to doubt it."""
        run = TableRun(self, check_table(X, threat), threat)
        self.k_ = clip_k(self.k, self._n_units(run.rows.x))
        without_derivative = self._lacks_derivative_at(run.x, run.target)
        found = run.search(self._on_boxes(without_derivative), self._n_promising())
        result, seen, _ = run.result(X, found)
        stages = [_stage(steps, len(run.x), self.k_) for steps in found.steps[:2]]
        return result, self._doubts(result, seen, stages, without_derivative)

    def _on_boxes(self, without_derivative: bool) -> list[BaseAttack]:
        attacks = [self._made(spec) for spec in self._attacks(without_derivative)]
        for attack in attacks:
            attack.k_ = self.k_
        return attacks

    def _n_promising(self) -> int | None:
        return None if self.preset == "strong" else PROMISING

    def _shortest_on_table(
        self, X: Any, threat: TableThreat, most: float, n_levels: int, keep_prediction: bool
    ) -> np.ndarray:
        """Return the least share of the budgets found at which the top set of each row changes."""
        frame = check_table(X, threat)
        run = TableRun(self, frame, threat.scaled(most), keep_prediction=keep_prediction)
        attacks = self._on_boxes(self._lacks_derivative_at(run.x, run.target))
        found = run.search(attacks, self._n_promising())
        best = most * run.shortest(found)
        # what was missed at the whole budget is looked for at smaller ones, where the attacks begin with shorter steps
        misses = np.where(found.exhaustive, 2, np.where(np.isinf(best), 1, 0))
        for level in range(1, n_levels):
            share = most * 0.8**level
            rows = np.flatnonzero((misses < 2) & (best > share))
            if len(rows):
                run = TableRun(self, frame.iloc[rows], threat.scaled(share), keep_prediction=keep_prediction)
                shortest = share * run.shortest(run.search(attacks, self._n_promising()))
                misses[rows] = np.where(np.isinf(shortest), misses[rows] + 1, 0)
                best[rows] = np.minimum(best[rows], shortest)
        return best

    # ---------------------------------------------------------------- the ensemble

    def _attacks(self, without_derivative: bool) -> Iterator[AttackSpec]:
        black_box = isinstance(self._target_estimator, BlackBox)
        for spec in PRESETS[self.preset]:
            if not black_box or spec[0] is RandomAttack:
                yield spec
        if black_box or without_derivative or has_piecewise_linear(self._target_estimator.module_):
            yield from _WITHOUT_DERIVATIVE[self.preset]

    def _followed_module(self) -> nn.Module:
        """Return the module that gradient attacks differentiate twice: the network, or its smooth surrogate."""
        module = self._frozen_module()
        return softplus_surrogate(module) if has_piecewise_linear(module) else module

    def _lacks_derivative(self, X: Any) -> bool:
        """Tell if gradient attacks receive no useful gradient, even from the smooth surrogate."""
        rows = self._validate(take(X, np.arange(min(len(X), N_ASKED))))
        return self._lacks_derivative_at(self._tensor(rows), self._predicted(rows))

    def _lacks_derivative_at(self, x: Tensor, target: Tensor) -> bool:
        if isinstance(self._target_estimator, BlackBox):
            return False
        return lacks_derivative(self._followed_module(), self._target_estimator.explainer_, x, target)

    def _made(self, spec: AttackSpec, threat: ThreatModel | None = None) -> BaseAttack:
        """Return an attack of the ensemble."""
        attack, params = spec
        options = {**params}
        seed = (self.random_state + options.pop("seed", 0)) % 2**32
        return attack(
            self._target_estimator,
            k=self.k,
            threat=threat,
            ranking=self.ranking,
            max_probability_change=self.max_probability_change,
            batch_size=self.batch_size,
            random_state=seed,
            **options,
        )

    def _ensemble(self, X: Any, threat: ThreatModel) -> tuple[AttackResult, list[str]]:
        """Return the lowest result of all attacks for each row, and reasons to doubt it."""
        best: AttackResult | None = None
        without_derivative = self._lacks_derivative(X)
        resisting = np.arange(len(X))
        results: list[AttackResult] = []
        for spec in self._attacks(without_derivative):
            one = self._made(spec, threat)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", EvaluationWarning)  # the ensemble warns once
                with of_one_evaluation(silent=True):
                    results.append(one.run(take(X, resisting)))
            best = results[0] if best is None else _improved(best, results[-1], resisting)
            if len(results) > 1:  # the baseline and the first attack see all rows, so that they can be compared
                resisting = np.flatnonzero(best.precision_at_k > 0)
            if not len(resisting):
                break
        assert best is not None
        return best, self._doubts(best, self._as_fitted(np.asarray(best.X)), results, without_derivative)

    def _doubts(
        self, best: AttackResult, seen: Any, results: list[AttackResult], without_derivative: bool
    ) -> list[str]:
        """List reasons why the figure is probably misleading; the first of `results` is the random-search baseline.

        `seen` are the clean rows as the target estimator sees them.
        """
        known = ~np.isnan(best.precision_at_k)
        attribution = np.asarray(best.attribution, dtype=np.float64).reshape(len(known), -1)[known]
        # divide by the largest entry first, because the squares of a confident row's entries underflow
        largest = np.abs(attribution).max(axis=1, keepdims=True)
        direction = np.abs(attribution) / np.where(largest > 0, largest, 1.0)
        length = np.linalg.norm(direction, axis=1, keepdims=True)
        direction = direction / np.where(length > 0, length, 1.0)
        if len(direction) > 1 and np.ptp(direction, axis=0).max() < 1e-5:
            return [
                "every row has the same attribution up to its length, so that nothing can change its ranking. The "
                "model is linear, or has collapsed: read P@k beside AUC and the figure of logistic regression."
            ]
        said = [zero_rows(best.attribution, best.attribution_adv), unexplained_rows(np.isnan(best.precision_at_k))]
        if isinstance(lenient(self._target_estimator.explainer_), Lenient):
            found = np.asarray(best.attribution)
            said.append(asked_twice(self._target_estimator, seen, best.predicted, found, self.k_, self.ranking))
        doubts = [one for one in said if one]
        baseline, *others = results or [best]
        if not others or isinstance(self._target_estimator, BlackBox):
            return doubts
        first = others[0]
        masked = first.mean_precision > baseline.mean_precision + 0.01
        if without_derivative:
            doubts.append(("random directions find more than a gradient attack: " if masked else "") + NO_DERIVATIVE)
        elif masked:
            doubts.append(
                "random directions find more than a gradient attack: its gradient is masked (ReLUs, saturation, an "
                "explainer with hardly any derivative), or its steps are too few. Trust the minimum, and run "
                "preset='strong'."
            )
        stopped = [r.rejected > _OFTEN for r in (baseline, first) if r.rejected is not None]
        if stopped and np.logical_or.reduce(stopped).mean() > 0.5:
            doubts.append(
                "in most rows many iterates change the prediction (or its probability by more than the limit), so that "
                "the prediction limits the attack and not the explanation. Use a smaller epsilon, or report how "
                "accurate the model is at this one."
            )
        late = [r.last_gain > 0.9 * r.n_iter for r in others[:2] if r.last_gain is not None]
        if late and max(share.mean() for share in late) > 0.1:
            doubts.append(
                "in more than a tenth of the rows the attack still lowered P@k in the last tenth of its steps. Run "
                "preset='strong'; the figure is too high."
            )
        return doubts


def _stage(steps: Steps, n_rows: int, k: int) -> AttackResult:
    """Return what one attack found in the boxes, as far as reasons to doubt it need."""
    found = steps.by_row(n_rows)
    precision = 1 - np.ceil(np.maximum(found["value"], 0.0)) / k
    seen = found["seen"]
    return AttackResult(
        None, None, None, precision[seen], found["first_flip"][seen], steps.max_iter,
        last_gain=found["last_gain"][seen], rejected=found["rejected"][seen],
    )  # fmt: skip


def _say(what: str) -> None:
    warnings.warn(f"This P@k is probably not what it seems: {what}", EvaluationWarning, stacklevel=outside())


#: Fields that the strongest of two results takes from either, row by row.
_BY_ROW = (
    "X_adv",
    "attribution_adv",
    "precision_at_k",
    "first_flip",
    "last_gain",
    "rejected",
    "unexplained",
    "probability_adv",
)


def _improved(best: AttackResult, result: AttackResult, rows: np.ndarray) -> AttackResult:
    """Return `best` with the rows of `result` that have a lower P@k."""
    part = best.of_rows(rows)
    lower = lowest([part, result])
    merged: dict[str, Any] = {"n_iter": lower.n_iter}
    for name in _BY_ROW:
        whole = getattr(best, name)
        values = np.array(whole)
        if name == "first_flip":  # a row without a flip is censored at the larger budget
            values = np.where(values > best.n_iter, lower.n_iter + 1, values)
        values[rows] = np.asarray(getattr(lower, name))
        is_frame = isinstance(whole, pd.DataFrame)
        merged[name] = pd.DataFrame(values, index=whole.index, columns=whole.columns) if is_frame else values
    return replace(best, **merged)
