"""Correlation of a quantity with the number of iterations that an explanation withstands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from robustxai._arguments import FLAG, Numbers, Rows, checked, optional
from robustxai._frames import aligned
from robustxai.metrics._spearman import linear_correlation, rank_correlation


@dataclass(frozen=True)
class FlipCorrelation:
    """Correlation of the first flip with a quantity, over samples.

    Attributes
    ----------
    pearson, spearman : float
        NaN if either side is constant, or fewer than two samples are left.
    n_rows : int
        Samples in the correlation.
    n_censored : int
        Samples marked as censored, whether in it or dropped.
    """

    pearson: float
    spearman: float
    n_rows: int
    n_censored: int


@checked(first_flip=Numbers(finite=False), values=Numbers(finite=False), censored=optional(Rows()), drop_censored=FLAG)
def flip_correlation(
    first_flip: Any, values: Any, *, censored: Any = None, drop_censored: bool = False
) -> FlipCorrelation:
    """Correlation, over samples, of the iteration of the first flip with a quantity such as thickness.

    The R2ET paper's Figure 3 has it for ranking thickness (high) and for the Hessian norm (low), and concludes that
    thickness is what measures robustness.

    A sample that no step flipped has no first flip: it is *censored*, and :func:`first_flip_iteration` gives it
    ``n_iter + 1``. It takes part with that number. For Spearman this says what is known, that it lasted longer than
    all others, with the order among the censored left open as ties; for Pearson the number is too small, and many
    such samples bend the line. Dropping them instead selects samples by the outcome, keeps the fragile ones, and so
    biases both; it is there for comparison. The paper does not say what it does.

    Parameters
    ----------
    first_flip : array-like of shape (n_samples,)
        Iterations, as :func:`first_flip_iteration` and the results of attacks give them.
    values : array-like of shape (n_samples,)
        The quantity: :func:`ranking_thickness`, :func:`hessian_norm`, ...
    censored : array-like of bool, shape (n_samples,), default=None
        Which samples never flipped, ``first_flip > n_iter``; only counted unless `drop_censored`.
    drop_censored : bool, default=False
        Whether to leave them out.

    Returns
    -------
    FlipCorrelation
        With ``pearson``, ``spearman``, ``n_rows`` and ``n_censored``.

    Raises
    ------
    ValueError
        If the shapes differ, a number is not finite, or `drop_censored` is asked for without `censored`.

    References
    ----------
    Chen et al., "Robust Ranking Explanations", ICML 2023 workshop (arXiv 2212.14106), Section 4.4 and Figure 3.

    Examples
    --------
    >>> from robustxai.metrics import flip_correlation
    >>> flip_correlation([2, 5, 11, 11], [0.1, 0.4, 0.9, 0.9], censored=[False, False, True, True]).spearman
    1.0
    """
    values = aligned(first_flip, values, ("first_flip", "values"))
    censored = aligned(first_flip, censored, ("first_flip", "censored"))
    flips, quantity = (np.asarray(a, dtype=np.float64) for a in (first_flip, values))
    if flips.ndim != 1 or flips.shape != quantity.shape:
        raise ValueError(
            f"first_flip and values must both have shape (n_samples,), got {flips.shape} and {quantity.shape}."
        )
    if not (np.isfinite(flips).all() and np.isfinite(quantity).all()):
        raise ValueError("first_flip and values must be finite; drop the samples that are not.")
    if drop_censored and censored is None:
        raise ValueError("drop_censored needs to know which samples are; pass censored=first_flip > n_iter.")
    mark = np.zeros(len(flips), dtype=bool) if censored is None else np.asarray(censored, dtype=bool)
    if mark.shape != flips.shape:
        raise ValueError(f"censored must have shape {flips.shape}, got {mark.shape}.")
    kept = ~mark if drop_censored else np.ones(len(flips), dtype=bool)
    if kept.sum() < 2:
        return FlipCorrelation(np.nan, np.nan, int(kept.sum()), int(mark.sum()))
    a, b = (torch.from_numpy(v[kept])[None] for v in (flips, quantity))
    # a constant minus its rounded mean is not zero, and would correlate with anything
    a_centered, b_centered = (torch.where(v.amax() == v.amin(), 0.0, v - v.mean()) for v in (a, b))
    return FlipCorrelation(
        float(linear_correlation(a_centered, b_centered)[0]),
        float(rank_correlation(a, b)[0]),
        int(kept.sum()),
        int(mark.sum()),
    )
