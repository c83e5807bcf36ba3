"""Cosine similarity of two explanations."""

from __future__ import annotations

from typing import Any

import numpy as np

from robustxai._arguments import Numbers, checked
from robustxai.metrics._inputs import of_one_shape, plain_array
from robustxai.metrics._spearman import linear_correlation
from robustxai.ranking import as_tensor


@checked(attribution=Numbers(finite=False), attribution_adv=Numbers(finite=False))
def cosine_similarity(attribution: Any, attribution_adv: Any) -> np.ndarray:
    r"""Cosine of the angle between two explanations, taken as vectors of all their entries.

    .. math:: \cos(a, a') = \frac{\langle a, a' \rangle}{\|a\|_2 \|a'\|_2}

    Unlike the metrics of ranked units, it depends on signs and, for images, on every channel.

    Parameters
    ----------
    attribution, attribution_adv : array-like of shape (n_samples, *features)
        The explanations before and after.

    Returns
    -------
    ndarray of shape (n_samples,)
        Values in [-1, 1]; NaN where either explanation is zero, which has no direction.

    Raises
    ------
    ValueError
        If the shapes differ or an attribution is NaN.

    References
    ----------
    Wang & Kong, "Exploiting the relationship between Kendall's rank correlation and cosine similarity for attribution
    protection", NeurIPS 2022.

    Examples
    --------
    >>> from robustxai.metrics import cosine_similarity
    >>> cosine_similarity([[1.0, 0.0], [1.0, 1.0]], [[3.0, 0.0], [-1.0, 1.0]])
    array([1., 0.])
    """
    attribution_adv = of_one_shape(attribution, attribution_adv)
    first, second = (
        plain_array(a, name) for a, name in ((attribution, "attribution"), (attribution_adv, "attribution_adv"))
    )
    for array, name in ((first, "attribution"), (second, "attribution_adv")):
        if np.isnan(array).any():
            raise ValueError(f"{name} contains NaN, which has no direction; replace or drop those samples.")
    return linear_correlation(*(as_tensor(a.astype(np.float64)).flatten(start_dim=1) for a in (first, second)))
