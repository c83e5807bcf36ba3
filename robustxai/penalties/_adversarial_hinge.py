"""Hinge on the gaps at the boundary of the top-k set, at the point near x where they are smallest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from robustxai._arguments import COUNT, POSITIVE, check_arguments, optional
from robustxai.engine import BasePenalty, ExplainedBatch, differentiation_of
from robustxai.penalties._boundary_search import BoundarySearch, boundary_gaps, boundary_search, scores_of
from robustxai.penalties._ranking_gap import boundary_pairs, mean_magnitude
from robustxai.perturbation import THREAT_ARGUMENTS, PerturbationSet, ThreatModel, as_threat
from robustxai.protocols import Explainer, Norm, Ranking
from robustxai.ranking import RANKING, top_k_mask

__all__ = ["AdversarialHinge", "displaced"]

#: Distance of a random start from x, in units of epsilon.
_START = 0.7
#: A step that changes the prediction is halved so often, then not taken.
_HALVINGS = 2


@dataclass(frozen=True)
class AdversarialHinge(BasePenalty):
    r"""Mean hinge on the k' gaps at the boundary of the clean top-k set, at the point near x that closes them.

    .. math::
        \frac{1}{k'} \sum_{r=1}^{k'} \max\Bigl(0,\; \mu - \frac{l_r(x^*) - h_r(x^*)}{\bar s(x^*)}\Bigr), \qquad
        x^* \approx \arg\max_{x + \delta \in S} \sum_{r=1}^{k'} h_r(x + \delta) - l_r(x + \delta)

    with T the top-k set at x, :math:`l_r` the r-th lowest score of T, :math:`h_r` the r-th highest score of the other
    units, and :math:`\bar s` the mean magnitude of all scores. S are the perturbations of the threat model that keep
    the prediction. The gradient in the weights goes through the explanation at :math:`x^*`, which is held constant.

    Large gaps at x say nothing about the ball; this penalty trains the ranking where an attack would look.

    Parameters
    ----------
    k : int
        Size of the top set; the caller clips it below the number of units.
    n_pairs : int or None, default=3
        k', at most k and the number of other units; None for k.
    ranking : {"magnitude", "signed"}, default="magnitude"
        Scores that are ranked.
    margin : float, default=0.1
        :math:`\mu`, in units of the attribution's mean magnitude: a gap just above zero may be lost in the next step.
    threat : ThreatModel, optional
        The perturbations; ``ThreatModel()`` (l2, epsilon 0.5) by default.
    epsilon, norm : optional
        Shorthand for ``threat=ThreatModel(epsilon, norm)``.
    max_iter : int, default=3
        Steps of the search, each of which costs a gradient and a product with the Hessian. The first has the length
        epsilon, later ones from 0.65 epsilon down. Half of the rows, at random, start at a random direction of length
        0.7 epsilon instead of at x.
    n_rows : int or None, default=64
        Rows of each batch that are attacked; None for all.

    Raises
    ------
    ValueError, TypeError
        An unknown norm or ranking, a number out of its range, a shorthand that contradicts `threat`.

    Examples
    --------
    The explanation of a linear model is the same everywhere, so that its gaps are those at x:

    >>> import torch
    >>> from robustxai.explainers import Gradient
    >>> net = torch.nn.Linear(3, 2, bias=False)
    >>> _ = net.weight.data.copy_(torch.tensor([[0.0, 0.0, 0.0], [3.0, 2.0, 1.0]]))
    >>> AdversarialHinge(k=1, margin=1.0)(ExplainedBatch(net, torch.ones(1, 3), Gradient()))
    tensor([0.5000], grad_fn=...)
    """

    k: int
    n_pairs: int | None = 3
    ranking: Ranking = "magnitude"
    margin: float = 0.1
    epsilon: float | None = None
    norm: Norm | None = None
    max_iter: int = 3
    n_rows: int | None = 64
    threat: ThreatModel | None = field(default=None, kw_only=True)

    #: The search brings its own derivatives; the penalty reads one attribution.
    differentiates_inputs: ClassVar[bool] = False

    _constraints = {
        "k": COUNT,
        "n_pairs": optional(COUNT),
        "ranking": RANKING,
        "margin": POSITIVE,
        **THREAT_ARGUMENTS,
        "max_iter": COUNT,
        "n_rows": optional(COUNT),
    }

    def __post_init__(self) -> None:
        check_arguments(self)
        self._threat()

    def _threat(self) -> ThreatModel:
        return as_threat(self.threat, epsilon=self.epsilon, norm=self.norm)

    def __call__(self, batch: ExplainedBatch) -> Tensor:
        """Compute the penalty of the first `n_rows` samples, shape (n_rows,)."""
        n = batch.among_first(self.n_rows)
        if not n:
            return batch.x.new_zeros(0)
        top = self._top(batch, n)
        points = differentiation_of(batch.module).leaf(self.worst(batch, top))
        scores = scores_of(batch.module, points, batch.explainer, batch.target[:n], self.ranking)
        gaps = boundary_gaps(scores, top, boundary_pairs(self.k, self.n_pairs, scores.shape[-1]))
        return (self.margin - gaps / mean_magnitude(scores)).clamp_min(0.0).mean(dim=-1)

    def _top(self, batch: ExplainedBatch, n: int) -> Tensor:
        """Return the clean top-k set of the first `n` samples."""
        x = batch.x[:n].detach()
        search = boundary_search(batch.module, batch.explainer, x, batch.target[:n], self.ranking)
        return top_k_mask(search.scores(x), self.k)

    def _space(self, x: Tensor) -> PerturbationSet:
        """Return the set of perturbations of rows like `x`; it is kept, because each step needs it."""
        key = (x.shape[1:], x.device)
        known: tuple[Any, PerturbationSet] | None = self.__dict__.get("_bound")
        if known is None or known[0] != key:
            # bound to no rows, because the check of rows against the bounds copies them from the device in every step
            space = self._threat().bind(np.empty((0, *x.shape[1:]), np.float32), device=x.device)
            known = key, space
            object.__setattr__(self, "_bound", known)
        return known[1]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_bound"}

    def worst(self, batch: ExplainedBatch, top: Tensor | None = None) -> Tensor:
        """Return :math:`x^*` of the first `n_rows` samples, without a graph.

        Parameters
        ----------
        batch : ExplainedBatch
            Inputs of shape (batch, *features), and the source of the random numbers.
        top : bool Tensor of shape (n_rows, units), optional
            The clean top-k set, which is computed by default.
        """
        n = batch.among_first(self.n_rows)
        x, target = batch.x[:n].detach(), batch.target[:n]
        if top is None:
            top = self._top(batch, n)
        space = self._space(x)
        # a part of a batch draws for all rows of the batch
        whole = batch.draw(lambda shape, generator: _starts(space, x.new_empty(shape), generator), batch.x.shape)
        return x + displaced(
            batch.module,
            batch.explainer,
            x,
            target,
            top,
            space,
            ranking=self.ranking,
            n_pairs=boundary_pairs(self.k, self.n_pairs, top.shape[-1]),
            max_iter=self.max_iter,
            start=whole[:n],
        )


def displaced(
    module: nn.Module,
    explainer: Explainer,
    x: Tensor,
    target: Tensor,
    top: Tensor,
    space: PerturbationSet,
    *,
    ranking: Ranking,
    n_pairs: int,
    max_iter: int,
    start: Tensor | None = None,
) -> Tensor:
    """Return perturbations that keep the prediction and close the gaps at the boundary of a top-k set.

    Parameters
    ----------
    module, explainer : nn.Module and Explainer
        Inputs to logits, and the explanation whose units are ranked.
    x, target : Tensor of shape (n, *features) and (n,)
        Inputs without a graph, and their predicted classes.
    top : bool Tensor of shape (n, units)
        Top-k set of each input.
    space : PerturbationSet
        Perturbations that are allowed.
    ranking : {"magnitude", "signed"}
        Scores that are ranked.
    n_pairs : int
        Number of the lowest scores inside and of the highest outside that are exchanged.
    max_iter : int
        Number of steps.
    start : Tensor of the shape of `x`, optional
        First perturbations; 0 by default.

    Returns
    -------
    Tensor of the shape of `x`
        The best of the perturbations seen, without a graph; 0 where nothing is allowed but x.
    """
    search = boundary_search(module, explainer, x, target, ranking)
    best = torch.zeros_like(x)
    delta = best if start is None else _feasible(search, x, space.project(start, x), best, target)
    lowest = torch.full((len(x),), torch.inf, dtype=x.dtype, device=x.device)
    for step in range(max_iter + 1):
        points = x + delta
        reached, slope = search.boundary(points, top, n_pairs, with_slope=step < max_iter)
        better = reached < lowest
        lowest = torch.where(better, reached, lowest)
        best = torch.where(better.view(-1, *(1,) * (x.ndim - 1)), delta, best)
        if slope is None:
            break
        outward = ((slope > 0) & (points >= space.high)) | ((slope < 0) & (points <= space.low))
        slope = torch.where(outward, 0.0, slope)
        length = space.epsilon * (1.0 if step == 0 else 0.6 * (1 - step / max_iter) + 0.05)
        delta = _feasible(search, x, space.project(delta + length * space.ascent(slope), x), delta, target)
    return best


def _feasible(search: BoundarySearch, x: Tensor, delta: Tensor, before: Tensor, target: Tensor) -> Tensor:
    """Return `delta`, halved where it changes the prediction; `before` where that does not help."""
    # one pass for all sizes, because some row changes nearly always
    sizes = torch.stack([0.5**halving * delta for halving in range(_HALVINGS + 1)])
    kept = (search.classes((x + sizes).flatten(end_dim=1)).view(len(sizes), -1) == target).reshape(
        len(sizes), -1, *(1,) * (x.ndim - 1)
    )
    chosen = before
    for size, keeps in zip(reversed(sizes.unbind()), reversed(kept.unbind())):
        chosen = torch.where(keeps, size, chosen)
    return chosen


def _starts(space: PerturbationSet, like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw the first perturbation of each row: 0, or a random direction."""
    draw = space.random_points(like, generator)
    coin = torch.rand(len(like), generator=generator, dtype=like.dtype, device=like.device) < 0.5
    far = _START * space.epsilon * space.ascent(draw)
    return torch.where(coin.view(-1, *(1,) * (like.ndim - 1)), far, 0.0)
