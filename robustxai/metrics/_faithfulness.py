"""Faithfulness: dependence of the prediction on the units that an explanation ranks first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from robustxai._arguments import Numbers, Rows, checked, optional
from robustxai.metrics._inputs import chunks
from robustxai.metrics._removal import COUNTS, Removal
from robustxai.protocols import Estimator, Ranking
from robustxai.ranking import RANKING

SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)
PERCENTS = tuple(percent / 100 for percent in range(1, 101))

_checked = checked(
    X=Rows(),
    attribution=optional(Numbers(finite=False)),
    baseline=optional(Numbers()),
    ks=COUNTS,
    ranking=RANKING,
)


@_checked
def comprehensiveness(
    estimator: Estimator,
    X: Any,
    attribution: Any = None,
    *,
    baseline: Any = None,
    ks: Sequence[int] | None = None,
    ranking: Ranking = "magnitude",
) -> np.ndarray:
    r"""Mean change of the predicted probability without the most important units; higher is better.

    .. math:: COMP = \frac{1}{|K|} \sum_{k \in K} |f_c(x) - f_c(x_{\setminus k})|

    with c the class predicted at x and :math:`x_{\setminus k}` the input without its top-k units.

    Parameters
    ----------
    estimator : fitted estimator
        With ``predict_proba``, and ``explain`` when no attribution is given.
    X : array-like of shape (n_samples, *features)
        The inputs whose explanations are measured.
    attribution : array-like of the shape of X, default=None
        The explanations to judge; by default ``estimator.explain(X)``. Where the estimator explains columns
        (:class:`~robustxai.explainers.ColumnContributions`), of shape (n_samples, n_columns): a column is then removed
        with all of its features.
    baseline : float or array of the shape of one sample, default=None
        Value of a removed unit, which the paper does not specify. By default the training mean,
        ``estimator.feature_means_`` (the least informative value), or 0 if the estimator has none.
    ks : sequence of int, default=None
        The numbers K of units to remove; by default, as in the paper, 1, ..., n for a table (of at most 100 columns)
        and {1, 5, 10, 20, 50} % of n otherwise.
    ranking : {"magnitude", "signed"}, default="magnitude"
        What is ranked, as in :func:`precision_at_k`.

    Returns
    -------
    ndarray of shape (n_samples,)
        Values in [0, 1].

    Raises
    ------
    ValueError
        If attribution or baseline has a wrong shape, or ks an entry outside 1, ..., n.

    References
    ----------
    Chen et al., "Robust Ranking Explanations", ICML 2023 workshop (arXiv 2212.14106), Section 4, after DeYoung et al.,
    "ERASER", ACL 2020, whose version has no absolute value.

    Examples
    --------
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> from robustxai.metrics import comprehensiveness
    >>> model = SimpleNamespace(predict_proba=lambda X: np.stack([1 - X @ [0.5, 0.25], X @ [0.5, 0.25]], axis=1))
    >>> comprehensiveness(model, np.ones((1, 2)), attribution=[[0.5, 0.25]], ks=[1])
    array([0.5])
    """
    return _mean_change(Removal.prepare(estimator, X, attribution, baseline, ranking), ks, keep_top=False)


@_checked
def sufficiency(
    estimator: Estimator,
    X: Any,
    attribution: Any = None,
    *,
    baseline: Any = None,
    ks: Sequence[int] | None = None,
    ranking: Ranking = "magnitude",
) -> np.ndarray:
    r"""Mean change of the predicted probability with only the most important units; lower is better.

    .. math:: SUFF = \frac{1}{|K|} \sum_{k \in K} |f_c(x) - f_c(x_{[k]})|

    with c the class predicted at x and :math:`x_{[k]}` the input with only its top-k units.

    Parameters
    ----------
    estimator, X, attribution, baseline, ks, ranking
        As in :func:`comprehensiveness`.

    Returns
    -------
    ndarray of shape (n_samples,)
        Values in [0, 1].

    Raises
    ------
    ValueError
        As in :func:`comprehensiveness`.

    References
    ----------
    As for :func:`comprehensiveness`.

    Examples
    --------
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> from robustxai.metrics import sufficiency
    >>> model = SimpleNamespace(predict_proba=lambda X: np.stack([1 - X @ [0.5, 0.25], X @ [0.5, 0.25]], axis=1))
    >>> sufficiency(model, np.ones((1, 2)), attribution=[[0.5, 0.25]], ks=[1])
    array([0.25])
    """
    return _mean_change(Removal.prepare(estimator, X, attribution, baseline, ranking), ks, keep_top=True)


@_checked
def decision_flip_fraction(
    estimator: Estimator,
    X: Any,
    attribution: Any = None,
    *,
    baseline: Any = None,
    ks: Sequence[int] | None = None,
    ranking: Ranking = "magnitude",
) -> np.ndarray:
    r"""Smallest share of units whose removal, in order of importance, flips the decision; lower is better.

    .. math:: DFFOT = \min \{ k / n : \arg\max f(x) \ne \arg\max f(x_{\setminus k}) \}

    and 1 if no k does. A decision that flips only when all n units are removed has the value 1 too.

    Parameters
    ----------
    estimator, X, attribution, baseline, ranking
        As in :func:`comprehensiveness`.
    ks : sequence of int, default=None
        The numbers of units to try; by default 1, ..., n for a table (of at most 100 columns), and otherwise every
        whole percent of n, which rounds the result up to the next percent.

    Returns
    -------
    ndarray of shape (n_samples,)
        Values in (0, 1].

    Raises
    ------
    ValueError
        As in :func:`comprehensiveness`.

    References
    ----------
    Serrano & Smith, "Is Attention Interpretable?", ACL 2019; Chen et al., "Robust Ranking Explanations", ICML 2023
    workshop (arXiv 2212.14106), Section 4.

    Examples
    --------
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> from robustxai.metrics import decision_flip_fraction
    >>> model = SimpleNamespace(predict_proba=lambda X: np.stack([1 - X @ [0.5, 0.25], X @ [0.5, 0.25]], axis=1))
    >>> decision_flip_fraction(model, np.ones((1, 2)), attribution=[[0.5, 0.25]])
    array([0.5])
    """
    removal = Removal.prepare(estimator, X, attribution, baseline, ranking)
    counts = sorted(set(removal.counts(ks, PERCENTS)))
    result = np.ones(len(removal.x))
    for part in chunks(len(result), removal.row_size):
        rows = np.arange(part.start, part.stop)
        decision = removal.probabilities(rows).argmax(axis=1)
        for k in counts:
            flipped = removal.probabilities(rows, removal.rank[rows] < k).argmax(axis=1) != decision
            result[rows[flipped]] = k / removal.n_units
            rows, decision = rows[~flipped], decision[~flipped]
            if not len(rows):
                break
    return result


def _mean_change(removal: Removal, ks: Sequence[int] | None, *, keep_top: bool) -> np.ndarray:
    """Compute the mean over the counts of |f_c(x) - f_c(changed x)|, c the class predicted at x."""
    counts = removal.counts(ks, SHARES)
    result = np.empty(len(removal.x))
    for part in chunks(len(result), removal.row_size):
        before = removal.probabilities(part)
        predicted = before.argmax(axis=1)[:, None]
        changes = np.zeros((len(before), 1))
        for k in counts:
            top = removal.rank[part] < k
            after = removal.probabilities(part, ~top if keep_top else top)
            changes += np.abs(np.take_along_axis(before, predicted, 1) - np.take_along_axis(after, predicted, 1))
        result[part] = changes[:, 0] / len(counts)
    return result
