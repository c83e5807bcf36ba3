"""A grid or random search that trains its candidates together."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.model_selection import ParameterGrid, ParameterSampler, check_cv
from sklearn.utils import Bunch, indexable
from typing_extensions import Self

from robustxai._arguments import (
    COUNT,
    FLAG,
    N_JOBS,
    SEED,
    Choice,
    Each,
    Either,
    Function,
    Has,
    Instance,
    Nothing,
    Number,
    Text,
    check_arguments,
    optional,
)
from robustxai._compat import AcceptsWeights, SearchCV, fit_params_by_row, n_samples, scorers_by_name
from robustxai._pareto import pareto_front
from robustxai.model_selection._search_pool import ROWS, Candidate, Pool, Trained
from robustxai.protocols import Scoring, Seed, Splits

__all__ = ["BatchedSearchCV"]

#: Constraints on the arguments of searches and studies, as in scikit-learn.
ESTIMATOR = Has(("fit", "set_params"), words="an estimator, such as R2ETClassifier() or a Pipeline that ends in one")
CV = Either(
    (Number(2, integer=True), Has(("split", "get_n_splits")), Has(("__iter__",)), Nothing()),
    words="a number of folds >= 2, a splitter, an iterable of splits, or None",
)
SCORING = Either(
    (Text(), Function(), Each(Text(), least=1), Instance((Mapping, set)), Nothing()),
    words="the name of a score, a callable, a list or a dict of them, or None",
)


class BatchedSearchCV(SearchCV):
    """``GridSearchCV`` and ``RandomizedSearchCV`` that train all candidates, folds and seeds as stacked models.

    A small network spends most of a training step on starting operations. Here one operation serves a whole stack of
    networks. Within a stack the weights of the penalties, k, learning rate, weight decay, softplus's beta, the seed and
    the fold may differ; architecture, batch size and number of epochs start new stacks. Each model draws batches
    from its own fold in the order of an ordinary fit, so that its result equals that of an ordinary fit up to the
    rounding of float32. A candidate that cannot be stacked is fitted as in ``GridSearchCV``,
    and ``why_not_stacked`` gives the reason. User-defined callbacks, for instance, are not stacked, because they may
    change anything; skorch's early stopping, epoch scoring, printing and most of its schedules are.

    Parameters
    ----------
    estimator : estimator
        A classifier of this library, or a pipeline that ends in one.
    param_grid : dict or list of dicts
        Names and lists of values; with `n_iter` also distributions with ``rvs``, as ``RandomizedSearchCV`` takes them.
    n_iter : int, optional
        Number of candidates to draw; the whole grid by default.
    scoring, refit, cv, verbose, pre_dispatch, error_score, return_train_score
        As in ``GridSearchCV``. A candidate that diverges gets `error_score`, and the others continue. A scorer with a
        method ``score_together(estimators, X, y)``, as those of this library, scores the candidates of a split at once.
    n_jobs : int, optional
        Processes, for the stacks and for the scoring.
    n_rungs : int, default=1
        Successive halving: after 1/4 and 1/2 of the epochs (``n_rungs=3``) the worse half of the candidates is
        dropped. 1 trains all of them to the end.
    stack_size : int, optional
        Largest number of networks in a stack; by default 32 on a CPU, and on a GPU as many as fit into its free memory.
        If that memory is exhausted, the stack is halved.
    random_state : int, RandomState or None, default=None
        Seed of the draws of `n_iter`.

    Attributes
    ----------
    cv_results_ : dict
        As in ``GridSearchCV``, with ``stacked`` (bool), ``why_not_stacked`` (the reason, else empty) and, with halving,
        ``rung``. The fit time of a stacked candidate is its share of the time of its stack.
    best_estimator_, best_params_, best_index_, best_score_, scorer_, n_splits_, refit_time_, multimetric_
        As in ``GridSearchCV``. With halving, the best candidate is one that was trained to the end.
    pareto_front_ : ndarray of int
        Indices of the Pareto-optimal candidates among those trained to the end, best first in the first metric. With
        one metric, the best candidate.

    Raises
    ------
    ValueError
        An empty grid, or a parameter that the estimator does not have; the message names the nearest one.

    See Also
    --------
    robustxai.inspection.ParetoDisplay : The front as a figure.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from robustxai import R2ETClassifier
    >>> from robustxai.attacks import ERAttack
    >>> from robustxai.model_selection import BatchedSearchCV, RobustnessScorer
    >>> X, y = load_iris(return_X_y=True)
    >>> grid = {"lambda_gap": [0.0, 0.01], "lambda_hessian": [0.01, 0.1]}
    >>> scoring = RobustnessScorer(ERAttack(k=2, max_iter=10))
    >>> clf = R2ETClassifier(k=2, max_epochs=10)
    >>> search = BatchedSearchCV(clf, grid, scoring=scoring, refit="precision_at_k", cv=3)
    >>> bool(search.fit(X, y).cv_results_["stacked"].all())
    True
    """

    _constraints = {
        "estimator": ESTIMATOR,
        "param_grid": Either((Instance(Mapping), Each(Instance(Mapping))), words="a dict of lists, or a list of them"),
        "n_iter": optional(COUNT),
        "scoring": SCORING,
        "n_jobs": N_JOBS,
        "refit": Either((FLAG, Text(), Function()), words="True, False, the name of a metric or a callable"),
        "cv": CV,
        "verbose": Either((Number(0, integer=True), FLAG)),
        "pre_dispatch": Either((COUNT, Text())),
        "error_score": Either((Choice(("raise",)), Instance((int, float)))),
        "return_train_score": FLAG,
        "n_rungs": COUNT,
        "stack_size": optional(COUNT),
        "random_state": SEED,
    }

    def __init__(
        self,
        estimator: BaseEstimator,
        param_grid: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        n_iter: int | None = None,
        scoring: Scoring = None,
        n_jobs: int | None = None,
        refit: bool | str | Callable[..., int] = True,
        cv: Splits = None,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
        error_score: float | Literal["raise"] = np.nan,
        return_train_score: bool = False,
        n_rungs: int = 1,
        stack_size: int | None = None,
        random_state: Seed = None,
    ) -> None:
        super().__init__(
            estimator=estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.param_grid = param_grid
        self.n_iter = n_iter
        self.n_rungs = n_rungs
        self.stack_size = stack_size
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Search on X of shape (n_samples, *features) and labels y of shape (n_samples,).

        Parameters
        ----------
        X, y : array-likes
            Data.
        **params
            As of ``GridSearchCV.fit``: `groups` for the splitter, and what the estimator's ``fit`` and the scorers
            take, by scikit-learn's metadata routing where it is enabled: ``sample_weight``, or
            ``STEP__sample_weight`` for a step of a Pipeline without routing. Parameters of ``fit`` with one entry per
            row are split as the rows are. A fit with other parameters than weights is not stacked.
        """
        check_arguments(self)
        scorers = self._scorers_of_search()  # fails for an unknown metric before the training
        X, y = indexable(X, y)
        routed = self._routed(fit_params_by_row(X, params))
        candidates = self._candidates()
        splitter = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        splits = list(splitter.split(X, y, **routed.splitter.split))
        with tempfile.TemporaryDirectory() as folder:
            run = copy.copy(self)
            run.estimator = Trained(self.estimator, folder)
            run.cv = splits  # fixed: a splitter may return others when it is called again
            run._pool = Pool(
                self.estimator,
                candidates,
                (X, y),
                splits,
                Path(folder),
                scoring=self.scoring if self._scores_together(routed.scorer.score) else None,
                options={"n_jobs": self.n_jobs, "stack_size": self.stack_size},
                fit_params=routed.estimator.fit,
                score_params=routed.scorer.score,
            )
            run.scoring = run._pool.prescored(self.scoring)
            run._decided = Bunch(
                estimator=Bunch(fit={**routed.estimator.fit, ROWS: np.arange(n_samples(X))}),
                splitter=Bunch(split={}),  # `splits` are made
                scorer=routed.scorer,
            )
            SearchCV.fit(run, X, y, **params)
        run.scorer_ = scorers_by_name(scorers)
        fitted = {name: value for name, value in vars(run).items() if name.endswith("_") and not name.startswith("_")}
        self.__dict__.update(fitted)
        self._set_front()
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the pool, whose trained networks scikit-learn would send with every task."""
        return {name: value for name, value in super().__getstate__().items() if name not in ("_pool", "_decided")}

    def _scores_together(self, params: Mapping[str, Any]) -> bool:
        """Return whether scorers may score many estimators at once: they take weights, if these are for all of them."""
        if self.return_train_score or (params and isinstance(self.scoring, Mapping)):
            return False
        return not params or (isinstance(self.scoring, AcceptsWeights) and params.keys() <= {"sample_weight"})

    def _candidates(self) -> list[dict[str, Any]]:
        if not self.param_grid:
            raise ValueError("param_grid is empty: give it at least one parameter with a list of values.")
        if self.n_iter is None:
            candidates = list(ParameterGrid(self.param_grid))
        else:
            candidates = list(ParameterSampler(self.param_grid, self.n_iter, random_state=self.random_state))
        for candidate in candidates:  # fails for an unknown name before the training
            clone(self.estimator).set_params(**clone(candidate, safe=False))
        return candidates

    # ---------------------------------------------------------------- hooks of SearchCV

    def _routed(self, params: dict[str, Any]) -> Any:
        """Return the parameters of `fit` by receiver, which the search as it was given decides once."""
        return vars(self).get("_decided") or super()._routed(params)

    def _search(self, evaluate: Callable[..., Mapping[str, Any]], callbacks: Any) -> None:
        pool = self._pool
        alive = list(range(len(pool.candidates)))
        rungs = _Rungs(self, callbacks, self.n_rungs)
        for rung in range(self.n_rungs):
            if self.n_rungs > 1:
                pool.check_stacked(alive)
            pool.train(alive, 0.5 ** (self.n_rungs - 1 - rung))
            pool.score(alive)
            more = {"stacked": pool.stacked(alive), "why_not_stacked": pool.reasons(alive)}
            if self.n_rungs > 1:
                more["rung"] = [rung] * len(alive)
            candidates = [Candidate(pool.candidates[i], i) for i in alive]
            with rungs.announced(len(alive) * self.n_splits_) as options:
                results = evaluate(candidates, more_results=more, **options)
            if rung < self.n_rungs - 1:
                ranks = self._ranks(results)[-len(alive) :]
                alive = [alive[i] for i in np.argsort(ranks, kind="stable")[: -(-len(alive) // 2)]]
        rungs.end()

    def _ranks(self, results: Mapping[str, Any]) -> np.ndarray:
        names = [name for name in results if name.startswith("rank_test_")]
        wanted = f"rank_test_{self.refit}" if isinstance(self.refit, str) else ""
        if len(names) > 1 and wanted not in names:
            raise ValueError("Halving with several metrics drops by refit: name one of them there.")
        return np.asarray(results[wanted if wanted in names else names[0]])

    def _results(self, candidates: Sequence[Any], n_splits: int, out: list[dict[str, Any]], more: Any) -> Any:
        for name, seconds in self._pool.seconds.items():
            for result, share in zip(out, seconds):
                result[name] = result[name] if share is None else share
        for name in ("test_scores", "train_scores"):
            _fill_in_metrics(out, name)
        results = super()._results([dict(c) for c in candidates], n_splits, out, more)
        return {
            name: np.asarray(v) if name in ("stacked", "why_not_stacked", "rung") else v for name, v in results.items()
        }

    def _best_index(self, refit: Any, metric: str, results: Any) -> Any:
        if callable(refit) or "rung" not in results:
            return super()._best_index(refit, metric, results)
        scores = np.where(results["rung"] == self.n_rungs - 1, results[f"mean_test_{metric}"], np.nan)
        return int(np.nanargmax(scores)) if np.isfinite(scores).any() else 0

    def _set_front(self) -> None:
        results = self.cv_results_
        names = [name for name in results if name.startswith("mean_test_")]
        means = np.stack([results[name] for name in names], axis=1).astype(float)
        if "rung" in results:
            means[results["rung"] < self.n_rungs - 1] = np.nan
        known = ~np.isnan(means).all(axis=0)  # a metric that no candidate has is ignored
        self.pareto_front_ = pareto_front(means[:, known] if known.any() else means)


class _Rungs:
    """Report the fits of a search to scikit-learn's callbacks; `context` is None in versions without callbacks."""

    def __init__(self, search: BatchedSearchCV, context: Any, n_rungs: int) -> None:
        self.search, self.context, self.n_rungs = search, context, n_rungs
        if context is not None and n_rungs > 1:
            self.context = context.subcontext(task_name="search", max_subtasks=n_rungs)
            self.context.call_on_fit_task_begin(estimator=search)

    @contextmanager
    def announced(self, n_fits: int) -> Iterator[dict[str, Any]]:
        """Yield the options of ``evaluate`` besides the candidates."""
        if self.context is None:
            yield {}
            return
        name = "search" if self.n_rungs == 1 else "rung"
        own = self.context.subcontext(task_name=name, max_subtasks=n_fits, sequential_subtasks=False)
        own.call_on_fit_task_begin(estimator=self.search)
        yield {"callback_ctx": own}
        own.call_on_fit_task_end(estimator=self.search)

    def end(self) -> None:
        """Report the end of the last rung."""
        if self.context is not None and self.n_rungs > 1:
            self.context.call_on_fit_task_end(estimator=self.search)


def _fill_in_metrics(out: list[dict[str, Any]], name: str) -> None:
    """Write the error score of a scorer of several metrics, where it failed, under the names of its metrics."""
    metrics = next((list(result[name]) for result in out if isinstance(result.get(name), dict)), [])
    for result in out if metrics else ():
        if not isinstance(result[name], dict):
            result[name] = dict.fromkeys(metrics, result[name])
