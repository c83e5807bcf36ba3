"""Gamma-stability: how far the explanation gets from a positive multiple of itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustxai._arguments import COUNT, FLAG, SEED, Number, Rows, checked
from robustxai._doubts import spread_of, warn_of_ball
from robustxai._frames import column_names
from robustxai._switches import own_switches
from robustxai.metrics._inputs import chunks, explained, module_batch, plain_array, probabilities
from robustxai.perturbation import (
    THREAT_ARGUMENTS,
    PerturbationSet,
    ThreatModel,
    as_threat,
    ascend,
    displacement_sampler,
)
from robustxai.protocols import Estimator, ExplainableClassifier, Norm, Seed

#: Steps of the search for gamma: its interval shrinks by a third in each.
_SECTIONS = 60
#: Relative difference of two distances that count as equal, so that rounding does not choose between them.
_TIE = 1e-4


@own_switches()
@checked(
    X=Rows(),
    **THREAT_ARGUMENTS,
    relative=FLAG,
    n_draws=COUNT,
    n_rounds=Number(0, integer=True),
    max_iter=COUNT,
    random_state=SEED,
)
def gamma_stability(
    estimator: Estimator,
    X: Any,
    *,
    threat: ThreatModel | None = None,
    epsilon: float | None = None,
    norm: Norm | None = None,
    relative: bool = False,
    n_draws: int = 16,
    n_rounds: int = 3,
    max_iter: int = 20,
    random_state: Seed = 0,
) -> np.ndarray:
    r"""Largest distance of the explanation in a ball from the nearest positive multiple of the explanation at x.

    .. math:: \min_{\gamma > 0} \; \max_{\|\delta\|_p \le \epsilon} \|\phi(x + \delta) - \gamma\, \phi(x)\|_2

    with :math:`\phi` the attribution of the class predicted at x: ATEX's definition of stability, in which a positive
    factor does not count as a change. Small is stable.

    The maximum is taken over `n_draws` random points and, round by round, the end of a gradient ascent for the best
    gamma so far (from the farthest point, from its opposite, from a random point, and again); the minimum over gamma is
    exact for these points. The result is therefore **a lower estimate**. The ascent finds nothing in a ReLU network,
    whose explanation has no derivative: its value is that of the random points. Rounding leaves about 1e-8 of the
    length of the explanation.

    Parameters
    ----------
    estimator : fitted estimator
        With ``predict_proba``, ``module_``, ``device_`` and ``explainer_``.
    X : array-like of shape (n_samples, *features)
        The inputs whose explanations are measured.
    threat : ThreatModel, optional
        Perturbations; ``ThreatModel()`` (l2, epsilon 0.5) by default.
    epsilon, norm : optional
        Shorthand for ``threat=ThreatModel(epsilon, norm)``.
    relative : bool, default=False
        Divide by :math:`\|\phi(x)\|_2`, so that models whose gradients differ in length can be compared. The definition
        has no division. NaN where the explanation is zero.
    n_draws : int, default=16
        Random points of each sample, uniform in the ball. For smooth networks the ascent finds more; for ReLU networks
        more draws are a better estimate.
    n_rounds : int, default=3
        Number of ascents, each with the gamma that is best for all points so far. With 3 each kind of start is tried
        once.
    max_iter : int, default=20
        Steps of each ascent.
    random_state : int, Seed or None, default=0
        Source of the draws. Row i gets the same draws however many rows follow it.

    Returns
    -------
    ndarray of shape (n_samples,)

    Raises
    ------
    ValueError
        If an argument is out of range, or a row lies outside the bounds of `threat`.

    References
    ----------
    Tang et al., *Defense against explanation manipulation*, 2021 (arXiv 2111.04303), Definition 1, Equation 3.

    Examples
    --------
    An attribution of (2 x_1, 3) moves by at most 2 epsilon, and no multiple of it is nearer:

    >>> import numpy as np, torch
    >>> from types import SimpleNamespace
    >>> from robustxai.metrics import gamma_stability
    >>> toy = SimpleNamespace(
    ...     predict_proba=lambda X: np.tile([0.3, 0.7], (len(X), 1)), module_=torch.nn.Identity(), device_="cpu",
    ...     explainer_=lambda module, x, target, create_graph=False: torch.stack([2 * x[:, 0], 3 + 0 * x[:, 1]], dim=1),
    ... )
    >>> gamma_stability(toy, np.array([[0.0, 0.0]]), epsilon=0.5).round(6)
    array([1.])
    """
    estimator, X = explained(estimator, X, "gamma_stability", gradients=True)
    array, names = plain_array(X), column_names(X)
    threat = as_threat(threat, epsilon=epsilon, norm=norm)
    space, units = threat.bind(array, names, device=estimator.device_), threat.units(array, names)
    unit = 1.0 if threat.scale is None and threat.frozen is None else units
    warn_of_ball("epsilon", threat.epsilon, spread_of(estimator, array), norm=threat.norm, unit=unit, names=names)
    n_features = math.prod(array.shape[1:])
    sample = displacement_sampler(
        n_features, float(threat.epsilon), "uniform", random_state, norm=threat.norm, units=units.reshape(-1)
    )
    target = probabilities(estimator, X).argmax(axis=1)
    result = np.empty(len(array))
    for part in chunks(len(array), n_draws * n_features):
        x = module_batch(estimator, array[part])
        classes = torch.as_tensor(target[part], device=x.device)
        draws = torch.as_tensor(sample(len(x) * n_draws), dtype=x.dtype, device=x.device)
        deltas = draws.view(len(x), n_draws, *x.shape[1:])
        found = _largest_distance(estimator, x, classes, space, deltas, n_rounds, max_iter, relative)
        result[part] = found.cpu().numpy()
    return result


def _largest_distance(
    estimator: ExplainableClassifier,
    x: Tensor,
    target: Tensor,
    space: PerturbationSet,
    deltas: Tensor,
    n_rounds: int,
    max_iter: int,
    relative: bool,
) -> Tensor:
    """Return the stability of each row, shape (n,), from the points ``x + deltas`` of shape (n, n_draws, *features)."""

    def attribution(points: Tensor) -> Tensor:
        points = points if points.requires_grad else points.detach().requires_grad_()
        with torch.enable_grad():
            # positional, because a user's explainer may name its arguments as it likes
            values: Tensor = estimator.explainer_(estimator.module_, points, target, create_graph=True)
        return values.flatten(start_dim=1)

    clean = attribution(x).detach()
    points = [torch.zeros_like(x), *(space.project(delta, x) for delta in deltas.unbind(dim=1))]
    seen = torch.stack([attribution(x + delta).detach() for delta in points], dim=1)
    gamma, distance, worst = nearest_multiple(clean, seen)
    for number in range(n_rounds if space.epsilon else 0):
        if number % 3 == 2:  # other starts may lead to other maxima
            start = points[1 + (number // 3) % deltas.shape[1]]
        else:  # if the attribution is nearly linear, the opposite point is as far away and forbids another gamma
            start = torch.stack(points, dim=1)[torch.arange(len(x), device=x.device), worst]
            start = start if number % 3 == 0 else -start
        ray = (gamma[:, None] * clean.double()).to(clean)
        delta = ascend(
            lambda p, ray=ray: (attribution(p) - ray).square().sum(dim=1),  # type: ignore[misc]
            x,
            space,
            max_iter=max_iter,
            step_size=space.epsilon * min(2.5 / max_iter, 1.0),
            start=start,
        )
        points.append(delta)
        seen = torch.cat([seen, attribution(x + delta).detach()[:, None]], dim=1)
        gamma, distance, worst = nearest_multiple(clean, seen)
    length = clean.double().norm(dim=1)
    return torch.where(length > 0, distance / length, torch.nan) if relative else distance


def nearest_multiple(clean: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""Return :math:`\min_{\gamma \ge 0} \max_p \|\phi_p - \gamma \phi\|_2`, its gamma, and the p of the maximum.

    A convex function of one number, by sections of an interval. There the squares are computed from three inner
    products, :math:`\|\phi_p\|^2 - 2 \gamma \langle \phi_p, \phi \rangle + \gamma^2 \|\phi\|^2`, whose rounding
    decides on gamma alone. At the minimum two points are equally far; the first one is returned.

    Parameters
    ----------
    clean : Tensor of shape (n, features)
        :math:`\phi`.
    seen : Tensor of shape (n, points, features)
        :math:`\phi_p`.

    Returns
    -------
    gamma, distance : Tensor of float64 of shape (n,)
    worst : Tensor of int of shape (n,)
    """
    clean, seen = clean.double(), seen.double()

    length = clean.norm(dim=1)
    squares, products = seen.square().sum(dim=2), (seen * clean[:, None]).sum(dim=2)

    def farthest(gamma: Tensor) -> Tensor:
        return (squares - 2 * gamma[:, None] * products).amax(dim=1) + (gamma * length).square()

    low = torch.zeros_like(length)
    # beyond this every distance grows: the point's projection on the ray is behind
    high = seen.norm(dim=2).amax(dim=1) / length.clamp_min(torch.finfo(torch.float64).tiny)
    high = torch.where(length > 0, high, 0.0)
    for _ in range(_SECTIONS):
        a, b = low + (high - low) / 3, high - (high - low) / 3
        left = farthest(a) <= farthest(b)
        low, high = torch.where(left, low, a), torch.where(left, b, high)
    gamma = (low + high) / 2
    distances = (seen - gamma[:, None, None] * clean[:, None]).norm(dim=2)
    distance = distances.amax(dim=1)
    worst = (distances >= (1 - _TIE) * distance[:, None]).int().argmax(dim=1)
    return gamma, distance, worst
