"""From what a display is given to what is attacked: the classifier, X as it sees it, and the attack on it."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.metrics import accuracy_score
from sklearn.pipeline import Pipeline

from robustxai.metrics import roc_auc

__all__ = ["SCORES", "aimed", "in_words", "model_score", "take", "victim"]

#: What is told of a model beside its stability -> how it is abbreviated.
SCORES = {"accuracy": "accuracy", "roc_auc": "AUC"}


def victim(estimator: Any, X: Any) -> tuple[Any, Any]:
    """The classifier that is explained, and X as it sees it.

    The steps of a Pipeline before the last one transform X; a fitted search is replaced by its best estimator.
    """
    while hasattr(estimator, "best_estimator_") or isinstance(estimator, Pipeline):
        if isinstance(estimator, Pipeline):
            X = estimator[:-1].transform(X) if len(estimator) > 1 else X
            estimator = estimator[-1]
        else:
            estimator = estimator.best_estimator_
    return estimator, X


def aimed(attack: Any, estimator: Any, k: int | None = None) -> Any:
    """A copy of `attack` on `estimator`, with `k` unless that is None."""
    if not hasattr(attack, "run"):
        raise TypeError(
            f"attack must be an attack on explanations, for instance ERAttack(k=8), got {attack!r}. Attacks that are "
            "meant to change the prediction have no explanation to compare."
        )
    changed = {} if k is None else {"k": k}
    return clone(attack).set_params(estimator=estimator, **changed)


def model_score(name: str, estimator: Any, X: Any, y: Any) -> float:
    """Accuracy or AUC of an estimator; `name` is one of `SCORES`."""
    return float(accuracy_score(y, estimator.predict(X)) if name == "accuracy" else roc_auc(estimator, X, y))


def in_words(name: str, value: float) -> str:
    """``"accuracy .97"``: two digits, without the zero before the point."""
    return f"{SCORES[name]} {f'{value:.2f}'.removeprefix('0')}"


def take(X: Any, rows: Any) -> Any:
    """Some rows of an array or a DataFrame."""
    return X.iloc[rows] if hasattr(X, "iloc") else np.asarray(X)[rows]
