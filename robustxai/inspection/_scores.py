"""Scores of a model beside its stability, for legends."""

from __future__ import annotations

from typing import Any

from sklearn.metrics import accuracy_score

from robustxai.metrics import roc_auc
from robustxai.protocols import FittedClassifier

__all__ = ["SCORES", "in_words", "model_score"]

#: Name of a score -> its abbreviation.
SCORES = {"accuracy": "accuracy", "roc_auc": "AUC"}


def model_score(name: str, estimator: FittedClassifier, X: Any, y: Any) -> float:
    """Return the accuracy or AUC of an estimator; `name` is one of `SCORES`."""
    return float(accuracy_score(y, estimator.predict(X)) if name == "accuracy" else roc_auc(estimator, X, y))


def in_words(name: str, value: float) -> str:
    """Format a score as ``"accuracy .97"``."""
    return f"{SCORES[name]} {f'{value:.2f}'.removeprefix('0')}"
