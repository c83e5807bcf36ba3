"""From the estimator that a user has to the classifier that is attacked, and an attack on it."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone
from sklearn.pipeline import Pipeline

__all__ = ["aimed", "victim"]


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
