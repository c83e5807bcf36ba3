"""ParetoAttack: lower every gap across the boundary of the top-k set at once, until none can fall further."""

from __future__ import annotations

import math
import warnings
from typing import Any, get_args

import torch
from torch import Tensor, nn

from robustxai._arguments import NOT_NEGATIVE, Choice
from robustxai.attacks._base import BaseAttack
from robustxai.attacks._gradient import NO_DERIVATIVE, lacks_derivative
from robustxai.attacks._min_norm import min_norm
from robustxai.attacks._search import Search, observe
from robustxai.engine import of_rows, set_beta, stackable
from robustxai.exceptions import EvaluationWarning
from robustxai.perturbation import PerturbationSet, input_gradient
from robustxai.protocols import Estimator, KeptIterate

__all__ = ["ParetoAttack"]

#: Sharpness of the softplus copy of a network with ReLUs.
_BETA = 10.0
#: Share of the promised decrease that a step must achieve for every pair (Armijo's rule).
_ARMIJO = 0.1
#: First step, and the length of a step at which the search of a row ends; in units of the radius.
_FIRST_STEP, _LAST_STEP = 0.1, 1e-5
#: Share of the radius beyond which an iterate counts as on the boundary.
_BOUNDARY = 1 - 1e-4


class ParetoAttack(BaseAttack):
    r"""Lower all pairwise gaps of the top-k set jointly (constrained multi-objective attack).

    .. math:: \min_{\|\delta\| \le \epsilon} \bigl(h(x + \delta, i, j)\bigr)_{i \le k < j} \quad
        \text{s.t. the prediction is kept}, \qquad h(x, i, j) = \frac{s_i(x) - s_j(x)}{\tfrac{1}{n} \sum_l |s_l(x_0)|}

    with s the unit scores and :math:`x_0` the clean input, so that a gap of 1 is the mean score there. An iterate is
    Pareto-critical if no feasible direction lowers all gaps. The step of each row is the common descent direction of
    least norm (multiple-gradient descent),

    .. math:: d = P_T(-v), \qquad v \in \arg\min_{v \in V} \|P_T(-v)\|_2, \qquad
        V = \mathrm{conv}\{\nabla h(\cdot, i, j)\}

    with T the directions that do not leave the ball. Every gap has a slope of at most :math:`-\|d\|^2` along d, and
    the *criticality* :math:`\epsilon \|d\|` is, to first order, the amount by which a move of the length of the radius
    lowers all of them. A step is taken back and halved unless every gap falls by a tenth of what the slope promises
    (Armijo's rule) and the prediction is kept; otherwise the next one is twice as long. A row ends where its
    criticality is at most `tolerance`.

    The number of iterations until a row is critical, ``first_critical`` of the result, is the *numerical stability* of
    the NeurIPS version of R2ET, as we read its abstract: larger gaps take more steps to close. This attack measures it.
    It is not strong: most pairs cannot flip, and it spends the radius on lowering them too.
    :class:`MultiObjectiveAttack` has the two objectives of the published code.

    A network with ReLUs has no second derivative, so that all of its points are critical; the gaps and slopes are those
    of a softplus copy with beta 10, the prediction and P@k its own. The gradient of every unit's score is computed, one
    backward pass for each: images take long.

    Parameters
    ----------
    tolerance : float, default=0.01
        Criticality that counts as critical: no direction lowers all gaps by more than this share of the mean score over
        the radius.
    keep : {"best", "last"}, default="best"
        Iterate that a row keeps, of those with its prediction: of the lowest P@k, or the last. With "best" a row whose
        top-k set is entirely replaced ends at once; "last" follows every row until it is critical.
    estimator, k, threat, ranking, max_iter, max_probability_change, batch_size, random_state
        As in :class:`BaseAttack`. Nothing is random. Where a ball in l2 and a box are both active, T is the
        intersection of their cones only approximately.

    References
    ----------
    Chen et al., *Training for stable explanation for free*, 2024, whose abstract has the analysis by multi-objective
    optimization; Fliege and Svaiter, *Steepest descent methods for multicriteria optimization*, 2000; Désidéri,
    *Multiple-gradient descent algorithm for multiobjective optimization*, 2012.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import minmax_scale
    >>> from robustxai import SoftplusClassifier
    >>> from robustxai.attacks import ParetoAttack
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = minmax_scale(X)
    >>> clf = SoftplusClassifier(max_epochs=10).fit(X, y)
    >>> result = ParetoAttack(clf, k=8, epsilon=0.5, max_iter=20).run(X[:20])
    >>> result.criticality.shape, result.first_critical.shape
    ((20, 20), (20,))
    """

    _constraints = {"tolerance": NOT_NEGATIVE, "keep": Choice(get_args(KeptIterate))}

    def __init__(
        self,
        estimator: Estimator | None = None,
        *,
        tolerance: float = 0.01,
        keep: KeptIterate = "best",
        **params: Any,
    ) -> None:
        super().__init__(estimator, **params)
        self.tolerance = tolerance
        self.keep = keep

    def selection(self) -> str:
        return "last" if self.keep == "last" else "overlap"

    def check_target(self, module: nn.Module, surrogate: nn.Module | None, x: Tensor, target: Tensor) -> None:
        differentiated = module if surrogate is None else surrogate
        if lacks_derivative(differentiated, self._target_estimator.explainer_, x, target):
            warnings.warn(f"This P@k is probably not what it seems: {NO_DERIVATIVE}", EvaluationWarning, stacklevel=4)

    @stackable
    def propose(self, search: Search, iteration: int) -> Tensor:
        state = search.extra
        step = state["rate"][:, None] * state["direction"]
        return state["anchor"] + step.reshape(search.x.shape) * search.space.unit

    @stackable
    def learn(self, search: Search, iteration: int, points: Tensor, objective: Tensor) -> None:
        state, space = search.extra, search.space
        if iteration == 0:
            if search.surrogate is not None:
                set_beta(search.surrogate, _BETA)
            n, shape = len(search.x), (len(search.x), self.max_iter)
            search.trace.extra.update(
                criticality=torch.full(shape, torch.nan, dtype=torch.float64, device=search.x.device),
                first_critical=torch.full((n,), self.max_iter + 1, device=search.x.device),
            )
            everything = torch.arange(n, device=search.x.device)
            state["scale"] = search.reference.scores.abs().mean(dim=1).clamp_min(torch.finfo(search.x.dtype).tiny)
            state["anchor"] = search.delta
            state["scores"], state["direction"] = self._descent(search, everything)
            length = state["direction"].norm(dim=1)
            state["rate"] = _FIRST_STEP * space.epsilon / length.clamp_min(torch.finfo(length.dtype).tiny)
        else:
            taken = (search.kept & self._all_fall(search)).nonzero().squeeze(1)
            state["rate"] = state["rate"] / 2
            if len(taken):
                scores, direction = self._descent(search, taken)
                for name, value in (("anchor", search.delta[taken]), ("scores", scores), ("direction", direction)):
                    state[name] = state[name].index_copy(0, taken, value)
                longest = space.epsilon / direction.norm(dim=1).clamp_min(torch.finfo(direction.dtype).tiny)
                state["rate"] = state["rate"].index_copy(0, taken, torch.minimum(4 * state["rate"][taken], longest))
        length = state["direction"].norm(dim=1)
        criticality = space.epsilon * length
        critical = criticality <= self.tolerance
        trace = search.trace.extra
        going = trace["first_critical"][search.index] > iteration
        trace["criticality"][search.index[going], iteration] = criticality[going].double()
        trace["first_critical"][search.index[going & critical]] = iteration
        search.stuck = critical | (state["rate"] * length < _LAST_STEP * space.epsilon)

    def _descent(self, search: Search, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores of shape (m, units) and the common descent direction of shape (m, features) at some rows.

        The direction is in units of the ball's axes, like its cone of feasible directions.
        """
        points, scores = self._scores(search, rows, graph=True)
        space = search.space.select(rows)
        unit = space.unit.reshape(-1, space.feature_shape.numel())
        slopes = []
        for number in range(scores.shape[1]):
            weights = torch.zeros_like(scores)
            weights[:, number] = 1.0
            slopes.append(input_gradient(scores, points, weights, retain_graph=True).flatten(start_dim=1) * unit)
        gradients = torch.stack(slopes, dim=1)
        reference = search.reference
        inside, outside = (
            gradients.gather(1, units[rows][..., None].expand(-1, -1, gradients.shape[2]))
            for units in (reference.inside, reference.outside)
        )
        cone = _Cone(space, search.delta[rows], search.x[rows])
        direction, _ = min_norm(
            inside,
            outside,
            cone,
            max_iter=400,
            tolerance=0.1,
            smallest=self.tolerance / max(search.space.epsilon, torch.finfo(scores.dtype).tiny),
        )
        return scores.detach(), direction

    def _scores(self, search: Search, rows: Tensor, graph: bool) -> tuple[Tensor, Tensor]:
        """Return the latest iterate of some rows as a leaf, and its scores in units of the clean mean score."""
        module = of_rows(search.module, rows) if search.surrogate is None else search.surrogate
        at = search.x[rows] + search.delta[rows]
        points, found, _ = observe(module, search.explainer, at, search.target[rows], graph=graph)
        reference = search.reference
        log_scale = None if reference.log_scale is None else reference.log_scale[rows]
        return points, reference.rank(found.relative_to(log_scale)) / search.extra["scale"][rows, None]

    def _all_fall(self, search: Search) -> Tensor:
        """Return True where every gap falls by the share of the slope's promise that Armijo's rule asks for."""
        state, reference = search.extra, search.reference
        everything = torch.arange(len(search.x), device=search.x.device)
        rise = self._scores(search, everything, graph=False)[1].detach() - state["scores"]
        worst = rise.gather(1, reference.inside).amax(dim=1) - rise.gather(1, reference.outside).amin(dim=1)
        promised = state["rate"] * state["direction"].square().sum(dim=1)
        return worst <= -_ARMIJO * promised


class _Cone:
    """Directions that do not leave a ball and a box to first order, in units of the ball's axes."""

    def __init__(self, space: PerturbationSet, delta: Tensor, x: Tensor) -> None:
        rows = delta.flatten(start_dim=1)
        unit, low, high = (part.reshape(-1, rows.shape[1]).to(rows) for part in (space.unit, space.low, space.high))
        at = torch.where(unit > 0, rows / unit.clamp_min(torch.finfo(rows.dtype).tiny), 0.0)
        point = x.flatten(start_dim=1) + rows
        self.at_top, self.at_bottom = point >= high, point <= low
        if math.isinf(space.norm):
            self.at_top = self.at_top | (at >= _BOUNDARY * space.epsilon)
            self.at_bottom = self.at_bottom | (at <= -_BOUNDARY * space.epsilon)
            self.normal = torch.zeros_like(at)
        else:
            length = at.norm(dim=1, keepdim=True)
            on_it = length >= _BOUNDARY * space.epsilon
            self.normal = torch.where(on_it, at / length.clamp_min(torch.finfo(at.dtype).tiny), 0.0)

    def __call__(self, vectors: Tensor) -> Tensor:
        """Return the nearest directions of the cone."""
        inward = torch.where(self.at_top, vectors.clamp_max(0.0), vectors)
        inward = torch.where(self.at_bottom, inward.clamp_min(0.0), inward)
        outwards = (inward * self.normal).sum(dim=1, keepdim=True).clamp_min(0.0)
        return inward - outwards * self.normal
