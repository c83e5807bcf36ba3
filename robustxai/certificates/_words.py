"""Certificates in words."""

from __future__ import annotations

import numpy as np

from robustxai.columns import TableThreat
from robustxai.perturbation import ThreatModel

__all__ = ["in_words", "mean", "of_k"]


def of_k(k: int | None) -> str:
    """Return ``"P@8"``."""
    return "P@k" if k is None else f"P@{k}"


def mean(values: np.ndarray) -> float:
    """Return the mean; NaN for no values, without a warning."""
    return float(np.mean(values)) if len(values) else float("nan")


def in_words(precision: np.ndarray, k: int | None, threat: ThreatModel | TableThreat) -> str:
    """Describe the proven P@k of all rows."""
    top = "top set" if k is None else f"top {k}"
    whole, nothing = int((precision == 1).sum()), int((precision == 0).sum())
    return (
        f"{len(precision):,} rows, {threat.in_words()}: proven {of_k(k)} {mean(precision):.3f} in the mean.\n"
        f"The whole {top} provably stays in {whole} rows; nothing is proven in {nothing} rows."
    )
