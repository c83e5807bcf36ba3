"""Warnings about evaluations that do not match the training of a classifier or the scale of the data."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from robustxai._validation import outside
from robustxai.exceptions import EvaluationWarning, MismatchWarning
from robustxai.protocols import Ranking

__all__ = ["of_one_evaluation", "spread_of", "warn_of_ball", "warn_of_mismatch"]

#: Share of a feature's standard deviation below which a radius is too small.
_TINY = 2e-3
#: The same where features differ by more than `_UNEVEN` in their standard deviations, as they do in units of their own.
_TINY_UNEVEN, _UNEVEN = 1e-2, 100.0
#: Multiple of the usual distance of a row from the mean above which a ball contains all data.
_HUGE = 3.0
#: Smallest number of rows for an estimate of the spread, where the classifier does not know that of its training data.
_ENOUGH = 10

#: Warnings of the current evaluation; None outside of one.
_SAID: ContextVar[set[str] | None] = ContextVar("said", default=None)


@contextmanager
def of_one_evaluation(*, silent: bool = False) -> Iterator[None]:
    """Issue each warning once in the block, whichever parts issue it; with `silent`, issue none."""
    token = _SAID.set(_Everything() if silent else _SAID.get() if _SAID.get() is not None else set())
    try:
        yield
    finally:
        _SAID.reset(token)


def warn_of_mismatch(estimator: Any, what: str, *, k: int | None = None, ranking: Ranking | None = None) -> None:
    """Warn where `what` ("the attack", ...) uses another top set than the training of the classifier.

    Parameters
    ----------
    estimator : fitted classifier
        Its ``k_`` and ``ranking_`` are read; a classifier trained for no ranking has neither and gives no warning.
    what : str
        Name of the caller, for the message.
    k : int, optional
        Size of the evaluated top set, after clipping.
    ranking : str, optional
        What is ranked.
    """
    name = type(estimator).__name__
    trained = getattr(estimator, "k_", None)
    if k is not None and trained is not None and k != trained:
        _warn(
            f"{what} asks about the top {k}, but this {name} was trained for the top {trained}: another top set may be "
            f"less stable than that one. Ask with k={trained}, or train with k={k}.",
            MismatchWarning,
        )
    trained = getattr(estimator, "ranking_", None)
    if ranking is not None and trained is not None and ranking != trained:
        _warn(
            f"{what} ranks by {ranking}, but this {name} was trained for ranks by {trained}. Ask with "
            f"ranking={trained!r}, or train with ranking={ranking!r}.",
            MismatchWarning,
        )


def warn_of_ball(
    what: str,
    epsilon: float,
    spread: np.ndarray | None,
    *,
    norm: Any = 2,
    unit: Any = 1.0,
    names: Sequence[str] | None = None,
    cure: str = "ThreatModel(scale=...)",
    category: type[Warning] = EvaluationWarning,
) -> None:
    """Warn where a ball is very small or very large relative to the spread of the data.

    Parameters
    ----------
    what : str
        How the radius is called: "epsilon".
    epsilon : float
        Radius; of 0 nothing is said.
    spread : ndarray of shape (*features,), or None
        Standard deviation of every feature in the data; None where it is not known.
    norm : {2, inf, "inf"}, default=2
        Of the ball.
    unit : float or ndarray of shape (*features,), default=1.0
        Its axes; 0 for frozen features.
    names : sequence of str, optional
        Of the features.
    cure : str
        What gives a feature its own unit.
    category : type of Warning
        Of the warning.
    """
    if spread is None or not epsilon:
        return
    axes = np.broadcast_to(np.asarray(unit, dtype=np.float64), np.shape(spread)).ravel()
    spreads = np.asarray(spread, dtype=np.float64).ravel()
    free = np.flatnonzero((axes > 0) & (spreads > 0))
    if not len(free):
        return
    lengths = spreads[free] / axes[free]  # standard deviations in units of the ball
    widest = int(lengths.argmax())
    share = epsilon / lengths[widest]
    if epsilon < _TINY * lengths.min() or (share < _TINY_UNEVEN and lengths[widest] > _UNEVEN * lengths.min()):
        label = "" if len(np.shape(spread)) > 1 else f" of {_label(int(free[widest]), names)}"
        _warn(
            f"{what}={epsilon:g} is {share:.1g} of the standard deviation{label} ({spreads[free[widest]]:.3g}): the "
            "ball is tiny beside the data, and what is stable in it may be so for that reason alone. Standardize X (a "
            f"StandardScaler in a Pipeline), or give the features units of their own by {cure}.",
            category,
        )
        return
    typical = math.sqrt(float((lengths**2).sum())) if str(norm) in ("2", "2.0") else float(lengths.max())
    if epsilon > _HUGE * typical:
        _warn(
            f"{what}={epsilon:g} is {epsilon / typical:.1f} times as large as the usual distance of a row from the mean"
            f" "
            f"of the data ({typical:.3g}): the ball is huge beside the data, and no input looks like most of its "
            f"points. Use a smaller radius, standardize X, or give the features units of their own by {cure}.",
            category,
        )


def spread_of(estimator: Any, X: np.ndarray) -> np.ndarray | None:
    """Return the standard deviations of the features in the training data, else in X; None for few rows."""
    spread = getattr(estimator, "feature_scales_", None)
    if spread is not None:
        return spread if np.shape(spread) == X.shape[1:] else None
    return X.std(axis=0, dtype=np.float64) if len(X) >= _ENOUGH else None


class _Everything(set[str]):
    def __contains__(self, text: object) -> bool:
        return True


def _label(feature: int, names: Sequence[str] | None) -> str:
    return repr(str(names[feature])) if names is not None else f"feature {feature}"


def _warn(text: str, category: type[Warning]) -> None:
    said = _SAID.get()
    if said is not None:
        if text in said:
            return
        said.add(text)
    warnings.warn(text, category, stacklevel=outside())
