"""Optuna studies whose trials are trained as stacks."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from joblib import Parallel, delayed
from optuna.distributions import BaseDistribution
from optuna.trial import Trial, TrialState
from sklearn.base import clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing, indexable

from robustxai._arguments import (
    COUNT,
    INTEGER_SEED,
    N_JOBS,
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
from robustxai._validation import nearest_name
from robustxai.exceptions import DivergedError
from robustxai.model_selection._batched_search import CV, ESTIMATOR, SCORING
from robustxai.model_selection._stacked_fits import StackedFit, begin_fits, portions, train_fits

__all__ = ["tune"]

_STORAGE = Either(
    (Text(), Has(("get_all_studies",)), Nothing()), words="the URL of a database, an optuna storage, or None"
)


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
    storage=_STORAGE,
    study_name=optional(Text()),
    n_jobs=N_JOBS,
    random_state=optional(INTEGER_SEED),
)
def tune(
    estimator: Any,
    space: Mapping[str, BaseDistribution],
    X: Any,
    y: Any,
    *,
    n_trials: int = 50,
    batch_size: int = 8,
    scoring: Any = None,
    objectives: Sequence[str] = (),
    cv: Any = None,
    n_reports: int = 4,
    sampler: optuna.samplers.BaseSampler | None = None,
    pruner: optuna.pruners.BasePruner | None = None,
    storage: Any = None,
    study_name: str | None = None,
    n_jobs: int | None = None,
    random_state: int | None = 0,
) -> optuna.Study:
    """Tune an estimator by an Optuna study that asks for several trials at once and trains them in stacks.

    With a `storage` the study outlives the process: called again with the same name it goes on, and processes on
    several machines that call it share its trials. What was in flight when a process was killed is lost, no more.

    Parameters
    ----------
    estimator : estimator
        A classifier of this library, or a pipeline that ends in one. It is cloned for every trial; one that cannot be
        stacked is fitted by itself and not pruned.
    space : mapping of str to optuna distribution
        Parameter names, as in ``set_params``, and where to look for them.
    X, y : array-likes of shape (n_samples, *features) and (n_samples,)
        Data that trials are cross-validated on.
    n_trials : int, default=50
        Finished trials that the study is to have, those of earlier calls and other processes included.
    batch_size : int, default=8
        Trials that are asked for and trained together. More of them are quicker, and each learns less from the others.
    scoring : str, callable, list or dict, optional
        As in scikit-learn; higher is better. The estimator's own score by default.
    objectives : sequence of str, default=()
        Metrics of a `scoring` with several that are maximised, one or more; their names are kept in the study. Every
        metric of a trial is in its ``user_attrs``, as a mean over the splits.
    cv : int, splitter or iterable, optional
        As in scikit-learn; five stratified folds by default. It is asked once, so that all trials see the same splits.
    n_reports : int, default=4
        How often, evenly over the training, the objective is measured and the pruner asked. With several objectives
        nothing is pruned, because Optuna does not know how.
    sampler : optuna sampler, optional
        ``TPESampler`` with a constant liar by default, which spreads the trials of a batch out.
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

    Returns
    -------
    optuna.Study
        ``best_params`` (or ``best_trials``) are ready for ``set_params``.

    Raises
    ------
    ValueError
        An empty space, an unknown name (with the nearest one), or an unknown objective.
    ConnectionError
        A storage that cannot be reached.

    Notes
    -----
    A trial that diverges fails, and the others go on. ``optuna_integration.OptunaSearchCV`` works with the estimators
    of this library too, a trial at a time.

    Examples
    --------
    >>> from optuna.distributions import FloatDistribution
    >>> from sklearn.datasets import load_iris
    >>> from robustxai import R2ETClassifier
    >>> from robustxai.model_selection import tune
    >>> X, y = load_iris(return_X_y=True)
    >>> space = {"lambda_gap": FloatDistribution(1e-4, 1e-2, log=True)}
    >>> study = tune(R2ETClassifier(k=2, max_epochs=8), space, X, y, n_trials=4, cv=3)
    >>> sorted(study.best_params)
    ['lambda_gap']
    """
    X, y = indexable(X, y)
    trials = _Trials(estimator, space, X, y, scoring, objectives, cv, n_jobs)
    study = _open_study(sampler, pruner, storage, study_name, trials.objectives, random_state, batch_size)
    while (left := n_trials - _finished(study)) > 0:
        batch = [study.ask(dict(space)) for _ in range(min(batch_size, left))]
        try:
            _run(study, batch, trials, n_reports if len(study.directions) == 1 else 1)
        except BaseException:
            running = {t.number for t in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))}
            for trial in batch:
                if trial.number in running:
                    study.tell(trial, state=TrialState.FAIL)
            raise
    return study


def _run(study: optuna.Study, batch: list[Trial], trials: _Trials, n_reports: int) -> None:
    fits = {trial.number: trials.begin(trial.params) for trial in batch}
    alive = list(batch)
    for report in range(1, n_reports + 1):
        trained = trials.train([fits[trial.number] for trial in alive], report / n_reports)
        fits.update(zip((trial.number for trial in alive), trained))
        scores = trials.score([fits[trial.number] for trial in alive])
        going_on = []
        for trial, metrics in zip(alive, scores):
            if isinstance(metrics, Exception):
                trial.set_user_attr("error", str(metrics))
                study.tell(trial, state=TrialState.FAIL)
                continue
            values = [metrics[name] for name in trials.objectives or list(metrics)[:1]]
            last = report == n_reports or not trials.stacked(fits[trial.number])
            if not last and len(study.directions) == 1:
                trial.report(values[0], step=report)
            for name, value in metrics.items():
                trial.set_user_attr(name, value)
            if last:
                study.tell(trial, values)
            elif trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
            else:
                going_on.append(trial)
        alive = going_on
        if not alive:
            break


class _Trials:
    """What all trials of a study share: data, splits, scorers."""

    def __init__(
        self,
        estimator: Any,
        space: Mapping[str, BaseDistribution],
        X: Any,
        y: Any,
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
        self.estimator = estimator
        self.scorer = check_scoring(estimator, scoring)
        self.objectives = [objectives] if isinstance(objectives, str) else list(objectives)
        self.n_jobs = n_jobs
        splits = list(check_cv(cv, y, classifier=is_classifier(estimator)).split(X, y))
        self.parts, self.tests = (
            [(_safe_indexing(X, rows[i]), _safe_indexing(y, rows[i])) for rows in splits] for i in (0, 1)
        )
        self.data: dict[Any, Any] = {}
        self.watched: dict[Any, Any] = {}

    def begin(self, params: dict[str, Any]) -> list[StackedFit]:
        """A fit for every split."""
        estimators = [clone(self.estimator).set_params(**params) for _ in self.parts]
        fits, data = begin_fits([(e, part) for part, e in enumerate(estimators)], self.parts, self.watched)
        self.data |= data
        return fits

    def stacked(self, fits: list[StackedFit]) -> bool:
        """Whether all of them can be trained in stacks."""
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
            scores.append(error or {name: float(np.mean([part[name] for part in parts])) for name in parts[0]})
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


def _score(
    fits: Sequence[StackedFit], data: dict[Any, Any], part: tuple[Any, Any], test: tuple[Any, Any], scorer: Any
) -> list[dict[str, float] | Exception]:
    """The metrics of every fit of a part on its test rows, or the DivergedError that ended it."""
    found: list[Any] = []
    for fit in fits:
        try:
            found.append(fit.fitted(data) if fit.members else fit.estimator.fit(*part))
        except DivergedError as error:
            found.append(error)
    alive = [number for number, outcome in enumerate(found) if not isinstance(outcome, DivergedError)]
    estimators = [found[number] for number in alive]
    if hasattr(scorer, "score_together"):
        scores = scorer.score_together(estimators, *test)
    else:
        scores = [scorer(estimator, *test) for estimator in estimators]
    for number, score in zip(alive, scores):
        found[number] = {k: float(v) for k, v in score.items()} if isinstance(score, dict) else {"score": score}
    return found


def _any_value(distribution: BaseDistribution) -> Any:
    choices = getattr(distribution, "choices", None)
    return choices[0] if choices else distribution.low


def _finished(study: optuna.Study) -> int:
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    return len(study.get_trials(deepcopy=False, states=states))


def _open_study(
    sampler: Any, pruner: Any, storage: Any, name: str | None, objectives: list[str], seed: int | None, batch_size: int
) -> optuna.Study:
    if sampler is None:
        sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=batch_size > 1)
    try:
        study = optuna.create_study(
            sampler=sampler,
            pruner=pruner,
            storage=_open_storage(storage),
            study_name=name,
            load_if_exists=True,
            directions=["maximize"] * max(len(objectives), 1),
        )
    except Exception as error:
        if storage is None:
            raise
        raise ConnectionError(
            f"The storage {storage!r} cannot be used: {error}. Give the URL of a database that this machine reaches "
            "(sqlite:///study.db, postgresql://user:password@host/name) or of a journal file (journal:///study.log)."
        ) from error
    if objectives:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(objectives)
    return study


def _open_storage(storage: Any) -> Any:
    if isinstance(storage, str) and storage.startswith("journal:///"):
        from optuna.storages.journal import JournalFileBackend

        return optuna.storages.JournalStorage(JournalFileBackend(storage.removeprefix("journal:///")))
    return storage
