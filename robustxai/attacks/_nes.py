"""NESAttack: a gradient attack with estimated gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from robustxai._arguments import POSITIVE, Number
from robustxai.attacks._boundary_margin import BoundaryMarginAttack
from robustxai.attacks._search import Search, observe
from robustxai.attacks._unexplained import Lenient
from robustxai.protocols import Estimator

__all__ = ["NESAttack"]


class NESAttack(BoundaryMarginAttack):
    r"""Run BoundaryMarginAttack with gradients estimated from explanations (natural evolution strategies).

    .. math:: \hat g = \frac{1}{q} \sum_{i=1}^{q/2}
        \bigl( O(\delta + h u_i) - O(\delta - h u_i) \bigr)\, u_i, \qquad u_i \text{ uniform on the sphere}

    It needs no second derivative, and attacks models without one or with an unknown one: ReLU networks themselves, and,
    as a :class:`BlackBox`, trees with Shapley values.

    Parameters
    ----------
    n_draws : int, default=20
        q: random draws, and explanations, for one step, in antithetic pairs.
    smoothing : float, default=0.1
        h as a share of epsilon.
    estimator, k, threat, ranking, max_iter, n_boundary, step_size, momentum, random_start, keep
        As in :class:`BoundaryMarginAttack`.
    batch_size, random_state
        As in :class:`BoundaryMarginAttack`.

    References
    ----------
    Ilyas, Engstrom, Athalye and Lin, *Black-box adversarial attacks with limited queries and information*, 2018.
    """

    needs_graph = False

    _constraints = {"n_draws": Number(2, integer=True), "smoothing": POSITIVE}

    def __init__(
        self, estimator: Estimator | None = None, *, n_draws: int = 20, smoothing: float = 0.1, **params: Any
    ) -> None:
        super().__init__(estimator, **params)
        self.n_draws = n_draws
        self.smoothing = smoothing

    def slope(self, search: Search, iteration: int, points: Tensor, objective: Tensor) -> Tensor:
        length = self.smoothing * search.space.epsilon
        total = torch.zeros_like(search.delta)
        for _ in range(self.n_draws // 2):
            direction = search.space.random_direction(search.generator)
            pair, said = torch.zeros_like(total), torch.ones_like(search.kept)
            for side in (1.0, -1.0):
                probe = search.x + search.delta + side * length * direction
                _, found, _ = observe(search.module, search.explainer, probe, search.target, graph=False)
                attribution = found.relative_to(search.reference.log_scale)
                value = self.objective(attribution.detach(), search.reference)
                pair += side * value.reshape(-1, *(1,) * (total.ndim - 1)) * direction
                if isinstance(search.explainer, Lenient):
                    said &= ~search.explainer.failed
                    search.trace.unexplained[search.index] += search.explainer.failed
            total += torch.where(said.reshape(-1, *(1,) * (total.ndim - 1)), pair, 0.0)
        return total
