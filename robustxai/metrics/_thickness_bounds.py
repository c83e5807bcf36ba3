"""Bounds of the relaxed thickness from the gap at x and the curvature around it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from robustxai._arguments import COUNT, NOT_NEGATIVE, SEED, Choice, Number, Numbers, Rows, checked, optional
from robustxai._doubts import spread_of, warn_of_ball, warn_of_mismatch
from robustxai._frames import column_names
from robustxai._models import GRADIENTS, check_model
from robustxai._switches import own_switches
from robustxai.metrics._inputs import (
    checked_k,
    chunks,
    explained,
    explained_scores,
    module_batch,
    plain_array,
    probabilities,
)
from robustxai.metrics._jacobian import jacobian
from robustxai.metrics._paths import ball_units
from robustxai.perturbation import THREAT, ThreatModel, as_threat, displacement_sampler
from robustxai.protocols import Estimator, ExplainableClassifier, Ranking, Seed, ThicknessBoundForm
from robustxai.ranking import RANKING, top_k_indices, unit_scores

FORMS = ("valid", "paper")


@own_switches()
@checked(
    X=Rows(),
    k=COUNT,
    threat=THREAT,
    epsilon=optional(NOT_NEGATIVE),
    form=Choice(FORMS),
    n_draws=Number(0, integer=True),
    curvature=optional(Numbers(0.0)),
    ranking=RANKING,
    random_state=SEED,
)
def thickness_bounds(
    estimator: Estimator,
    X: Any,
    k: int = 8,
    *,
    threat: ThreatModel | None = None,
    epsilon: float | None = None,
    form: ThicknessBoundForm = "valid",
    n_draws: int = 20,
    curvature: float | np.ndarray | None = None,
    ranking: Ranking = "magnitude",
    random_state: Seed = 0,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Lower and upper bound of :func:`relaxed_thickness`, for any law of x' on the l2 ball B(x, epsilon).

    With :math:`h = s_i(x) - s_j(x)` and :math:`H_i` the gradient of the score of unit i, averaged over the
    k (n - k) pairs of a top-k unit i and another unit j:

    * ``form="valid"``: :math:`h \mp \frac{\epsilon}{2} \sup_{z \in B} \|H_i(z) - H_j(z)\|_2`, by the mean value
      theorem; the 1/2 is the integral of t over the segment.
    * ``form="paper"``: :math:`h - \frac{\epsilon}{2} \|H_i(x) - H_j(x)\|_2` and :math:`h + \epsilon (L_i + L_j)`,
      :math:`L_i = \sup_{z \in B} \|H_i(z)\|_2`, as printed. Its lower bound has the curvature *at x* only: it is a
      first-order approximation and can exceed the thickness.

    **What is proven.** A supremum cannot be had by sampling. Without `curvature` it is the largest value at x and at
    `n_draws` random points, hence too small, and the result is an *estimate* of the bounds. With a proven
    `curvature`, M >= the spectral norm of the attribution's Jacobian all over the ball, the supremum is replaced by
    sqrt(2) M (L_i by M; both times sqrt(C) when a unit sums C channels), and the "valid" bounds and the "paper"
    upper bound are proven, up to rounding.

    **Magnitude ranking.** The score |a_i| has no derivative where a_i = 0, but it is Lipschitz along every segment and
    so the integral of its almost-everywhere derivative sign(a_i) H_i. The mean value theorem therefore holds with the
    rows taken with their signs at the point z where they are evaluated (not at x), which is what is done here, and
    sqrt(2) M bounds the pair for all combinations of signs.

    Parameters
    ----------
    estimator : fitted estimator
        With ``classes_``, ``predict_proba``, ``explain``, and, unless ``form="valid"`` with `curvature`, ``module_``,
        ``device_`` and ``explainer_``.
    X : array-like of shape (n_samples, *features)
        The inputs whose explanations are measured.
    k : int, default=8
        Size of the top-k set, as in :func:`precision_at_k`.
    threat : ThreatModel, optional
        The ball B; ``ThreatModel()`` (l2, epsilon 0.5) by default. The norm must be 2. Rows H are those of the
        derivative in x / scale, without frozen features; the box is not used, because the ball without it contains
        the ball with it. There is no Gaussian form: its law is not confined to a ball.
    epsilon : float, optional
        Shorthand for ``threat=ThreatModel(epsilon)``.
    form : {"valid", "paper"}, default="valid"
        See above.
    n_draws : int, default=20
        Random points per sample at which the supremum is looked for; each costs one backward pass per unit, so fewer
        than for a mean.
    curvature : float or array of shape (n_samples,), default=None
        A proven bound M, such as a certificate returns.
    ranking : {"magnitude", "signed"}, default="magnitude"
        What is ranked, as in :func:`precision_at_k`.
    random_state : int, Seed or None, default=0
        Source of the random points.

    Returns
    -------
    lower, upper : ndarrays of shape (n_samples,)

    Raises
    ------
    ValueError
        If there is nothing to rank, an argument is out of range, or `curvature` is negative or not finite.

    References
    ----------
    Chen et al., "Robust Ranking Explanations", ICML 2023 workshop (arXiv 2212.14106), Proposition 3.4.

    Examples
    --------
    With curvature 0, as in a linear model, both bounds are the gap:

    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> from robustxai.metrics import thickness_bounds
    >>> linear = SimpleNamespace(
    ...     classes_=np.array([0, 1]),
    ...     predict_proba=lambda X: np.tile([0.3, 0.7], (len(X), 1)),
    ...     explain=lambda X, y: np.tile([3.0, -2.0, 1.0], (len(X), 1)),
    ... )
    >>> thickness_bounds(linear, np.zeros((1, 3)), k=1, curvature=0.0)
    (array([1.5]), array([1.5]))
    """
    threat = as_threat(threat, epsilon=epsilon)
    if threat.norm != 2:
        raise NotImplementedError("thickness_bounds is about l2 balls: use ThreatModel(norm=2).")
    estimator, X = explained(estimator, X, "thickness_bounds")
    if form != "valid" or curvature is None:
        check_model(estimator, needs=GRADIENTS, what="thickness_bounds without a proven curvature")
    centers = plain_array(X)
    n_features = math.prod(centers.shape[1:])
    target = probabilities(estimator, X).argmax(axis=1)
    scores = explained_scores(estimator, X, centers, target, ranking)
    n_units = scores.shape[-1]
    k = checked_k(k, n_units)
    warn_of_mismatch(estimator, "The thickness", k=k, ranking=ranking)
    names = column_names(X)
    units = ball_units(replace(threat, bounds=None), centers, names, "thickness_bounds")
    unit = 1.0 if units is None else units
    epsilon = float(threat.epsilon)
    warn_of_ball("epsilon", epsilon, spread_of(estimator, centers), unit=unit, names=names)
    order = top_k_indices(scores, n_units)
    ordered = scores.double().gather(-1, order)
    gap = (ordered[:, :k].mean(dim=-1) - ordered[:, k:].mean(dim=-1)).numpy()

    proven = None if curvature is None else _checked_curvature(curvature, len(gap)) * math.sqrt(n_features / n_units)
    if proven is not None and units is not None:
        proven = proven * units.max()  # ||H diag(units)|| <= ||H|| max(units)
    if form == "valid" and proven is not None:
        slope = math.sqrt(2) * proven
    else:
        model = cast(ExplainableClassifier, estimator)  # checked above
        here, slope, lengths = _sampled_slopes(
            model,
            centers,
            target,
            order,
            k,
            epsilon,
            units,
            0 if proven is not None else n_draws,
            ranking,
            random_state,
        )
    if form == "valid":
        return gap - epsilon / 2 * slope, gap + epsilon / 2 * slope
    return gap - epsilon / 2 * here, gap + epsilon * (lengths if proven is None else 2 * proven)


def _checked_curvature(curvature: float | np.ndarray, n_samples: int) -> np.ndarray:
    values = np.asarray(curvature, dtype=np.float64)
    if values.shape not in ((), (n_samples,)) or not np.isfinite(values).all() or (values < 0).any():
        raise ValueError(f"curvature must be one finite number >= 0, or one for each of the {n_samples} samples.")
    return np.broadcast_to(values, (n_samples,))


def _sampled_slopes(
    estimator: ExplainableClassifier,
    centers: np.ndarray,
    target: np.ndarray,
    order: Tensor,
    k: int,
    epsilon: float,
    units: np.ndarray | None,
    n_draws: int,
    ranking: Ranking,
    random_state: Seed,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pair means of ||H_i - H_j|| at x, of its largest value seen, and of the largest ||H_i|| + ||H_j|| seen."""
    shape, n_features, n_units = centers.shape[1:], math.prod(centers.shape[1:]), order.shape[-1]
    flat_units = None if units is None else units.reshape(-1)
    sample = displacement_sampler(n_features, epsilon, "uniform", random_state, units=flat_units)
    here, largest, lengths = (np.empty(len(centers)) for _ in range(3))
    for part in chunks(len(centers), n_features * (n_units + n_draws)):
        n_rows = part.stop - part.start
        steps = sample(n_rows * n_draws).reshape(n_rows, n_draws, *shape)
        center = module_batch(estimator, centers[part])
        classes = torch.as_tensor(target[part], device=center.device)
        rows = order[part].to(center.device)
        pair_sup = row_sup = None
        for draw in range(n_draws + 1):
            point = center if draw == 0 else center + torch.as_tensor(steps[:, draw - 1]).to(center)
            matrix = jacobian(estimator, point, classes, lambda a: unit_scores(a, ranking))[1].double()
            if flat_units is not None:
                matrix = matrix * torch.as_tensor(flat_units, device=matrix.device)
            matrix = matrix.gather(1, rows[:, :, None].expand_as(matrix))
            pair, row = _pair_distances(matrix, k), matrix.norm(dim=-1)
            if pair_sup is None or row_sup is None:
                pair_sup, row_sup = pair, row
                here[part] = pair.mean(dim=(1, 2)).cpu().numpy()
            else:
                pair_sup, row_sup = pair_sup.maximum(pair), row_sup.maximum(row)
        if pair_sup is not None and row_sup is not None:
            largest[part] = pair_sup.mean(dim=(1, 2)).cpu().numpy()
            lengths[part] = (row_sup[:, :k].mean(dim=1) + row_sup[:, k:].mean(dim=1)).cpu().numpy()
    return here, largest, lengths


def _pair_distances(matrix: Tensor, k: int) -> Tensor:
    """||H_i - H_j|| of the first k rows and the others, (n, k, units - k), through inner products."""
    top, rest = matrix[:, :k], matrix[:, k:]
    squares = top.square().sum(dim=-1)[:, :, None] + rest.square().sum(dim=-1)[:, None] - 2 * top @ rest.mT
    return squares.clamp_min(0).sqrt()
