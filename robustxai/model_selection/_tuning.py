"""Optuna studies whose trials are trained as stacks."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import optuna
from joblib import Parallel, delayed
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial, TrialState
from sklearn import get_config
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.exceptions import FitFailedWarning
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils import indexable
from sklearn.utils.metadata_routing import get_routing_for_object

from robustxai._arguments import (
    COUNT,
    INTEGER_SEED,
    N_JOBS,
    WEIGHTS,
    Each,
    Either,
    Has,
    Instance,
    Nothing,
    Rows,
    Text,
    checked,
    optional,
)
from robustxai._compat import fit_params_by_row, n_samples, scorers_by_name, take_rows, takes_weights
from robustxai._validation import check_sample_weight, nearest_name
from robustxai.exceptions import DivergedError
from robustxai.model_selection._batched_search import CV, ESTIMATOR, SCORING
from robustxai.model_selection._choices import GivenStudy, Space
from robustxai.model_selection._stacked_fits import Part, StackedFit, begin_fits, portions, train_fits
from robustxai.model_selection._study import check_space, open_study
from robustxai.model_selection._workers import Worker
from robustxai.protocols import Scoring, Splits

__all__ = ["tune"]

_STORAGE = Either(
    (Text(), Has(("get_all_studies",)), Nothing()), words="the URL of a database, an optuna storage, or None"
)
_WITH_RESULT = (TrialState.COMPLETE, TrialState.PRUNED)
#: Attribute of a failed trial that gives the reason; interrupted trials have none.
_ERROR = "error"
#: Seconds between two reads of the trials of other processes.
_PAUSE = 0.5


@checked(
    estimator=ESTIMATOR,
    space=Instance(Mapping),
    X=Rows(),
    y=Rows(),
    n_trials=COUNT,
    batch_size=COUNT,
    scoring=SCORING,
    objectives=Either((Text(), Each(Text()))),
    cv=CV,
    n_reports=COUNT,
    sampler=optional(Instance(optuna.samplers.BaseSampler)),
    pruner=optional(Instance(optuna.pruners.BasePruner)),
    sample_weight=WEIGHTS,
    storage=_STORAGE,
    study_name=optional(Text()),
    n_jobs=N_JOBS,
    random_state=optional(INTEGER_SEED),
)
def tune(
    estimator: BaseEstimator,
    space: Mapping[str, BaseDistribution],
    X: Any,
    y: Any,
    *,
    n_trials: int = 50,
    batch_size: int = 8,
    scoring: Scoring = None,
    objectives: Sequence[str] = (),
    cv: Splits = None,
    n_reports: int = 4,
    sampler: optuna.samplers.BaseSampler | None = None,
    pruner: optuna.pruners.BasePruner | None = None,
    storage: str | optuna.storages.BaseStorage | None = None,
    study_name: str | None = None,
    n_jobs: int | None = None,
    random_state: int | None = 0,
    sample_weight: Any = None,
) -> optuna.Study:
    """Tune an estimator by an Optuna study that asks for several trials at once and trains them in stacks.

    With a `storage` the study outlives the process. A call with the same name continues it, and processes on several
    machines share its trials. A killed process loses only its running trials: the next call marks them as failed, does
    not count them, and samples new ones.

    Parameters
    ----------
    estimator : estimator
        A classifier of this library, or a pipeline that ends in one. It is cloned for every trial. An estimator that
        cannot be stacked is fitted alone and not pruned.
    space : mapping of str to optuna distribution
        Parameter names, as in ``set_params``, and their distributions. Choices may be of any type whose content can be
        read; the returned study has them in their own types, however the storage keeps them.
    X, y : array-likes of shape (n_samples, *features) and (n_samples,)
        Data that trials are cross-validated on.
    n_trials : int, default=50
        Finished trials that the study is to have, those of earlier calls and other processes included: trials with a
        result, pruned ones, and those that failed by an error of their own. Interrupted ones do not count.
    batch_size : int, default=8
        Trials that are asked for and trained together. More of them are quicker, and each learns less from the others.
    scoring : str, callable, list or dict, optional
        As in scikit-learn; higher is better. The estimator's own score by default.
    objectives : sequence of str, default=()
        Metrics of a `scoring` with several that are maximized, one or more; their names are kept in the study. Every
        metric of a trial is in its ``user_attrs``, as a mean over the splits.
    cv : int, splitter or iterable, optional
        As in scikit-learn; five stratified folds by default. It is asked once, so that all trials see the same splits.
    n_reports : int, default=4
        How often, evenly over the training, the objective is measured and the pruner asked. With several objectives
        nothing is pruned, because Optuna does not know how.
    sampler : optuna sampler, optional
        ``TPESampler`` with a constant liar by default, which spreads the trials of a batch out. Its draws belong to the
        number of a trial, so that a study that is resumed samples anew, and as one that was never stopped. A sampler of
        yours is reseeded where a process goes on with a study; processes that begin one together need samplers of
        several seeds.
    pruner : optuna pruner, optional
        Optuna's median pruner by default.
    storage : str or optuna storage, optional
        URL of a database, such as ``sqlite:///study.db`` or ``postgresql://...``, or ``journal:///path`` for a journal
        file, which needs no server and tolerates network file systems. In memory by default.
    study_name : str, optional
        Needed to find a study again.
    n_jobs : int, optional
        Processes, for the stacks and for the scoring.
    random_state : int or None, default=0
        Seed of the default sampler.
    sample_weight : array-like of shape (n_samples,), optional
        Weights of the rows, in the fits (of the last step of a Pipeline) and in the scores. With scikit-learn's
        metadata routing they go where they are requested.

    Returns
    -------
    optuna.Study
        ``best_params`` (or ``best_trials``) are ready for ``set_params``.

    Raises
    ------
    ValueError
        An empty space, an unknown name (with the nearest one), an unknown objective, or a study whose trials have
        another space.
    TypeError
        A choice whose content cannot be read, or weights with a scorer that does not take `sample_weight`.
    ConnectionError
        A storage that cannot be reached. The message has no password.

    Notes
    -----
    A trial that diverges, cannot be fitted or has no objective (nan) fails, with the reason in its ``user_attrs`` under
    "error", and the others go on; if that happens to all before one has a result, the error is raised. A metric that
    raises an error beside others is nan. ``optuna_integration.OptunaSearchCV`` works with the estimators
    of this library too, a trial at a time.

    Examples
    --------
    >>> from optuna.distributions import FloatDistribution
    >>> from sklearn.datasets import load_iris
    >>> from robustxai import R2ETClassifier
    >>> from robustxai.model_selection import tune
    >>> X, y = load_iris(return_X_y=True)
    >>> space = {"lambda_gap": FloatDistribution(1e-4, 1e-2, log=True)}
    >>> study = tune(R2ETClassifier(k=2, max_epochs=8), space, X, y, n_trials=2, cv=2)
    >>> sorted(study.best_params)
    ['lambda_gap']
    """
    X, y = indexable(X, y)
    weights = check_sample_weight(sample_weight, n_samples(X))
    trials = _Trials(estimator, space, X, y, weights, scoring, objectives, cv, n_jobs)
    study = open_study(sampler, pruner, storage, study_name, trials.objectives, random_state, batch_size)
    check_space(study, trials.space.asked)
    with Worker(study) as worker:
        while True:
            n_elsewhere = worker.fail_abandoned()
            left = n_trials - _finished(study)
            if left <= 0:
                break
            size = min(batch_size, left - n_elsewhere)
            if size <= 0:
                time.sleep(_PAUSE)  # others run the last ones, and may die before they have finished
                continue
            batch = [worker.ask(trials.space.asked) for _ in range(size)]
            _run(study, batch, trials, n_reports if len(study.directions) == 1 else 1)
    return study if trials.space.is_plain else GivenStudy.of(study, trials.space)


def _run(study: optuna.Study, batch: list[Trial], trials: _Trials, n_reports: int) -> None:
    trials.data.clear()  # of earlier batches
    fits = {trial.number: trials.begin(trials.space.params(trial.params)) for trial in batch}
    alive = list(batch)
    failures: list[Exception] = []
    for report in range(1, n_reports + 1):
        trained = trials.train([fits[trial.number] for trial in alive], report / n_reports)
        fits.update(zip((trial.number for trial in alive), trained))
        scores = trials.score([fits[trial.number] for trial in alive])
        going_on = []
        for trial, metrics in zip(alive, scores):
            last = report == n_reports or not trials.stacked(fits[trial.number])
            with suppress(UpdateFinishedTrialError):  # somebody has held this process for dead
                if isinstance(metrics, Exception):
                    error: Exception | None = metrics
                else:
                    error = _book(study, trial, metrics, trials.objectives, report, last=last)
                if error is not None:
                    failures.append(error)
                    trial.set_user_attr(_ERROR, str(error) or type(error).__name__)
                    study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
                elif not last and trial.should_prune():
                    study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
                elif not last:
                    going_on.append(trial)
        alive = going_on
        if not alive:
            break
    unexpected = [error for error in failures if not isinstance(error, DivergedError)]
    if unexpected and len(failures) == len(batch) and not _finished(study, _WITH_RESULT):
        raise unexpected[0]  # nothing has worked so far, and more of the same would not
    for error in unexpected:
        warnings.warn(f"A trial has failed: {type(error).__name__}: {error}", FitFailedWarning, stacklevel=3)


def _book(
    study: optuna.Study,
    trial: Trial,
    metrics: Mapping[str, float],
    objectives: Sequence[str],
    report: int,
    *,
    last: bool,
) -> Exception | None:
    """Write down what a trial is worth; the reason for which that is no result."""
    for name, value in metrics.items():
        trial.set_user_attr(name, value)
    names = objectives or list(metrics)[:1]
    values = [metrics[name] for name in names]
    if last and any(math.isnan(value) for value in values):
        missing = ", ".join(name for name, value in zip(names, values) if math.isnan(value))
        return ValueError(f"There is no value of {missing} on one of the splits (nan).")
    if last:
        study.tell(trial, values, skip_if_finished=True)
    elif len(study.directions) == 1:
        trial.report(values[0], step=report)
    return None


class _Trials:
    """Data, splits and scorers, which all trials of a study share."""

    def __init__(
        self,
        estimator: Any,
        space: Mapping[str, BaseDistribution],
        X: Any,
        y: Any,
        weights: np.ndarray | None,
        scoring: Any,
        objectives: Sequence[str],
        cv: Any,
        n_jobs: int | None,
    ) -> None:
        if not space:
            raise ValueError("space is empty: give it at least one parameter with a distribution.")
        for name, distribution in space.items():
            if not isinstance(distribution, BaseDistribution):
                raise TypeError(
                    f"space[{name!r}] must be an optuna distribution, such as FloatDistribution(1e-4, 1e-1, log=True) "
                    f"or CategoricalDistribution([4, 8]); got {distribution!r}."
                )
            clone(estimator).set_params(**{name: _any_value(distribution)})
        self.space = Space(space)
        self.estimator = estimator
        self.scorer = check_scoring(estimator, scoring, raise_exc=False)
        self.objectives = [objectives] if isinstance(objectives, str) else list(objectives)
        self.n_jobs = n_jobs
        splits = list(check_cv(cv, y, classifier=is_classifier(estimator)).split(X, y))
        to_fit, to_score = ({}, {}) if weights is None else _routed(estimator, self.scorer, weights)
        self.parts, self.tests = (
            [
                Part(take_rows(X, rows[i]), take_rows(y, rows[i]), fit_params_by_row(X, params, rows[i]))
                for rows in splits
            ]
            for i, params in ((0, to_fit), (1, to_score))
        )
        self.data: dict[Any, Any] = {}
        self.watched: dict[Any, Any] = {}

    def begin(self, params: dict[str, Any]) -> list[StackedFit]:
        """A fit for every split."""
        estimators = [clone(self.estimator).set_params(**clone(params, safe=False)) for _ in self.parts]
        fits, data = begin_fits([(e, part) for part, e in enumerate(estimators)], self.parts, self.watched)
        self.data |= data
        return fits

    def stacked(self, fits: list[StackedFit]) -> bool:
        """Return whether all fits can be trained in stacks."""
        return all(fit.members for fit in fits)

    def train(self, groups: list[list[StackedFit]], share: float) -> list[list[StackedFit]]:
        """The groups, trained up to a share of their epochs."""
        flat = train_fits([fit for group in groups for fit in group], self.data, share=share, n_jobs=self.n_jobs)
        n_splits = len(self.parts)
        return [flat[i : i + n_splits] for i in range(0, len(flat), n_splits)]

    def score(self, groups: list[list[StackedFit]]) -> list[dict[str, float] | Exception]:
        """Mean over the splits of every metric, or what a trial died of."""
        jobs = [
            (part, job)
            for part in range(len(self.parts))
            for job in portions(list(range(len(groups))), n_jobs=self.n_jobs)
        ]
        tasks = []
        for part, job in jobs:
            fits = [groups[number][part] for number in job]
            rows = {fit.rows: self.data.get(fit.rows) for fit in fits}
            tasks.append(delayed(_score)(fits, rows, self.parts[part], self.tests[part], self.scorer))
        results = Parallel(n_jobs=self.n_jobs)(tasks)
        found = {(i, part): result for (part, job), many in zip(jobs, results) for i, result in zip(job, many)}
        scores: list[dict[str, float] | Exception] = []
        for group_number in range(len(groups)):
            parts = [found[group_number, part] for part in range(len(self.parts))]
            error = next((part for part in parts if isinstance(part, Exception)), None)
            names = dict.fromkeys(name for part in parts if error is None for name in part)
            means = {name: float(np.mean([part.get(name, math.nan) for part in parts])) for name in names}
            scores.append(means if error is None else error)
            self._check_objectives(scores[-1])
        return scores

    def _check_objectives(self, metrics: dict[str, float] | Exception) -> None:
        if isinstance(metrics, Exception):
            return
        for name in self.objectives:
            if name not in metrics:
                raise ValueError(f"The scoring has no metric {name!r}.{nearest_name(name, metrics)}")
        if not self.objectives and len(metrics) > 1:
            raise ValueError(f"The scoring has several metrics; name objectives among {', '.join(metrics)}.")


def _routed(estimator: Any, scorer: Any, weights: np.ndarray) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters of ``fit`` and of the scorer that hand on weights of rows."""
    passed = {"sample_weight": weights}
    if get_config()["enable_metadata_routing"]:
        pairs = ((estimator, "fit"), (scorer, "score"))
        to_fit, to_score = (
            dict.fromkeys(get_routing_for_object(thing).consumes(method, passed), weights) for thing, method in pairs
        )
        return to_fit, to_score
    scorers = scorers_by_name(scorer)
    for name, one in scorers.items() if isinstance(scorers, Mapping) else [("", scorers)]:
        if not takes_weights(one):
            raise TypeError(
                f"The scorer {name or one!r} does not take sample_weight, so that its score of weighted rows would "
                "be that of others. Give it a parameter sample_weight."
            )
    last, prefix = estimator, ""
    while isinstance(last, Pipeline):
        name, last = last.steps[-1]
        prefix += f"{name}__"
    return {f"{prefix}sample_weight": weights}, passed


def _score(
    fits: Sequence[StackedFit], data: dict[Any, Any], part: Part, test: Part, scorer: Any
) -> list[dict[str, float] | Exception]:
    """The metrics of every fit of a part on its test rows, or what ended it."""
    found: list[Any] = []
    for fit in fits:
        try:
            found.append(fit.fitted(data) if fit.members else fit.estimator.fit(part.X, part.y, **part.params))
        except Exception as error:
            found.append(error)
    alive = [number for number, outcome in enumerate(found) if not isinstance(outcome, Exception)]
    estimators = [found[number] for number in alive]
    scores: list[Any] = []
    if hasattr(scorer, "score_together"):
        with suppress(Exception):  # raised again by the one that it is about
            scores = scorer.score_together(estimators, test.X, test.y, **test.params)
    for number, estimator, score in zip(alive, estimators, scores or [None] * len(alive)):
        try:
            found[number] = _as_metrics(scorer(estimator, test.X, test.y, **test.params) if score is None else score)
        except Exception as error:
            found[number] = error
    return found


def _as_metrics(score: Any) -> dict[str, float]:
    """Metrics by their names; nan for one of several that has raised an error, of which there is the text."""
    if not isinstance(score, Mapping):
        return {"score": float(score)}
    for name, value in score.items():
        if isinstance(value, str):
            warnings.warn(f"The metric {name!r} failed and is nan on this split: {value}", UserWarning, stacklevel=4)
    return {name: math.nan if isinstance(value, str) else float(value) for name, value in score.items()}


def _any_value(distribution: BaseDistribution) -> Any:
    choices = getattr(distribution, "choices", None)
    return choices[0] if choices else distribution.low


def _finished(study: optuna.Study, states: tuple[TrialState, ...] = (*_WITH_RESULT, TrialState.FAIL)) -> int:
    """Count the trials that ended by themselves: interrupted trials have no error."""
    trials = study.get_trials(deepcopy=False, states=states)
    return sum(trial.state in _WITH_RESULT or _ERROR in trial.user_attrs for trial in trials)
