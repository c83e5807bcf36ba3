"""What a certificate says, in words."""

from __future__ import annotations

import numpy as np

__all__ = ["in_words", "mean", "of_k"]


def of_k(k: int | None) -> str:
    """``"P@8"``."""
    return "P@k" if k is None else f"P@{k}"


def mean(values: np.ndarray) -> float:
    """The mean; NaN of nothing, without a warning."""
    return float(np.mean(values)) if len(values) else float("nan")


def in_words(precision: np.ndarray, k: int | None, ball: str) -> str:
    """What is proven of the P@k of all rows."""
    top = "top set" if k is None else f"top {k}"
    whole, nothing = int((precision == 1).sum()), int((precision == 0).sum())
    return (
        f"{len(precision):,} rows, {ball}: proven {of_k(k)} {mean(precision):.3f} in the mean.\n"
        f"Of {whole} rows the whole {top} is proven to stay, of {nothing} nothing."
    )
