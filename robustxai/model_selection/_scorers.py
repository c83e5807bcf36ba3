"""Scorers, called by scikit-learn as ``scorer(estimator, X, y)``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import numpy as np
import torch
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import accuracy_score

from robustxai._arguments import (
    COUNT,
    SEED,
    WEIGHTS,
    Choice,
    Either,
    Function,
    Named,
    check_arguments,
    checked,
    optional,
)
from robustxai._compat import n_samples
from robustxai._doubts import of_one_evaluation
from robustxai._fingerprint import content_key
from robustxai._frames import take
from robustxai._models import EXPLANATIONS, resolve_model
from robustxai._short_repr import short_repr
from robustxai._validation import check_sample_weight
from robustxai.attacks import (
    ATTACK,
    AttackResult,
    BaseAttack,
    ERAttack,
    retarget,
    run_together,
    strongest,
    warn_of_rise,
    warn_of_sameness,
)
from robustxai.certificates import certified_threat, certify_top_k
from robustxai.columns import ANY_THREAT_ARGUMENTS, TableThreat, as_any_threat
from robustxai.engine import MOST_ROWS
from robustxai.metrics import (
    adversarial_auc,
    between_rows_precision,
    chance_corrected_precision,
    commonest_top_k_share,
    comprehensiveness,
    decision_flip_fraction,
    distinct_top_k_sets,
    prediction_sensitivity,
    ranking_thickness,
    relaxed_thickness,
    roc_auc,
    sufficiency,
)
from robustxai.model_selection._score_request import ScoreRequest, weighted_mean
from robustxai.perturbation import THREAT_ARGUMENTS, ThreatModel
from robustxai.protocols import BoundMethod, Distribution, Estimator, Metric, Norm, Ranking, ThicknessKind
from robustxai.ranking import RANKING, count_units

__all__ = ["CertifiedPrecisionScorer", "PrecisionAtKScorer", "RobustnessScorer", "ThicknessScorer"]


def _by_radius(attacks: Mapping[str, BaseAttack], means: Mapping[str, float]) -> list[dict[float, float]]:
    """Return mean P@k by radius, one dict for every group of attacks that differ in their radius only."""
    groups: dict[Hashable, dict[float, float]] = {}
    for name, mean in means.items():
        attack = attacks[name]
        if isinstance(attack.threat, TableThreat):  # which has no radius
            continue
        params = {
            key: value
            for key, value in attack.get_params(deep=False).items()
            if key not in ("estimator", *THREAT_ARGUMENTS)
        }
        threat = attack.resolved_threat()
        group = content_key(type(attack), sorted(params.items()), replace(threat, epsilon=0.0))
        groups.setdefault(group, {})[float(threat.epsilon)] = mean
    return list(groups.values())


def _target_estimator(estimator: Estimator, X: Any) -> tuple[Any, Any]:
    """Return the scored classifier, and X as it sees it."""
    return resolve_model(estimator, X, needs=("predict", *EXPLANATIONS), what="The score")


def _attacked(attack: BaseAttack, estimator: Estimator, X: Any) -> tuple[Any, Any]:
    """Return what is attacked: the scored classifier at X as it sees it, or a whole Pipeline at raw rows."""
    return (estimator, X) if isinstance(attack.threat, TableThreat) else _target_estimator(estimator, X)


def _run_on_all(attack: BaseAttack, estimators: Sequence[tuple[Any, Any]]) -> list[AttackResult]:
    """Run the attack on each (classifier, X), on several together where that is possible and faster."""
    groups: list[list[tuple[Any, Any]]] = []
    size = 0  # rows of the last group
    for classifier, X in estimators:
        # on a CPU, rows beyond those that an attack searches at once would only exceed the cache
        on_gpu = str(getattr(classifier, "device_", "cpu")).startswith("cuda")
        if not groups or (size + len(X) > (attack.batch_size or MOST_ROWS) and not on_gpu):
            groups.append([])
            size = 0
        groups[-1].append((classifier, X))
        size += len(X)
    return [result for group in groups for result in _run_on_group(attack, group)]


def _run_on_group(attack: BaseAttack, estimators: Sequence[tuple[Any, Any]]) -> list[AttackResult]:
    """Run the attack in one search, if estimators, attack and memory allow it."""
    if len(estimators) > 1:
        try:
            return run_together(attack, estimators)
        except NotImplementedError:
            pass
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            half = len(estimators) // 2
            return _run_on_group(attack, estimators[:half]) + _run_on_group(attack, estimators[half:])
    return [retarget(attack, classifier).run(X) for classifier, X in estimators]


def _ranked_k(k: int, attribution: Any) -> int:
    """Return `k` clipped below the number of units, as attacks and certificates clip it with a warning."""
    return max(1, min(int(k), count_units(np.shape(attribution)[1:]) - 1))


def _individuality(result: AttackResult, precision: float, attack: BaseAttack) -> dict[str, float]:
    """Compute how much the clean explanations of different rows have in common, and P@k corrected for it."""
    k, options = _ranked_k(attack.k, result.attribution), {"ranking": attack.ranking}
    between = between_rows_precision(result.attribution, k, **options)
    warn_of_sameness(result.attribution, k, attack.ranking)
    return {
        "between_rows_precision": between,
        "distinct_top_k_sets": float(distinct_top_k_sets(result.attribution, k, **options)),
        "commonest_top_k_share": commonest_top_k_share(result.attribution, k, **options),
        "corrected_precision_at_k": chance_corrected_precision(precision, between),
    }


def _given(sample_weight: Any) -> dict[str, Any]:
    """Return weights as an argument, if there are any: a subclass may score without them."""
    return {} if sample_weight is None else {"sample_weight": sample_weight}


def _mean_precision(result: AttackResult, weights: np.ndarray | None) -> float:
    """Return the weighted mean P@k over the rows that have an explanation; NaN if none has."""
    if weights is None:
        return result.mean_precision
    known = ~np.isnan(result.precision_at_k)
    return weighted_mean(result.precision_at_k[known], weights[known])


def _area(metric: Callable[..., float], clf: Any, X: Any, y: Any, weights: np.ndarray | None) -> float:
    """Compute an area under the ROC curve; nan, with scikit-learn's warning, where the labels define none."""
    labels = np.asarray(y)
    found = np.unique(labels if weights is None else labels[weights > 0])
    if len(found) > 1 and np.isin(np.unique(labels), clf.classes_).all():
        return metric(clf, X, y, sample_weight=weights)
    why = "a single class" if len(found) < 2 else "labels that the classifier was not fitted with"
    warnings.warn(
        f"y holds {why}: {metric.__name__} is not defined and becomes nan.", UndefinedMetricWarning, stacklevel=6
    )
    return float("nan")


@dataclass(frozen=True, eq=False)
class PrecisionAtKScorer(ScoreRequest):
    """Mean P@k under an attack; higher is more stable.

    Do not report it alone: a collapsed model scores 1, and so does a linear model of two classes with gradient
    explanations. :class:`RobustnessScorer` adds AUC, faithfulness and the similarity of different rows.

    Parameters
    ----------
    attack : attack, default=ERAttack()
        Its `estimator` is replaced by the scored estimator. Under a :class:`robustxai.columns.TableThreat` that is a
        Pipeline, and X a DataFrame of raw rows.

    Warns
    -----
    SharedExplanationWarning
        Different rows have more than 90 % of their top-k sets in common, without any attack.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from robustxai import SoftplusClassifier
    >>> from robustxai.attacks import ERAttack
    >>> X, y = load_iris(return_X_y=True)
    >>> pipe = make_pipeline(StandardScaler(), SoftplusClassifier(max_epochs=5))
    >>> scores = cross_val_score(pipe, X, y, cv=3, scoring=PrecisionAtKScorer(ERAttack(k=2, max_iter=10)))
    >>> bool((0 <= scores).all() and (scores <= 1).all())
    True
    """

    attack: BaseAttack = field(default_factory=ERAttack)

    _constraints = {"attack": ATTACK}

    __repr__ = short_repr

    def __post_init__(self) -> None:
        check_arguments(self)

    @checked(sample_weight=WEIGHTS)
    def __call__(self, estimator: Estimator, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Score a fitted estimator on X, as the mean over rows with weights `sample_weight`; `y` is not used."""
        return self.score_together([estimator], X, **_given(sample_weight))[0]

    @checked(sample_weight=WEIGHTS)
    def score_together(
        self, estimators: Sequence[Estimator], X: Any, y: Any = None, sample_weight: Any = None
    ) -> list[float]:
        """Score many fitted estimators on X, by one attack on a stack of them where they can be stacked."""
        with of_one_evaluation():
            return self._score_together(estimators, X, check_sample_weight(sample_weight, n_samples(X)))

    def _score_together(self, estimators: Sequence[Estimator], X: Any, weights: np.ndarray | None) -> list[float]:
        results = _run_on_all(self.attack, [_attacked(self.attack, estimator, X) for estimator in estimators])
        for result in results:
            k = _ranked_k(self.attack.k, result.attribution)
            warn_of_sameness(result.attribution, k, self.attack.ranking)
        return [_mean_precision(result, weights) for result in results]


@dataclass(frozen=True, eq=False)
class ThicknessScorer(ScoreRequest):
    """Mean top-k ranking thickness; higher is more stable, and no attack is needed.

    Parameters
    ----------
    k, threat, epsilon, norm, distribution, n_draws, n_points, ranking, random_state
        As in :func:`robustxai.metrics.ranking_thickness`. Under a :class:`robustxai.columns.TableThreat` the scored
        estimator is a Pipeline from raw rows, or a classifier of raw rows, and X a DataFrame of them.
    kind : {"indicator", "relaxed"}, default="indicator"
        Share of pairs in order (Eq. 2) or mean gap (Eq. 3).
    """

    k: int = 8
    threat: ThreatModel | TableThreat | None = None
    epsilon: float | None = None
    norm: Norm | None = None
    kind: ThicknessKind = "indicator"
    distribution: Distribution = "uniform"
    n_draws: int = 20
    n_points: int = 5
    ranking: Ranking = "magnitude"
    random_state: int = 0

    __repr__ = short_repr

    _constraints = {
        "k": COUNT,
        **ANY_THREAT_ARGUMENTS,
        "kind": Choice(get_args(ThicknessKind)),
        "distribution": Choice(get_args(Distribution)),
        "n_draws": COUNT,
        "n_points": COUNT,
        "ranking": RANKING,
        "random_state": SEED,
    }

    def __post_init__(self) -> None:
        check_arguments(self)
        as_any_threat(self.threat, epsilon=self.epsilon, norm=self.norm)  # refuses what contradicts each other

    @checked(sample_weight=WEIGHTS)
    def __call__(self, estimator: Estimator, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Score a fitted estimator on X, as the mean over rows with weights `sample_weight`; `y` is not used."""
        weights = check_sample_weight(sample_weight, n_samples(X))
        thickness = ranking_thickness if self.kind == "indicator" else relaxed_thickness
        values = thickness(
            *((estimator, X) if isinstance(self.threat, TableThreat) else _target_estimator(estimator, X)),
            self.k,
            threat=self.threat,
            epsilon=self.epsilon,
            norm=self.norm,
            distribution=self.distribution,
            n_draws=self.n_draws,
            n_points=self.n_points,
            ranking=self.ranking,
            random_state=self.random_state,
        )
        return weighted_mean(values, weights)


@dataclass(frozen=True, eq=False)
class CertifiedPrecisionScorer(ScoreRequest):
    """Mean proven P@k, a lower bound under every attack within the threat model; higher is more stable.

    Like every score of stability it is independent of accuracy: a linear model of two classes with gradient
    explanations scores 1.

    Parameters
    ----------
    k, threat, epsilon, norm, ranking, method
        As in :func:`robustxai.certificates.certify_top_k`. Under a :class:`robustxai.columns.TableThreat` the scored
        estimator is a Pipeline from raw rows, or a classifier of raw rows, and X a DataFrame of them.
    n_rows : int, optional
        Certify only the first rows.

    Warns
    -----
    SharedExplanationWarning
        Different rows have more than 90 % of their top-k sets in common, without any attack.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import cross_val_score
    >>> from robustxai import SoftplusClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = SoftplusClassifier(max_epochs=5)
    >>> scores = cross_val_score(clf, X, y, cv=3, scoring=CertifiedPrecisionScorer(k=2, epsilon=0.01))
    >>> bool((0 <= scores).all() and (scores <= 1).all())
    True
    """

    k: int = 8
    threat: ThreatModel | TableThreat | None = None
    epsilon: float | None = None
    norm: Norm | None = None
    ranking: Ranking = "magnitude"
    method: BoundMethod = "best"
    n_rows: int | None = None

    __repr__ = short_repr

    _constraints = {
        "k": COUNT,
        **ANY_THREAT_ARGUMENTS,
        "ranking": RANKING,
        "method": Choice(get_args(BoundMethod)),
        "n_rows": optional(COUNT),
    }

    def __post_init__(self) -> None:
        check_arguments(self)
        certified_threat(self.threat, self.epsilon, self.norm, self.method)  # refuses what contradicts each other

    @checked(sample_weight=WEIGHTS)
    def __call__(self, estimator: Estimator, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Score a fitted estimator on X, as the mean over rows with weights `sample_weight`; `y` is not used."""
        weights = check_sample_weight(sample_weight, n_samples(X))
        X = take(X, slice(self.n_rows))
        certificate = certify_top_k(
            estimator,
            X,
            self.k,
            threat=self.threat,
            epsilon=self.epsilon,
            norm=self.norm,
            ranking=self.ranking,
            method=self.method,
        )
        model, rows = _target_estimator(estimator, X)
        attribution = model.explain(rows)
        warn_of_sameness(attribution, _ranked_k(self.k, attribution), self.ranking)
        return weighted_mean(certificate.precision_at_k, None if weights is None else weights[: self.n_rows])


@dataclass(frozen=True, eq=False)
class RobustnessScorer(ScoreRequest):
    """Scores of a classifier's predictions and explanations, from one run of the attacks.

    The result is a dict, which scikit-learn takes as multi-metric scoring (``refit="precision_at_k"``). With
    ``sample_weight``, all means over rows, the areas and the accuracy are weighted; B and the sets of the rows are not:

    ============================ =========================================================================
    ``roc_auc``, ``accuracy``    of the clean inputs; the area is nan where y holds a single class
    ``precision_at_k``           mean over rows of the lowest P@k that any of the attacks reached
    ``precision_at_k_NAME``      mean P@k under one attack, where several are given
    ``between_rows_precision``   B, the P@k between the clean explanations of two different rows
    ``distinct_top_k_sets``      how many different top-k sets the rows have, without an attack
    ``commonest_top_k_share``    share of the rows that have the commonest of them
    ``corrected_precision_at_k`` (P@k - B) / (1 - B), nan where B is 1
    ``first_flip``               mean first iteration of the first attack at which the top-k set changed
    ``adversarial_auc``          AUC at the strongest attack's inputs
    ``prediction_sensitivity``   mean change of the predicted class's probability there
    ``thickness``                mean ranking thickness in the l2 ball of the first attack's epsilon, or over the rows
                                 that its TableThreat admits
    ``comprehensiveness``        faithfulness of the clean explanations (higher is better) ...
    ``sufficiency``              ... (lower is better) ...
    ``decision_flip_fraction``   ... (lower is better)
    ============================ =========================================================================

    Parameters
    ----------
    attack : attack or mapping of name to attack, default=ERAttack()
        Their `estimator` is replaced by the scored estimator. Under a :class:`robustxai.columns.TableThreat` the scored
        estimator is a Pipeline and X a DataFrame of raw rows; all attacks of the minimum are then under one.
    reference : mapping of name to attack, optional
        Attacks that are reported by name but excluded from the minimum, for instance because of another radius.
    n_rows : int, optional
        Attack only the first rows (rows are expected in random order); AUC and accuracy always use all.
    n_draws, n_points : int, default=20, 5
        Sampling of the thickness.
    metrics : mapping of name to metric, optional
        Further metrics of the clean and the attacked explanations, ``(attribution, attribution_adv) -> (n_samples,)``.
        Their means are reported by name.

    Warns
    -----
    EvaluationWarning
        Of attacks that differ in their radius only, one with a larger radius found less than one with a smaller radius.
        It is too weak there.
    SharedExplanationWarning
        B is above 0.9: nearly all rows have the same top-k set, as those of a linear model.
    UndefinedMetricWarning
        The area under the ROC curve is undefined, because y holds a single class or one that the classifier does not
        know. The areas are then nan; all other scores are unaffected.
    """

    attack: BaseAttack | Mapping[str, BaseAttack] = field(default_factory=ERAttack)
    n_rows: int | None = None
    n_draws: int = 20
    n_points: int = 5
    reference: Mapping[str, BaseAttack] = field(default_factory=dict)
    metrics: Mapping[str, Metric] = field(default_factory=dict)

    __repr__ = short_repr

    _constraints = {
        "attack": Either((ATTACK, Named(ATTACK))),
        "n_rows": optional(COUNT),
        "n_draws": COUNT,
        "n_points": COUNT,
        "reference": Named(ATTACK),
        "metrics": Named(Function()),
    }

    def __post_init__(self) -> None:
        check_arguments(self)

    @checked(sample_weight=WEIGHTS)
    def __call__(self, estimator: Estimator, X: Any, y: Any, sample_weight: Any = None) -> dict[str, float]:
        """Score a fitted estimator on X and labels y, with weights of the rows in all means, AUC and accuracy."""
        return self.score_together([estimator], X, y, **_given(sample_weight))[0]

    @checked(sample_weight=WEIGHTS)
    def score_together(
        self, estimators: Sequence[Estimator], X: Any, y: Any, sample_weight: Any = None
    ) -> list[dict[str, float]]:
        """Score many fitted estimators, with each attack on a stack of them where they can be stacked."""
        with of_one_evaluation():
            return self._score_together(estimators, X, y, check_sample_weight(sample_weight, n_samples(X)))

    def _score_together(
        self, estimators: Sequence[Estimator], X: Any, y: Any, weights: np.ndarray | None
    ) -> list[dict[str, float]]:
        explained = [_target_estimator(estimator, X) for estimator in estimators]
        raw = [(estimator, take(X, slice(self.n_rows))) for estimator in estimators]
        seen = [(clf, take(rows, slice(self.n_rows))) for clf, rows in explained]

        def run(attacks: Mapping[str, BaseAttack]) -> dict[str, list[AttackResult]]:
            return {
                name: _run_on_all(attack, raw if isinstance(attack.threat, TableThreat) else seen)
                for name, attack in attacks.items()
            }

        results, references = run(self._attacks()), run(self.reference)
        return [
            self._scores(
                explained[i],
                raw[i],
                y,
                weights,
                *({name: r[i] for name, r in group.items()} for group in (results, references)),
            )
            for i in range(len(explained))
        ]

    def _attacks(self) -> Mapping[str, BaseAttack]:
        return self.attack if isinstance(self.attack, Mapping) else {"": self.attack}

    def _scores(
        self,
        explained: tuple[Any, Any],
        given: tuple[Any, Any],
        y: Any,
        weights: np.ndarray | None,
        results: dict[str, AttackResult],
        references: dict[str, AttackResult],
    ) -> dict[str, float]:
        """All scores of a classifier, whose first rows have been attacked.

        `explained` is the classifier with all rows as it sees them, `given` the scored estimator with the first rows.
        """
        clf, X = explained
        scores = {
            "roc_auc": _area(roc_auc, clf, X, y, weights),
            "accuracy": float(accuracy_score(y, clf.predict(X), sample_weight=weights)),
        }
        X, y = take(X, slice(self.n_rows)), np.asarray(y)[: self.n_rows]
        weights = None if weights is None else weights[: self.n_rows]
        attacks = self._attacks()
        worst = strongest(list(results.values()))
        first = next(iter(attacks.values()))
        of_table = isinstance(first.threat, TableThreat)
        scores["precision_at_k"] = _mean_precision(worst, weights)
        named = {**{name: result for name, result in results.items() if name}, **references}
        means = {name: _mean_precision(result, weights) for name, result in named.items()}
        scores |= {f"precision_at_k_{name}": mean for name, mean in means.items()}
        scores |= _individuality(worst, scores["precision_at_k"], first)
        for precision in _by_radius({**attacks, **self.reference}, means):
            warn_of_rise(precision, "Give it more iterations (max_iter), or use AutoExplanationAttack.curve.")
        model, before = given if of_table else (clf, X)
        thickness = ranking_thickness(
            model,
            before,
            first.k,
            threat=first.threat if of_table else ThreatModel(first.resolved_threat().epsilon),
            n_draws=self.n_draws,
            n_points=self.n_points,
            ranking=first.ranking,
            random_state=first.random_state,
        )
        per_row = {
            "first_flip": next(iter(results.values())).first_flip,
            "prediction_sensitivity": prediction_sensitivity(model, before, worst.X_adv),
            "thickness": thickness,
            "comprehensiveness": comprehensiveness(clf, X, worst.attribution, ranking=first.ranking),
            "sufficiency": sufficiency(clf, X, worst.attribution, ranking=first.ranking),
            "decision_flip_fraction": decision_flip_fraction(clf, X, worst.attribution, ranking=first.ranking),
        }
        per_row |= {name: metric(worst.attribution, worst.attribution_adv) for name, metric in self.metrics.items()}
        scores |= {name: weighted_mean(values, weights) for name, values in per_row.items()}
        scores["adversarial_auc"] = _area(adversarial_auc, model, worst.X_adv, y, weights)
        return scores
