"""MultiObjectiveAttack: explanation loss and prediction loss, weighted while the attack runs."""

from __future__ import annotations

from typing import Any, get_args

import torch
from torch import Tensor

from robustxai._arguments import NOT_NEGATIVE, Choice
from robustxai.attacks._gradient import GradientAttack
from robustxai.attacks._search import Reference, Search
from robustxai.protocols import Estimator, Weighting

__all__ = ["MultiObjectiveAttack"]

#: Increments of the weights of the two losses per unit of the loss, and the exponent's rate, as published.
_ASCENT_RATES = (1.0, 1e-4)
_HEDGE_RATE = 1e-4
#: Bounds of the multiplier, so that ten steps bring it back to 1 after any stretch inside the constraint.
_MULTIPLIERS = (2.0**-10, 2.0**30)


class MultiObjectiveAttack(GradientAttack):
    r"""Lower the ranking gap and keep the prediction by a weighted sum of both losses.

    .. math:: g_0 = \frac{\sum_{i \le k < j} h(x + \delta, i, j)}{\sum_{i \le k < j} h(x, i, j)}, \qquad
        g_1 = \| p(x + \delta) - p(x) \|_2, \qquad g_2 = \max\bigl(0, \kappa - (z_c - \max_{j \ne c} z_j)\bigr)
            + \max\bigl(0, |p_c(x + \delta) - p_c(x)| - m\bigr)

    with h as in :class:`ERAttack` (as a share of the clean gap, so that a weight means the same at any length of the
    gradient), p the softmax output, z the logits, c the class predicted at x and m `max_probability_change` (1 where
    none is given). Each row minimizes

    * "descent_ascent": :math:`\lambda_0 g_0 + \lambda_1 g_1`, then
      :math:`\lambda \leftarrow [\lambda + (g_0, 10^{-4} g_1)]_+`, divided by its sum;
    * "hedge": the same sum, then :math:`\lambda \leftarrow \lambda\, e^{10^{-4} (g_0, g_1)}`, divided by its sum;
    * "lagrangian": :math:`g_0 + \mu\, g_2`, then :math:`\mu` doubled where the margin is below kappa or
      the change above m, halved where not (and kept between :math:`2^{-10}` and :math:`2^{30}`);

    from :math:`\lambda = (1/2, 1/2)` and :math:`\mu = 1`. A step that changes the prediction is not undone: the
    weighted sum must restore the prediction. The first two are those of the published code, and enforce nothing alone:
    descent-ascent drifts to :math:`\lambda_0 = 1`, hedge stays near 1/2. Whatever the weights, only iterates that keep
    the prediction are kept here, the one of the lowest P@k first.

    For a network with ReLUs, p(x) and the margin that moves :math:`\mu` are those of the network itself, and the
    derivatives are those of its softplus copy.

    Parameters
    ----------
    weighting : {"lagrangian", "descent_ascent", "hedge"}, default="lagrangian"
        Update of the weights.
    kappa : float, default=0.0
        Margin of the logits that the Lagrangian demands. With 0 the iterates follow the decision boundary and cross it
        every few steps; a small positive margin keeps them inside. The other weightings do not use it.
    estimator, k, threat, ranking, max_iter, step_size, momentum, keep, batch_size, random_state
        As in :class:`GradientAttack`.

    References
    ----------
    Chen et al., *Training for stable explanation for free*, 2024, and its published code.
    """

    backtracks = False

    _constraints = {"weighting": Choice(get_args(Weighting)), "kappa": NOT_NEGATIVE}

    def __init__(
        self,
        estimator: Estimator | None = None,
        *,
        weighting: Weighting = "lagrangian",
        kappa: float = 0.0,
        **params: Any,
    ) -> None:
        super().__init__(estimator, **params)
        self.weighting = weighting
        self.kappa = kappa

    def objective(self, attribution: Tensor, reference: Reference) -> Tensor:
        clean = reference.mean_gap(reference.scores)
        # where all units tie the clean gap is rounding, of which no share can be taken
        noise = 4 * torch.finfo(clean.dtype).eps * reference.scores.abs().amax(dim=1)
        scale = torch.where(clean > noise.clamp_min(torch.finfo(clean.dtype).tiny), clean, 1.0)
        return -reference.mean_gap(reference.rank(attribution)) / scale

    def scalarize(self, search: Search, objective: Tensor, logits: Tensor) -> Tensor:
        state = search.extra
        if self.weighting == "lagrangian":
            multiplier = state.setdefault("multiplier", torch.ones_like(objective.detach()))
            # the margin is that of the network itself, not of the surrogate
            violated = self._excess(search, search.logits.detach()) > 0
            state["multiplier"] = torch.where(violated, 2 * multiplier, multiplier / 2).clamp(*_MULTIPLIERS)
            return objective - multiplier * self._excess(search, logits)
        proba = logits.softmax(dim=1)
        clean = state.setdefault("clean_proba", search.logits.detach().softmax(dim=1))
        losses = torch.stack([-objective, _distance(proba, clean)], dim=1)
        weights = state.setdefault("weights", torch.full_like(losses.detach(), 0.5))
        state["weights"] = next_weights(self.weighting, weights, losses.detach())
        return -(weights * losses).sum(dim=1)

    def _excess(self, search: Search, logits: Tensor) -> Tensor:
        """Return by how much `logits` violate the constraints of the Lagrangian, shape (n,); 0 within them."""
        excess = (self.kappa - margin(logits, search.target)).clamp_min(0.0)
        if search.max_change is not None:
            proba = logits.softmax(dim=1).gather(1, search.target[:, None]).squeeze(1)
            change = (proba - search.probability.to(proba)).abs()
            excess = excess + (change - search.max_change).clamp_min(0.0)
        return excess


def margin(logits: Tensor, target: Tensor) -> Tensor:
    """Return the logit of the target class minus the highest other one, shape (n,)."""
    is_target = torch.nn.functional.one_hot(target, logits.shape[1]).bool()
    return logits[is_target] - logits.masked_fill(is_target, -torch.inf).amax(dim=1)


def next_weights(weighting: Weighting, weights: Tensor, losses: Tensor) -> Tensor:
    """Return the weights after losses of shape (n, 2), non-negative and with a sum of one in every row."""
    if weighting == "hedge":
        grown = weights * (_HEDGE_RATE * losses).exp()
    else:
        # a negative gap would move a weight out of the simplex
        grown = (weights + losses * losses.new_tensor(_ASCENT_RATES)).clamp_min(0.0)
    return grown / grown.sum(dim=1, keepdim=True).clamp_min(torch.finfo(grown.dtype).tiny)


def _distance(proba: Tensor, clean: Tensor) -> Tensor:
    """Return the Euclidean distance of the rows, shape (n,), with a gradient of 0 where it is 0."""
    squares = (proba - clean).square().sum(dim=1)
    tiny = torch.finfo(squares.dtype).tiny
    return torch.where(squares > tiny, squares.clamp_min(tiny).sqrt(), 0.0)
