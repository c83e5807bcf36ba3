"""Attacks that follow the gradient of an objective; the objective is the one hook to fill."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from robustxai._validation import check_choice, check_number
from robustxai.attacks._base import BaseAttack
from robustxai.attacks._search import Reference, Search, observe
from robustxai.nets import set_beta
from robustxai.perturbation import input_gradient

__all__ = ["GradientAttack"]


class GradientAttack(BaseAttack):
    r"""Base of the attacks that follow the gradient of an objective; the objective is the one hook to fill.

    .. math:: \delta \leftarrow \Pi\bigl(\delta + \eta_t\, d_t\bigr), \qquad
        d_t = \text{unit ascent direction of } v_t = \mu\, v_{t-1} + \nabla_\delta O / \|\nabla_\delta O\|

    * The first step has length epsilon. At the clean input the gradient of a sum of gaps is a Hessian-vector product,
      so this is the optimal point of the linearised ranking; later steps shrink from 0.3 to 0.01 epsilon.
    * Where a step changes the prediction, the row goes back to its last good point and tries half the step.
    * Networks with ReLUs have no second derivative, so that a gradient attack would report a false robustness: the
      gradient is taken on a softplus copy whose beta grows from 5 to 50, everything is evaluated on the network itself.

    Parameters
    ----------
    step_size : float, optional
        Constant length of a step in units of the norm, instead of the schedule above (the R2ET paper: 1e-3).
    momentum : float, default=0.75
        mu; 0 for plain projected gradient ascent.
    random_start : bool, default=False
        Take the first step in a random direction, which is what makes another run with another seed another attack.
    keep : {"best", "last"}, default="best"
        Which of the iterates that keep the prediction a row ends with. "last" is the protocol of the papers, and
        overstates robustness: the walk may have been further on its way.
    estimator, k, threat, ranking, max_iter, batch_size, random_state
        As in :class:`BaseAttack`.
    """

    _needs_graph = True
    _BETA_RANGE = (5.0, 50.0)

    #: What is best, "overlap" or "objective", as in `_selection`.
    _goal = "overlap"
    #: Whether a step that changes the prediction is taken back; if not, the walk goes on from there.
    _takes_back = True

    def __init__(
        self,
        estimator: Any = None,
        *,
        step_size: float | None = None,
        momentum: float = 0.75,
        random_start: bool = False,
        keep: str = "best",
        **params: Any,
    ) -> None:
        super().__init__(estimator, **params)
        self.step_size = step_size
        self.momentum = momentum
        self.random_start = random_start
        self.keep = keep

    def _check_params(self) -> None:
        super()._check_params()
        check_number("momentum", self.momentum, minimum=0.0)
        if self.step_size is not None:
            check_number("step_size", self.step_size, minimum=0.0, inclusive=False)
        check_choice("keep", self.keep, ("best", "last"))

    def _selection(self) -> str:
        return "last" if self.keep == "last" else self._goal

    def _objective(self, attribution: Tensor, reference: Reference) -> Tensor:
        """What the attacker maximises, shape (n,), differentiable in `attribution` of shape (n, *features)."""
        raise NotImplementedError

    def _scalarise(self, search: Search, objective: Tensor, logits: Tensor) -> Tensor:
        """What the gradient is taken of, shape (n,): the objective, or its sum with a term of the logits.

        `objective` and `logits` are those of the latest iterate, on the surrogate where there is one; ``search.logits``
        are always those of the network itself. Called once per iterate, from the clean input on.
        """
        return objective

    def _propose(self, search: Search, iteration: int) -> Tensor:
        state = search.extra
        length = self._step_length(iteration, search.max_iter, search.space.epsilon) * state["rate"]
        step = search.space.ascent(state["velocity"])
        return state["anchor"] + _per_row(length, step) * step

    def _learn(self, search: Search, iteration: int, points: Tensor, objective: Tensor) -> None:
        state, space = search.extra, search.space
        gradient = space.normalise(self._slope(search, iteration, points, objective))
        still = gradient.flatten(start_dim=1).abs().amax(dim=1) == 0
        if iteration == 0:
            # a stationary objective (the distance to itself, say) gets a push in a random direction
            state["anchor"] = search.delta
            push = still | self.random_start
            state["velocity"] = torch.where(
                _per_row(push, gradient), space.random_direction(search.generator), gradient
            )
            state["rate"] = torch.ones_like(objective.detach())
            return
        accepted = search.kept if self._takes_back else torch.ones_like(search.kept)
        kept = _per_row(accepted, gradient)
        state["anchor"] = torch.where(kept, search.delta, state["anchor"])
        state["velocity"] = torch.where(kept, self.momentum * state["velocity"] + gradient, state["velocity"])
        state["rate"] = torch.where(accepted, (2 * state["rate"]).clamp_max(1.0), state["rate"] / 2)
        search.stuck = still & search.kept

    def _slope(self, search: Search, iteration: int, points: Tensor, objective: Tensor) -> Tensor:
        """Gradient of what `_scalarise` makes of the objective at the latest iterate, shaped like x."""
        logits = search.logits
        if search.surrogate is not None:
            points, objective, logits = self._on_surrogate(search.surrogate, search, iteration)
        return input_gradient(self._scalarise(search, objective, logits), points)

    def _step_length(self, iteration: int, max_iter: int, epsilon: float) -> float:
        if self.step_size is not None:
            return self.step_size
        return epsilon if iteration == 1 else epsilon * (0.3 * (1 - iteration / max_iter) + 0.01)

    def _on_surrogate(self, surrogate: nn.Module, search: Search, iteration: int) -> tuple[Tensor, Tensor, Tensor]:
        """The latest iterate, its objective and its logits on the smooth copy, whose beta grows with the iterations."""
        low, high = self._BETA_RANGE
        set_beta(surrogate, low * (high / low) ** (iteration / max(search.max_iter - 1, 1)))
        points, attribution, logits = observe(
            surrogate, search.explainer, search.x + search.delta, search.target, graph=True
        )
        return points, self._objective(attribution, search.reference), logits


def _per_row(values: Tensor, like: Tensor) -> Tensor:
    """`values` of shape (n,) with as many axes as `like`, to broadcast over its features."""
    return values.reshape(-1, *(1,) * (like.ndim - 1))
