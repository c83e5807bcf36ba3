"""The measurement of a trained model by attacks and certificates, which stand above the classifiers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["interval_of", "lowest_precision", "measure_with", "proven_precision"]

#: Function of a fitted classifier, rows, and the options k, threat and ranking to the P@k of each row.
Measure = Callable[..., np.ndarray]

_measure: Measure | None = None
_prove: Measure | None = None
#: Quantile of the normal distribution for 95 %.
_QUANTILE = 1.96


def measure_with(measure: Measure, prove: Measure) -> None:
    """Set the functions by which classifiers measure themselves; the package does so when it is imported."""
    global _measure, _prove
    _measure, _prove = measure, prove


def lowest_precision(estimator: Any, X: np.ndarray, **options: Any) -> np.ndarray:
    """Return the P@k of each row under the strongest attack of the library."""
    assert _measure is not None, "robustxai sets it"
    return _measure(estimator, X, **options)


def proven_precision(estimator: Any, X: np.ndarray, **options: Any) -> np.ndarray:
    """Return the certified P@k of each row."""
    assert _prove is not None, "robustxai sets it"
    return _prove(estimator, X, **options)


def interval_of(precision: np.ndarray) -> tuple[float, float]:
    """Return both ends of the 95 % confidence interval of the mean of values in [0, 1].

    The normal one, with a standard deviation to which one value of 0 and one of 1 are added, so that it is not zero
    where all rows are alike.
    """
    n, mean = len(precision), float(precision.mean())
    half = _QUANTILE * float(np.r_[precision, 0.0, 1.0].std(ddof=1)) / n**0.5
    return max(mean - half, 0.0), min(mean + half, 1.0)
