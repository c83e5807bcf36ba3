"""Base of attacks that follow the gradient of an objective; a subclass defines the objective."""

from __future__ import annotations

import warnings
from typing import Any, get_args

import torch
from torch import Tensor, nn

from robustxai._arguments import FLAG, NOT_NEGATIVE, POSITIVE, Choice, optional
from robustxai.attacks._base import BaseAttack
from robustxai.attacks._search import Reference, Search, observe
from robustxai.engine import of_rows, set_beta, stackable
from robustxai.exceptions import EvaluationWarning
from robustxai.explainers import Explainer
from robustxai.perturbation import input_gradient
from robustxai.protocols import Estimator, KeptIterate

__all__ = ["NO_DERIVATIVE", "N_ASKED", "GradientAttack", "lacks_derivative"]

#: Explanation and advice for targets that `lacks_derivative` finds.
NO_DERIVATIVE = (
    "explanations differ between rows, but around nearly every row the explanation has no derivative, or one that only "
    "rescales it (the network has no second derivative), so that gradient attacks find nothing. ReLUs and max-pooling "
    "are recognized, and attacked through a smooth surrogate, only as modules: use nn.ReLU and nn.MaxPool2d instead of "
    "F.relu and F.max_pool2d. For an explainer that is constant around every input use an "
    "attack without gradients, NESAttack or RandomAttack."
)
#: Rows that are checked, and the share of them that must agree.
N_ASKED, _NEARLY_ALL = 64, 0.95


class GradientAttack(BaseAttack):
    r"""Base of the attacks that follow the gradient of an objective; a subclass overrides `objective` only.

    .. math:: \delta \leftarrow \Pi\bigl(\delta + \eta_t\, d_t\bigr), \qquad
        d_t = \text{unit ascent direction of } v_t = \mu\, v_{t-1} + \nabla_\delta O / \|\nabla_\delta O\|

    * The first step has length epsilon. At the clean input the gradient of a sum of gaps is a Hessian-vector product,
      so this is the optimal point of the linearized ranking; later steps shrink from 0.3 to 0.01 epsilon.
    * Where the objective is stationary at the clean input, like a distance from itself, the first direction is
      :math:`J^\top I(x)`, with J the Jacobian of the explanation: the direction that changes its length fastest. The
      better sign is not known, so that each row tries both from x, for a few iterations each, and continues from the
      better end. A random start is tried in both directions too.
    * Where a step changes the prediction, the row returns to its last good point and tries half the step.
    * Networks with ReLUs have no second derivative, so that a gradient attack would report a false robustness. The
      gradient is that of a softplus copy whose beta grows from 5 to 50; everything is evaluated on the network itself.

    Parameters
    ----------
    step_size : float, optional
        Constant length of a step in units of the norm, instead of the schedule above (the R2ET paper: 1e-3).
    momentum : float, default=0.75
        mu; 0 for plain projected gradient ascent.
    random_start : bool, default=False
        Take the first step in a random direction or its opposite. Runs with different seeds are then different attacks.
    keep : {"best", "last"}, default="best"
        Iterate that a row keeps, of those with its prediction. "last" is the protocol of the papers, and overstates
        robustness: an earlier iterate may have been better.
    estimator, k, threat, ranking, max_iter, batch_size, random_state
        As in :class:`BaseAttack`.

    Warns
    -----
    EvaluationWarning
        The explanation has no derivative to follow although explanations differ between rows: ReLUs that are not
        modules, an explainer that is constant around every input.
    """

    #: True if the slope is a derivative of the explanation.
    needs_graph = True
    _BETA_RANGE = (5.0, 50.0)
    #: Iterations in each of two opposite directions: at most this number, and half of all iterations.
    _TRIAL = 5

    #: Quantity that is best in the kept iterate, "overlap" or "objective", as in `selection`.
    goal = "overlap"
    #: True if a step that changes the prediction is undone; otherwise the search continues from there.
    backtracks = True

    _constraints = {
        "step_size": optional(POSITIVE),
        "momentum": NOT_NEGATIVE,
        "random_start": FLAG,
        "keep": Choice(get_args(KeptIterate)),
    }

    def __init__(
        self,
        estimator: Estimator | None = None,
        *,
        step_size: float | None = None,
        momentum: float = 0.75,
        random_start: bool = False,
        keep: KeptIterate = "best",
        **params: Any,
    ) -> None:
        super().__init__(estimator, **params)
        self.step_size = step_size
        self.momentum = momentum
        self.random_start = random_start
        self.keep = keep

    def selection(self) -> str:
        return "last" if self.keep == "last" else self.goal

    def objective(self, attribution: Tensor, reference: Reference) -> Tensor:
        """Return the value to be maximized, shape (n,), differentiable in `attribution` of shape (n, *features)."""
        raise NotImplementedError

    def check_target(self, module: nn.Module, surrogate: nn.Module | None, x: Tensor, target: Tensor) -> None:
        differentiated = module if surrogate is None else surrogate
        if self.needs_graph and lacks_derivative(differentiated, self._target_estimator.explainer_, x, target):
            warnings.warn(f"This P@k is probably not what it seems: {NO_DERIVATIVE}", EvaluationWarning, stacklevel=4)

    def scalarize(self, search: Search, objective: Tensor, logits: Tensor) -> Tensor:
        """Return the value that is differentiated, shape (n,): the objective, or its sum with a term of the logits.

        `objective` and `logits` are those of the latest iterate, on the surrogate where there is one; ``search.logits``
        are always those of the network itself. Called once per iterate, from the clean input on.
        """
        return objective

    @stackable
    def propose(self, search: Search, iteration: int) -> Tensor:
        state = search.extra
        length = self._step_length(iteration, search.max_iter, search.space.epsilon)
        trial = self._n_trial(search.max_iter)
        if iteration > trial > 0:  # a row that reversed its direction started after the first trial
            turned = self._step_length(iteration - trial, search.max_iter, search.space.epsilon)
            lengths = torch.where(state["two_ways"], turned, length).to(search.x) * state["rate"]
        else:
            lengths = length * state["rate"]
        step = search.space.ascent(state["velocity"])
        return state["anchor"] + _per_row(lengths, step) * step

    def learn(self, search: Search, iteration: int, points: Tensor, objective: Tensor) -> None:
        state, space = search.extra, search.space
        gradient = space.normalize(self.slope(search, iteration, points, objective))
        still = gradient.flatten(start_dim=1).abs().sum(dim=1) == 0
        if iteration == 0:
            state["anchor"] = search.delta
            state["two_ways"] = still | self.random_start
            draw = space.random_direction(
                search.generator
            )  # always drawn, so that later draws do not depend on the row
            push = self._stationary_start(search, draw) if not self.random_start and bool(still.any()) else draw
            state["velocity"] = torch.where(_per_row(state["two_ways"], gradient), push, gradient)
            state["start"] = state["velocity"]
            state["rate"] = torch.ones_like(objective.detach())
            return
        anchor, velocity = search.delta, self.momentum * state["velocity"] + gradient
        if self.backtracks:
            refused = (~search.kept).nonzero().squeeze(1)
            if len(refused):  # usually few rows: indexing rows is cheaper than a choice for every entry
                anchor = anchor.index_copy(0, refused, state["anchor"].index_select(0, refused))
                velocity.index_copy_(0, refused, state["velocity"].index_select(0, refused))
                state["rate"] = torch.where(search.kept, (2 * state["rate"]).clamp_max(1.0), state["rate"] / 2)
            else:
                state["rate"] = (2 * state["rate"]).clamp_max(1.0)
        state["anchor"], state["velocity"] = anchor, velocity
        trial = self._n_trial(search.max_iter)
        search.stuck = still & search.kept
        if iteration < 2 * trial:
            search.stuck = search.stuck & ~state["two_ways"]
        if trial and iteration in (trial, 2 * trial):
            self._turn(search, objective.detach(), back=iteration == trial)

    def _n_trial(self, max_iter: int) -> int:
        """Return the iterations in each of two opposite directions; 0 for a single iteration."""
        return min(self._TRIAL, max(max_iter // 4, 1)) if max_iter > 1 else 0

    def _stationary_start(self, search: Search, draw: Tensor) -> Tensor:
        """Return J^T I(x), or `draw` where it is zero or unknown; shape (n, *features)."""
        if not self.needs_graph:
            return draw
        module = search.module if search.surrogate is None else search.surrogate
        points, found, _ = observe(module, search.explainer, search.x + search.delta, search.target, graph=True)
        attribution = found.direction
        rows = attribution.detach().flatten(start_dim=1)
        fixed = torch.nn.functional.normalize(rows, dim=1).reshape(attribution.shape)  # small numbers square to zero
        start = search.space.normalize(input_gradient((attribution * fixed).flatten(start_dim=1).sum(dim=1), points))
        return torch.where(_per_row((start != 0).flatten(start_dim=1).any(dim=1), start), start, draw)

    def _turn(self, search: Search, objective: Tensor, back: bool) -> None:
        """Restart the rows that try both directions at x in the other one, or continue them from the better end."""
        state = search.extra
        lowest = search.overlap.to(objective) if self.goal == "overlap" else torch.zeros_like(objective)
        end = {"kept": search.kept, "overlap": lowest, "objective": objective}
        end |= {name: state[name] for name in ("anchor", "velocity", "rate")}
        if back:
            state.update({f"first_{name}": value for name, value in end.items()})
            other = {"anchor": torch.zeros_like(search.x), "velocity": -state["start"]}
            other["rate"] = torch.ones_like(state["rate"])
            chosen = state["two_ways"]
        else:
            other = {name: state.pop(f"first_{name}") for name in end}
            lower = other["overlap"] < lowest
            higher = (other["overlap"] == lowest) & (other["objective"] >= objective)
            better = torch.where(other["kept"] == search.kept, lower | higher, other["kept"])
            chosen = state["two_ways"] & better
        for name in ("anchor", "velocity", "rate"):
            state[name] = torch.where(_per_row(chosen, state[name]), other[name], state[name])

    def slope(self, search: Search, iteration: int, points: Tensor, objective: Tensor) -> Tensor:
        """Return the gradient of `scalarize` at the latest iterate, shaped like x."""
        logits = search.logits
        if search.surrogate is not None:
            points, objective, logits = self._on_surrogate(search.surrogate, search, iteration)
        return input_gradient(self.scalarize(search, objective, logits), points)

    def _step_length(self, iteration: int, max_iter: int, epsilon: float) -> float:
        if self.step_size is not None:
            return self.step_size
        return epsilon if iteration == 1 else epsilon * (0.3 * (1 - iteration / max_iter) + 0.01)

    def _on_surrogate(self, surrogate: nn.Module, search: Search, iteration: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the latest iterate, its objective and its logits on the smooth copy; its beta grows by iteration."""
        low, high = self._BETA_RANGE
        set_beta(surrogate, low * (high / low) ** (iteration / max(search.max_iter - 1, 1)))
        points, found, logits = observe(surrogate, search.explainer, search.x + search.delta, search.target, graph=True)
        attribution = found.relative_to(search.reference.log_scale)
        return points, self.objective(attribution, search.reference), logits


def lacks_derivative(module: nn.Module, explainer: Explainer, x: Tensor, target: Tensor) -> bool:
    r"""Tell if explanations differ between rows, but have no derivative that could change a ranking.

    The test takes one gradient at the first rows, that of :math:`\langle u, I(x) \rangle` with a random u. It is zero
    if the explanation is constant around x, and parallel to I(x) if only its length changes, as for the probability of
    a piecewise linear network. Rows of zero attribution do not count.

    Parameters
    ----------
    module : nn.Module
        Network that is differentiated.
    explainer : Explainer
        The explanation.
    x : Tensor of shape (n, *features)
        Inputs; the first 64 are checked.
    target : Tensor of shape (n,)
        Explained classes.
    """
    asked = torch.arange(min(len(x), N_ASKED), device=x.device)
    points, found, _ = observe(of_rows(module, asked), explainer, x[asked], target[asked], graph=True)
    attribution = found.direction
    rows = attribution.detach().flatten(start_dim=1).double()
    length = rows.norm(dim=1, keepdim=True)
    live = length.squeeze(1) > 0
    direction = rows[live] / length[live]
    if len(direction) < 2 or (direction.abs().amax(dim=0) - direction.abs().amin(dim=0)).max() < 1e-5:
        return False  # a linear model, or too few rows
    u = torch.randn(attribution.shape[1:], generator=torch.Generator().manual_seed(0)).to(attribution)
    slope = input_gradient((attribution * u).flatten(start_dim=1).sum(dim=1), points)
    slope = slope.flatten(start_dim=1).double()[live]
    across = slope
    if slope.shape == direction.shape:  # an attribution of columns is no direction in the inputs
        across = slope - (slope * direction).sum(dim=1, keepdim=True) * direction
    flat = across.norm(dim=1) <= 1e-4 * slope.norm(dim=1)
    return bool(flat.double().mean() >= _NEARLY_ALL)


def _per_row(values: Tensor, like: Tensor) -> Tensor:
    """Reshape `values` of shape (n,) to broadcast over the features of `like`."""
    return values.reshape(-1, *(1,) * (like.ndim - 1))
