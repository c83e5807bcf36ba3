"""How logistic regression and R2ET do on the same rows, trained on rows that they are not judged by."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline

from robustxai.audit._intervals import area_interval, share_interval
from robustxai.audit._measures import Effort, Measured, measure
from robustxai.audit._target import N_POINTS, Target
from robustxai.classifiers import LinearClassifier, R2ETClassifier
from robustxai.columns import TableThreat, column_map
from robustxai.datasets import make_preprocessor
from robustxai.explainers import ColumnContributions
from robustxai.metrics import between_rows_precision, chance_corrected_precision
from robustxai.perturbation import ThreatModel
from robustxai.protocols import ContributionMethod, Ranking

__all__ = ["LAMBDA_HESSIAN", "NAMES", "Plan", "line_of", "plan", "rivals"]

#: R2ET's weight of the Hessian term for contributions of raw columns, that of docs/results/columns.md. The default of
#: the classifier was chosen for gradients. With contributions it ruins the AUC on COMPAS.
LAMBDA_HESSIAN = 3e-4
#: R2ET for contributions of raw columns: the sum of functions of single columns of docs/results/columns.md, whose
#: values were chosen on training rows.
_OF_COLUMNS: dict[str, Any] = {
    "lambda_hessian": LAMBDA_HESSIAN,
    "module": "additive",
    "module__beta": 5.0,
    "lr": 5e-3,
    "max_epochs": 12,
}


def _r2et(k: int, explainer: Any, ranking: Ranking, seed: int) -> R2ETClassifier:
    """Return R2ET at its defaults for features, in its form for columns for contributions of raw columns."""
    options = _OF_COLUMNS if isinstance(explainer, ColumnContributions) else {}
    return R2ETClassifier(k, ranking=ranking, explainer=explainer, random_state=seed, **options)


#: Rivals by name.
RIVALS: dict[str, Callable[[int, Any, Ranking, int], Any]] = {
    "logistic regression": lambda k, explainer, ranking, seed: LinearClassifier(explainer=explainer, random_state=seed),
    "R2ET": _r2et,
}
#: Contributions that the rivals are trained for, one gradient, as ``robustxai fit`` trains: those that are audited take
#: several gradients a step.
_TRAINED_FOR: ContributionMethod = "gradient_times_input"
#: Categories in fewer training rows have one feature together, as in ``robustxai fit``.
_MIN_FREQUENCY = 20
#: Largest number of rows on which the area under the ROC curve is taken.
_MOST_SCORED = 10_000
#: Names of the rivals.
NAMES = tuple(RIVALS)


@dataclass(frozen=True)
class Plan:
    """Which rows train and which judge.

    Attributes
    ----------
    folds : list of (ndarray, ndarray, ndarray)
        Training rows, rows whose explanations are judged, and rows on which the area under the ROC curve is taken:
        places in X.
    scored : ndarray of int
        All rows of the last kind.
    words : str
        The plan in a sentence.
    """

    folds: list[tuple[np.ndarray, np.ndarray, np.ndarray]]
    scored: np.ndarray
    words: str


def plan(y: np.ndarray, judged: np.ndarray, n_train: int, random_state: int) -> Plan:
    """Hold the judged rows out where enough others are there, else cross-fit in two folds.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Labels of all rows.
    judged : ndarray of int of shape (m,)
        Places of the rows that judge.
    n_train : int
        Largest number of rows that train.
    random_state : int
        Seed.
    """
    generator = np.random.default_rng(random_state)
    others = np.setdiff1d(np.arange(len(y)), judged)
    if len(others) >= 2 * len(judged) and len(np.unique(y[others])) == len(np.unique(y)):
        train = np.sort(generator.choice(others, min(n_train, 2 * len(others) // 3), replace=False))
        scored = np.setdiff1d(np.arange(len(y)), train)
        if len(scored) > _MOST_SCORED:
            scored = np.union1d(judged, generator.choice(scored, _MOST_SCORED, replace=False))
        words = (
            f"They were trained on {len(train):,} rows of X. The {len(judged):,} rows whose explanations are compared "
            f"were held out, and so were the {len(scored):,} rows of the area under the ROC curve."
        )
        return Plan([(train, judged, scored)], scored, words)
    folds = []
    splits = StratifiedKFold(2, shuffle=True, random_state=random_state).split(np.zeros(len(y)), y)
    for train, test in splits:
        if len(train) > n_train:
            train = np.sort(generator.choice(train, n_train, replace=False))
        folds.append((train, np.intersect1d(test, judged), test))
    words = (
        f"They were cross-fitted: each half of the {len(y):,} rows of X trained a model that was judged on rows of the "
        f"other half: {len(judged):,} rows for explanations, all for the area under the ROC curve."
    )
    return Plan(folds, np.arange(len(y)), words)


def rivals(
    X: Any,
    y: np.ndarray,
    target: Target,
    threat: ThreatModel | TableThreat,
    how: Plan,
    effort: Effort,
) -> dict[str, dict[str, Any]]:
    """Train and measure the rivals; return a line of figures for each.

    Parameters
    ----------
    X : DataFrame of raw rows, or ndarray of features
        All rows.
    y : ndarray
        Labels.
    target : Target
        What is audited.
    threat : ThreatModel or TableThreat
        Of the audit.
    how : Plan
        Which rows train.
    effort : Effort
        Of attacks and proofs.
    """
    lines = {}
    # what an audited black box is not looked at by would make its rivals look worse
    effort = replace(effort, attacks=not target.is_black_box or effort.preset != "fast")
    for name, made in RIVALS.items():
        parts: list[Measured] = []
        scores, truth = [], []
        for train, test, scored in how.folds:
            model = _fitted(made, X, y, train, target, effort.random_state)
            if len(test):
                other = Target.of(model, _rows(X, test), threat, None, target.k, target.ranking)
                parts.append(measure(other, 1.0, effort))
            scores.append(np.asarray(model.predict_proba(_rows(X, scored))))
            truth.append(y[scored])
        classes = np.unique(y)
        lines[name] = line_of(parts, target.k, target.ranking, np.concatenate(scores), np.concatenate(truth), classes)
    return lines


def _rows(X: Any, places: np.ndarray) -> Any:
    return X.iloc[places] if isinstance(X, pd.DataFrame) else X[places]


def _fitted(
    made: Callable[[int, Any, Ranking, int], Any],
    X: Any,
    y: np.ndarray,
    train: np.ndarray,
    target: Target,
    seed: int,
) -> Any:
    if target.columns is None:
        own = getattr(target.model, "explainer", None)
        explainer: Any = "integrated_gradients" if target.is_black_box or own is None else own
        return made(target.k, explainer, target.ranking, seed).fit(X[train], y[train])
    rows = X.iloc[train]
    preprocessor = make_preprocessor(rows, min_frequency=_MIN_FREQUENCY).fit(rows)
    columns = column_map(preprocessor)
    groups, names = [group.tolist() for group in columns.groups], [str(name) for name in columns.columns]
    own = getattr(target.model, "explainer_", None)
    method, n_points = "integrated_gradients", N_POINTS
    if isinstance(own, ColumnContributions):
        method, n_points = own.method, own.n_points
    explainer = ColumnContributions(_TRAINED_FOR, groups=groups, names=names)
    pipe = make_pipeline(preprocessor, made(target.k, explainer, target.ranking, seed)).fit(rows, y[train])
    measured = ColumnContributions(method, n_points=n_points, groups=groups, names=names)  # type: ignore[arg-type]
    pipe[-1].set_params(explainer=measured)
    return pipe


def line_of(
    parts: list[Measured], k: int, ranking: Ranking, scores: np.ndarray, truth: np.ndarray, classes: np.ndarray
) -> dict[str, Any]:
    """Return the figures of one model: AUC, P@k attacked and proven, similarity of rows, corrected P@k."""
    strongest, papers, certified, random = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("strongest", "papers", "certified", "random")
    )
    # similarity within what one model explains; models of two folds are not compared with each other
    sizes = np.array([len(part.strongest) for part in parts], dtype=float)
    similar = [between_rows_precision(part.attribution, k, ranking=ranking) for part in parts]
    between = float(np.average(similar, weights=sizes)) if all(map(math.isfinite, similar)) else math.nan
    area = area_interval(scores, truth, classes)
    mean = share_interval(strongest, k)
    return {
        "n_rows": len(strongest),
        "roc_auc": area[0],
        "roc_auc_low": area[1],
        "roc_auc_high": area[2],
        "random": float(np.nanmean(random)),
        "papers": float(np.nanmean(papers)) if np.isfinite(papers).any() else math.nan,
        "strongest": mean[0],
        "strongest_low": mean[1],
        "strongest_high": mean[2],
        "certified": float(np.nanmean(certified)) if np.isfinite(certified).any() else math.nan,
        "between_rows": between,
        "corrected": float(chance_corrected_precision(mean[0], between)),
    }
