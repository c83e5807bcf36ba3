"""Fits of a search: trained and scored together, returned one by one."""

from __future__ import annotations

import pickle
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, clone

from robustxai._compat import AcceptsWeights, fit_params_by_row, n_samples, take_rows
from robustxai._files import read_sealed, write_sealed
from robustxai.model_selection._stacked_fits import Part, StackedFit, begin_fits, portions, train_fits

__all__ = ["ROWS", "Candidate", "Pool", "Trained"]

#: Names of the parameters that give `Trained` its candidate and its training rows.
_NUMBER, ROWS = "_candidate_of_search", "_rows_of_search"


class Candidate(dict[str, Any]):
    """Parameters of a candidate with its number in the search.

    scikit-learn clones the parameters that it sets. The clone includes the number, and `Trained` removes it.
    """

    def __init__(self, params: Mapping[str, Any], number: int) -> None:
        super().__init__(params)
        self.number = number

    def __reduce__(self) -> Any:
        return Candidate, (dict(self), self.number)

    def __sklearn_clone__(self) -> dict[str, Any]:
        return {**clone(dict(self), safe=False), _NUMBER: self.number}


class Pool:
    """All fits of a search, and the folder through which its processes share them."""

    def __init__(
        self,
        estimator: Any,
        candidates: list[dict[str, Any]],
        rows: tuple[Any, Any],
        splits: Sequence[tuple[np.ndarray, np.ndarray]],
        folder: Path,
        *,
        scoring: Any,
        options: dict[str, Any],
        fit_params: Mapping[str, Any],
        score_params: Mapping[str, Any],
    ) -> None:
        self.candidates = candidates
        self.folder = folder
        self.options = options
        self.n_splits = len(splits)
        # scikit-learn selects rows by number, whatever the splitter returns
        numbers = np.arange(n_samples(rows[0]))
        self.names = [_name(numbers[train]) for train, _ in splits]
        named = scoring if isinstance(scoring, Mapping) else {"": scoring}
        self.scorers = {name: scorer for name, scorer in named.items() if hasattr(scorer, "score_together")}
        if len(set(self.names)) < self.n_splits:  # training rows do not identify a fit with several test sets
            self.scorers = {}
        parts, self.held_out = (
            [_part(*rows, params, numbers[split[side]]) for split in splits]
            for side, params in ((0, fit_params), (1, score_params))
        )
        pairs = [
            (clone(estimator).set_params(**clone(candidate, safe=False)), part)
            for candidate in candidates
            for part in range(len(parts))
        ]
        self.fits: list[StackedFit]
        self.fits, self.data = begin_fits(pairs, parts)
        self.seconds: dict[str, list[float | None]] = {"fit_time": [], "score_time": []}

    def of(self, candidate: int) -> range:
        """Return the numbers of the candidate's fits, in the order of the splits."""
        return range(candidate * self.n_splits, (candidate + 1) * self.n_splits)

    def stacked(self, candidates: Sequence[int]) -> list[bool]:
        return [not any(self.fits[i].why_not for i in self.of(c)) for c in candidates]

    def reasons(self, candidates: Sequence[int]) -> list[str]:
        return [next((self.fits[i].why_not for i in self.of(c) if self.fits[i].why_not), "") for c in candidates]

    def check_stacked(self, candidates: Sequence[int]) -> None:
        """Raise ValueError unless all of them can be stopped and resumed."""
        for reason in filter(None, self.reasons(candidates)):
            raise ValueError(f"Halving needs candidates that can be stacked: {reason}.")

    def train(self, candidates: Sequence[int], share: float) -> None:
        """Train the candidates up to a share of their epochs, and store the results for scoring."""
        numbers = [i for c in candidates for i in self.of(c)]
        results = train_fits([self.fits[i] for i in numbers], self.data, share=share, **self.options)
        for number, fit in zip(numbers, results):
            self.fits[number] = self._laid_down(number, fit) if fit.members else fit
            self.seconds["fit_time"].append(fit.seconds if self.fits[number].members else None)

    def _laid_down(self, number: int, fit: StackedFit) -> StackedFit:
        """Store the result of a fit in the folder; a fit that cannot be stored counts as not stacked."""
        path = self.path(number)
        _scores_of(path).unlink(missing_ok=True)  # scores of an earlier rung
        try:
            outcome = _outcome(fit, self.data)
            _lay_down(outcome, path)
            if isinstance(outcome, Exception):
                _pick_up(path)  # an exception may not survive pickling
        except Exception as error:  # classes raise errors of any kind when they cannot be pickled
            path.unlink(missing_ok=True)
            return replace(fit, members=[], why_not=f"the fitted estimator cannot be pickled ({error})")
        return fit

    def path(self, number: int) -> Path:
        """Return the path of a fit's result."""
        return _path(self.folder, number // self.n_splits, self.names[self.fits[number].part])

    def score(self, candidates: Sequence[int]) -> None:
        """Score the trained candidates of each split at once, and store the scores beside the fits."""
        numbers = [i for c in candidates for i in self.of(c)]
        jobs = []
        if self.scorers:
            stacked = [i for i in numbers if self.fits[i].members]
            groups = [[i for i in stacked if self.fits[i].part == part] for part in range(self.n_splits)]
            jobs = [job for group in groups for job in portions(group, n_jobs=self.options["n_jobs"])]
        done = Parallel(n_jobs=self.options["n_jobs"])(
            delayed(_score)(self.scorers, [self.path(i) for i in job], *self.held_out[self.fits[job[0]].part])
            for job in jobs
        )
        shares = {i: seconds for job, seconds in zip(jobs, done) for i in job}
        self.seconds["score_time"] += [shares.get(i) for i in numbers]

    def prescored(self, scoring: Any) -> Any:
        """Return the `scoring` of the search with scorers that return stored scores."""
        known = {name: _Prescored(name, scorer) for name, scorer in self.scorers.items()}
        return {**scoring, **known} if isinstance(scoring, Mapping) else known.get("", scoring)


def _part(X: Any, y: Any, params: Mapping[str, Any], rows: np.ndarray) -> Part:
    labels = None if y is None else take_rows(y, rows)
    return Part(take_rows(X, rows), labels, fit_params_by_row(X, params, rows) if params else {})


def _outcome(fit: StackedFit, data: dict[Hashable, Any]) -> Any:
    """Return the fitted estimator, or the error of its fit."""
    try:
        return fit.fitted(data)
    except Exception as error:  # scikit-learn expects it in fit, where it is raised again
        return error


def _score(
    scorers: Mapping[str, Any], paths: Sequence[Path], X: Any, y: Any, params: Mapping[str, Any]
) -> float | None:
    """Score stored estimators together; return seconds per estimator, or None if they must be scored one by one."""
    start = time.perf_counter()
    found = {path: _pick_up(path) for path in paths}
    estimators = {path: outcome for path, outcome in found.items() if not isinstance(outcome, Exception)}
    try:
        scores = {name: s.score_together(list(estimators.values()), X, y, **params) for name, s in scorers.items()}
    except Exception:  # raised again when scikit-learn scores the estimator that caused it
        return None
    for number, path in enumerate(estimators):
        _lay_down({name: values[number] for name, values in scores.items()}, _scores_of(path))
    return (time.perf_counter() - start) / len(paths)


class _Prescored(AcceptsWeights):
    """A scorer that returns the score that is stored with an estimator."""

    def __init__(self, name: str, scorer: Any) -> None:
        self.name = name
        self.scorer = scorer

    def __call__(self, estimator: Any, X: Any, y: Any = None, **params: Any) -> Any:
        known = getattr(estimator, "_scores_in_search", {})
        return known.pop(self.name) if self.name in known else self.scorer(estimator, X, y, **params)


def _name(rows: np.ndarray) -> str:
    """Return a name for a set of training rows."""
    return joblib.hash(np.ascontiguousarray(rows, dtype=np.int64))


def _path(folder: str | Path, candidate: int, part: str) -> Path:
    return Path(folder) / f"{candidate}-{part}.pickle"


def _scores_of(path: Path) -> Path:
    """Return the path of the scores of the fit at `path`."""
    return path.with_suffix(".scores")


def _lay_down(value: Any, path: Path) -> None:
    # cloudpickle also pickles objects that a script or notebook defines
    write_sealed(path, cloudpickle.dumps(value), path.name, lasting=False)


def _pick_up(path: Path) -> Any:
    advice = "It is a temporary file of a search: start the search again, and leave its folder alone."
    return pickle.loads(read_sealed(path, path.name, advice))


class Trained(BaseEstimator):
    """The searched estimator, whose `fit` loads the trained estimator from a folder.

    scikit-learn's search clones it, sets a candidate's parameters, and fits and scores the object that `set_params`
    returned: the estimator itself, so that scorers see no wrapper. The numbers of the candidate and of the rows
    identify the stored fit.
    """

    def __init__(self, estimator: Any, folder: str) -> None:
        self.estimator = estimator
        self.folder = folder

    def __sklearn_clone__(self) -> Trained:
        return Trained(clone(self.estimator), self.folder)

    def __sklearn_tags__(self) -> Any:
        return self.estimator.__sklearn_tags__()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("estimator", "folder"):
            raise AttributeError(name)
        return getattr(self.estimator, name)

    def set_params(self, **params: Any) -> Any:
        """Return the estimator with these parameters."""
        number = params.pop(_NUMBER, None)  # None: the refit
        estimator = clone(self.estimator).set_params(**params)
        estimator.fit = partial(_fit_or_find, estimator, self.folder, number)
        return estimator


def _fit_or_find(estimator: Any, folder: str, number: int | None, *data: Any, **params: Any) -> Any:
    del estimator.fit
    rows = params.pop(ROWS)
    found = None if number is None else _path(folder, number, _name(rows))
    if found is None or not found.exists():
        return estimator.fit(*data, **params)
    trained = _pick_up(found)
    if isinstance(trained, Exception):
        raise trained
    vars(estimator).update(vars(trained))
    if (scores := _scores_of(found)).exists():
        estimator._scores_in_search = _pick_up(scores)
    return estimator
