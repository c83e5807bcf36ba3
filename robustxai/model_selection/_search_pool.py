"""Where a search keeps its fits: trained and scored together, found one by one."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, clone
from sklearn.utils import _safe_indexing

from robustxai._files import read_sealed, write_sealed
from robustxai.model_selection._stacked_fits import StackedFit, begin_fits, portions, train_fits

__all__ = ["Pool", "Trained", "as_given"]


class Pool:
    """All fits of a search, and the folder from which its processes take them."""

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
        stacked: bool,
    ) -> None:
        self.candidates = candidates
        self.folder = folder
        named = scoring if isinstance(scoring, Mapping) else {"": scoring}
        self.scorers = {name: scorer for name, scorer in named.items() if hasattr(scorer, "score_together")}
        self.options = options
        self.n_splits = len(splits)
        parts, self.held_out = (
            [tuple(_safe_indexing(column, split[side]) for column in rows) for split in splits] for side in (0, 1)
        )
        self.names = [joblib.hash(part) for part in parts]
        pairs = [
            (clone(estimator).set_params(**clone(candidate, safe=False)), part)
            for candidate in candidates
            for part in range(len(parts))
        ]
        self.fits: list[StackedFit]
        if stacked:
            self.fits, self.data = begin_fits(pairs, parts)
        else:
            self.fits, self.data = [StackedFit(e, p, why_not="fit has parameters of its own") for e, p in pairs], {}
        self.seconds: dict[str, list[float | None]] = {"fit_time": [], "score_time": []}

    def of(self, candidate: int) -> range:
        """Numbers of the candidate's fits, split by split."""
        return range(candidate * self.n_splits, (candidate + 1) * self.n_splits)

    def stacked(self, candidates: Sequence[int]) -> list[bool]:
        return [not any(self.fits[i].why_not for i in self.of(c)) for c in candidates]

    def reasons(self, candidates: Sequence[int]) -> list[str]:
        return [next((self.fits[i].why_not for i in self.of(c) if self.fits[i].why_not), "") for c in candidates]

    def check_stacked(self, candidates: Sequence[int]) -> None:
        """ValueError unless all of them can be stopped and go on."""
        for reason in filter(None, self.reasons(candidates)):
            raise ValueError(f"Halving needs candidates that can be stacked: {reason}.")

    def train(self, candidates: Sequence[int], share: float) -> None:
        """Train the candidates up to a share of their epochs, and lay the results down for the scoring."""
        numbers = [i for c in candidates for i in self.of(c)]
        results = train_fits([self.fits[i] for i in numbers], self.data, share=share, **self.options)
        for number, fit in zip(numbers, results):
            self.fits[number] = fit
            self.seconds["fit_time"].append(fit.seconds if fit.members else None)
            if fit.members:
                _lay_down(_outcome(fit, self.data), path := self.path(number))
                _scores_of(path).unlink(missing_ok=True)  # those of an earlier rung

    def path(self, number: int) -> Path:
        """Where the result of a fit lies."""
        return _path(self.folder, self.candidates[number // self.n_splits], self.names[self.fits[number].part])

    def score(self, candidates: Sequence[int]) -> None:
        """Score what was trained, the candidates of a split at once, and lay the scores down beside it."""
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
        """The `scoring` of the search, whose scorers find what was scored together."""
        known = {name: _Prescored(name, scorer) for name, scorer in self.scorers.items()}
        return {**scoring, **known} if isinstance(scoring, Mapping) else known.get("", scoring)


def _outcome(fit: StackedFit, data: dict[Hashable, Any]) -> Any:
    """The fitted estimator, or what it died of."""
    try:
        return fit.fitted(data)
    except Exception as error:  # raised again where scikit-learn expects it, in fit
        return error


def _score(scorers: Mapping[str, Any], paths: Sequence[Path], X: Any, y: Any) -> float | None:
    """Score the estimators that lie there; the seconds of each, or None where they have to be scored one by one."""
    start = time.perf_counter()
    found = {path: _pick_up(path) for path in paths}
    estimators = {path: outcome for path, outcome in found.items() if not isinstance(outcome, Exception)}
    try:
        scores = {name: s.score_together(list(estimators.values()), X, y) for name, s in scorers.items()}
    except Exception:  # raised again where scikit-learn expects it, by the one that it is about
        return None
    for number, path in enumerate(estimators):
        _lay_down({name: values[number] for name, values in scores.items()}, _scores_of(path))
    return (time.perf_counter() - start) / len(paths)


class _Prescored:
    """A scorer that finds the score with an estimator that was scored together with others."""

    def __init__(self, name: str, scorer: Any) -> None:
        self.name = name
        self.scorer = scorer

    def __call__(self, estimator: Any, X: Any, y: Any = None) -> Any:
        known = getattr(estimator, "_scores_in_search", {})
        return known.pop(self.name) if self.name in known else self.scorer(estimator, X, y)


def as_given(scorer: Any) -> Any:
    """The scorers of a search without what `Pool.prescored` has put around them."""
    if isinstance(scorer, Mapping):
        return {name: as_given(one) for name, one in scorer.items()}
    return scorer.scorer if isinstance(scorer, _Prescored) else scorer


def _path(folder: str | Path, params: dict[str, Any], part: str) -> Path:
    return Path(folder) / f"{joblib.hash(params)}-{part}.joblib"


def _scores_of(path: Path) -> Path:
    """Where the scores lie of the fit that lies at `path`."""
    return path.with_suffix(".scores")


def _lay_down(value: Any, path: Path) -> None:
    buffer = io.BytesIO()
    joblib.dump(value, buffer)
    write_sealed(path, buffer.getvalue(), path.name, lasting=False)


def _pick_up(path: Path) -> Any:
    advice = "It is a temporary file of a search: start the search again, and leave its folder alone."
    return joblib.load(io.BytesIO(read_sealed(path, path.name, advice)))


class Trained(BaseEstimator):
    """The searched estimator, which finds its trained self in a folder when it is asked to fit.

    scikit-learn's search clones it, sets a candidate's parameters, and fits and scores what `set_params` returned: the
    estimator itself, without anything around it that a scorer would have to know of.
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
        """The estimator with these parameters."""
        path = partial(_path, self.folder, clone(params, safe=False))
        estimator = clone(self.estimator).set_params(**params)
        estimator.fit = partial(_fit_or_find, estimator, path)
        return estimator


def _fit_or_find(estimator: Any, path: Callable[[str], Path], X: Any, y: Any = None, **params: Any) -> Any:
    del estimator.fit
    found = path(joblib.hash((X, y)))
    if params or not found.exists():
        return estimator.fit(X, y, **params)
    trained = _pick_up(found)
    if isinstance(trained, Exception):
        raise trained
    vars(estimator).update(vars(trained))
    if (scores := _scores_of(found)).exists():
        estimator._scores_in_search = _pick_up(scores)
    return estimator
