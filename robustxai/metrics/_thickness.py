"""Ranking thickness: the probability that a top-k unit stays above the rest on the way to a neighbor."""

from __future__ import annotations

from typing import Any

import numpy as np

from robustxai._arguments import COUNT, FLAG, SEED, Rows, checked
from robustxai.columns import ANY_THREAT_ARGUMENTS, TableThreat, as_any_threat
from robustxai.metrics._paths import mean_along_paths, mean_gap, ordered_fraction
from robustxai.perturbation import DISTRIBUTION, ThreatModel
from robustxai.protocols import Distribution, Estimator, Norm, Ranking, Seed
from robustxai.ranking import RANKING

_checked = checked(
    X=Rows(),
    k=COUNT,
    **ANY_THREAT_ARGUMENTS,
    distribution=DISTRIBUTION,
    n_draws=COUNT,
    n_points=COUNT,
    ranking=RANKING,
    random_state=SEED,
    return_std_error=FLAG,
)


@_checked
def ranking_thickness(
    estimator: Estimator,
    X: Any,
    k: int = 8,
    *,
    threat: ThreatModel | TableThreat | None = None,
    epsilon: float | None = None,
    norm: Norm | None = None,
    distribution: Distribution = "uniform",
    n_draws: int = 50,
    n_points: int = 10,
    ranking: Ranking = "magnitude",
    random_state: Seed = 0,
    return_std_error: bool = False,
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    r"""Probability that a top-k unit stays at or above another one between x and a random neighbor.

    .. math::

        \Theta = \frac{1}{k (n - k)} \sum_{i \in T} \sum_{j \notin T}
        \mathbb{E}_{x'} \int_0^1 \mathbb{1}[s_i(x(t)) \ge s_j(x(t))] \, dt, \qquad x(t) = (1 - t) x + t x'

    with s the unit scores of the class predicted at x and T their top-k set there. At one point the pair mean is the
    ROC-AUC of membership in T with ties counted as 1, hence one sort and no loop over pairs. The integral is a
    midpoint rule. Row i gets the same draws however many rows follow it.

    Parameters
    ----------
    estimator : fitted estimator
        With ``classes_``, ``predict_proba(X)`` and ``explain(X, y)``.
    X : array-like of shape (n_samples, *features)
        The inputs whose explanations are measured.
    k : int, default=8
        Size of the top-k set, as in :func:`precision_at_k`.
    threat : ThreatModel or TableThreat, optional
        Ball of the neighbors; ``ThreatModel()`` (l2, epsilon 0.5) by default. A scale gives each feature its unit,
        frozen features stay; bounds are refused. For "gaussian" its epsilon is the standard deviation of every
        coordinate. These are different sizes: a Gaussian neighbor lies at about epsilon * sqrt(n_features).
        Under a :class:`robustxai.columns.TableThreat` `estimator` is a Pipeline from raw rows, X a DataFrame of them,
        and x(t) an admissible row whose numbers moved by a share t of their budgets at most, drawn uniformly, with one
        of the admissible choices of switches, all equally likely.
    epsilon, norm : optional
        Shorthand for ``threat=ThreatModel(epsilon, norm)``.
    distribution : {"uniform", "gaussian"}, default="uniform"
        Law of the neighbor x': uniform in the ball in which attacks and certificates work, or normal.
    n_draws : int, default=50
        Neighbors per sample. The paper names no number; at 50 the standard error is at most .5 / sqrt(50) = .07,
        for a value in [0, 1], and an order smaller for most inputs.
    n_points : int, default=10
        Points on each segment. The midpoint rule is then off by at most max|s''| / 2400 for a smooth integrand, well
        below the error of the draws.
    ranking : {"magnitude", "signed"}, default="magnitude"
        What is ranked, as in :func:`precision_at_k`.
    random_state : int, Seed or None, default=0
        Source of the draws; fixed by default so that two models are compared on the same displacements.
    return_std_error : bool, default=False
        Whether to return the standard error over the draws as well.

    Returns
    -------
    thickness : ndarray of shape (n_samples,)
        Values in [0, 1]; 1 when no pair was ever seen in reverse.
    std_error : ndarray of shape (n_samples,)
        Only if `return_std_error`.

    Raises
    ------
    ValueError
        If there is nothing to rank (a single unit), an argument is out of range, or an explanation is NaN.

    References
    ----------
    Chen et al., "Robust Ranking Explanations", ICML 2023 workshop (arXiv 2212.14106), Equations 2 and 4.

    Examples
    --------
    A linear model of two classes has one gradient up to its length, so no pair is ever reversed:

    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> from robustxai.metrics import ranking_thickness
    >>> linear = SimpleNamespace(
    ...     classes_=np.array(["no", "yes"]),
    ...     predict_proba=lambda X: np.tile([0.3, 0.7], (len(X), 1)),
    ...     explain=lambda X, y: np.tile([3.0, -2.0, 1.0], (len(X), 1)),
    ... )
    >>> ranking_thickness(linear, np.zeros((2, 3)), k=1)
    array([1., 1.])
    """
    return mean_along_paths(
        ordered_fraction,
        estimator,
        X,
        k,
        threat=as_any_threat(threat, epsilon=epsilon, norm=norm),
        distribution=distribution,
        n_draws=n_draws,
        n_points=n_points,
        ranking=ranking,
        random_state=random_state,
        return_std_error=return_std_error,
    )


@_checked
def relaxed_thickness(
    estimator: Estimator,
    X: Any,
    k: int = 8,
    *,
    threat: ThreatModel | TableThreat | None = None,
    epsilon: float | None = None,
    norm: Norm | None = None,
    distribution: Distribution = "uniform",
    n_draws: int = 50,
    n_points: int = 10,
    ranking: Ranking = "magnitude",
    random_state: Seed = 0,
    return_std_error: bool = False,
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    r"""Mean gap between a top-k unit and another one between x and a random neighbor.

    .. math::

        \tilde\Theta = \frac{1}{k (n - k)} \sum_{i \in T} \sum_{j \notin T}
        \mathbb{E}_{x'} \int_0^1 \big( s_i(x(t)) - s_j(x(t)) \big) \, dt

    This is :func:`ranking_thickness` without the indicator, in the units of the attribution: scaling the explanation
    scales it, so that it compares points of one model rather than models. The pair mean at one point is the mean
    score inside T minus the mean outside. :func:`thickness_bounds` bounds it.

    Parameters
    ----------
    estimator, X, k, threat, epsilon, norm, distribution, n_draws, n_points, ranking, random_state, return_std_error
        As in :func:`ranking_thickness`; the same `random_state` gives the same points.

    Returns
    -------
    thickness : ndarray of shape (n_samples,)
    std_error : ndarray of shape (n_samples,)
        Only if `return_std_error`.

    Raises
    ------
    ValueError
        As in :func:`ranking_thickness`.

    References
    ----------
    Chen et al., "Robust Ranking Explanations", ICML 2023 workshop (arXiv 2212.14106), Equations 3 and 4.

    Examples
    --------
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> from robustxai.metrics import relaxed_thickness
    >>> linear = SimpleNamespace(
    ...     classes_=np.array([0, 1]),
    ...     predict_proba=lambda X: np.tile([0.3, 0.7], (len(X), 1)),
    ...     explain=lambda X, y: np.tile([3.0, -2.0, 1.0], (len(X), 1)),
    ... )
    >>> relaxed_thickness(linear, np.zeros((2, 3)), k=1)
    array([1.5, 1.5])
    """
    return mean_along_paths(
        mean_gap,
        estimator,
        X,
        k,
        threat=as_any_threat(threat, epsilon=epsilon, norm=norm),
        distribution=distribution,
        n_draws=n_draws,
        n_points=n_points,
        ranking=ranking,
        random_state=random_state,
        return_std_error=return_std_error,
    )
