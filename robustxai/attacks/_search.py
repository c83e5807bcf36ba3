"""State of a running attack: the clean explanation, the rows that are still searched, the best iterates."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from robustxai.attacks._probability_change import below_limit, target_probability
from robustxai.engine import of_rows
from robustxai.explainers import Explainer, ScaledAttribution, scaled_attribution
from robustxai.perturbation import PerturbationSet
from robustxai.protocols import Ranking
from robustxai.ranking import top_k_mask, unit_scores

__all__ = ["Best", "Reference", "Search", "Trace", "highest", "observe"]


@dataclass(frozen=True, eq=False)
class Reference:
    """Clean explanation, with which an objective compares. Rows as in the batch under attack.

    Attributes
    ----------
    attribution : Tensor of shape (n, *features)
        In units of exp(`log_scale`), like all attributions that are compared with it.
    scores : Tensor of shape (n, units)
        Unit scores of `attribution`.
    top : BoolTensor of shape (n, units)
        The top-k set T.
    k : int
    ranking : {"magnitude", "signed"}
    log_scale : Tensor of shape (n,), or None
        Logarithm of the unit of each row's attribution: the factor of a probability's gradient at the clean input,
        which underflows for confident rows. None where attributions have no such factor.
    """

    attribution: Tensor
    scores: Tensor
    top: Tensor
    k: int
    ranking: Ranking
    log_scale: Tensor | None = None

    @classmethod
    def of(cls, clean: ScaledAttribution, k: int, ranking: Ranking) -> Reference:
        """Make the reference of rows with the attribution `clean`."""
        attribution = clean.direction.detach()
        scores = unit_scores(attribution, ranking)
        log_scale = None if clean.log_scale is None else clean.log_scale.detach()
        return cls(attribution, scores, top_k_mask(scores, k), k, ranking, log_scale)

    @classmethod
    def cat(cls, parts: list[Reference]) -> Reference:
        """Concatenate the rows of several references."""
        attribution, scores, top = (
            torch.cat([getattr(part, name) for part in parts]) for name in ("attribution", "scores", "top")
        )
        scales = [part.log_scale for part in parts if part.log_scale is not None]
        return cls(attribution, scores, top, parts[0].k, parts[0].ranking, torch.cat(scales) if scales else None)

    def rank(self, attribution: Tensor) -> Tensor:
        """Return unit scores of another attribution of the same rows, shape (n, units)."""
        return unit_scores(attribution, self.ranking)

    def mean_gap(self, scores: Tensor) -> Tensor:
        """Return the mean over T minus the mean over the rest, shape (n,): all k(n-k) pairs without a loop."""
        return (scores * self._gap_weights).sum(dim=1)

    @cached_property
    def inside(self) -> Tensor:
        """The units of T, shape (n, k)."""
        return self.top.nonzero()[:, 1].reshape(len(self.top), -1)

    @cached_property
    def outside(self) -> Tensor:
        """All other units, shape (n, units - k)."""
        return (~self.top).nonzero()[:, 1].reshape(len(self.top), -1)

    @cached_property
    def _gap_weights(self) -> Tensor:
        # numbers, because a product with a mask converts the mask in every forward and backward pass
        n_rest = max(self.scores.shape[1] - self.k, 1)
        top = self.top.to(self.scores)
        return top / self.k - (1 - top) / n_rest

    def relative(self, attribution: Tensor) -> Tensor:
        """Return unit scores of another attribution as shares of their total magnitude, shape (n, units)."""
        scores = self.rank(attribution)
        total = scores.abs().sum(dim=1, keepdim=True)
        return scores / total.clamp_min(torch.finfo(scores.dtype).tiny)

    def overlap(self, scores: Tensor) -> Tensor:
        """Count the units of T among the k highest of other `scores` of the same rows; shape (n,), integer.

        A unit that ties with the k-th score counts: the arbitrary order of equal scores (units without influence) is
        not a flip.
        """
        return (self.top & (scores >= highest(scores, self.k))).sum(dim=1)

    def select(self, rows: Tensor) -> Reference:
        """Return the reference of some of the rows."""
        log_scale = None if self.log_scale is None else self.log_scale[rows]
        return Reference(self.attribution[rows], self.scores[rows], self.top[rows], self.k, self.ranking, log_scale)


@dataclass(frozen=True, eq=False)
class Trace:
    """History of every row; tensors of shape (n,), written in place.

    Attributes
    ----------
    first_flip : Tensor of int
        First iteration with another top-k set and the same prediction; the number of iterations plus 1 if none had.
    last_gain : Tensor of int
        Last iteration that lowered P@k; 0 where none did.
    rejected : Tensor
        Share of the iterates that changed the prediction, or its probability by more than the limit.
    unexplained : Tensor of int
        Iterates without an explanation: NaN or infinity.
    extra : dict of Tensor of shape (n, ...)
        Fields of the result that one kind of attack has, by their names.
    """

    first_flip: Tensor
    last_gain: Tensor
    rejected: Tensor
    unexplained: Tensor
    extra: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def start(cls, n: int, max_iter: int, device: torch.device | str = "cpu") -> Trace:
        """Make the trace before the first iteration."""
        flips = torch.full((n,), max_iter + 1, device=device)
        none = torch.zeros_like(flips)
        return cls(flips, none, torch.zeros(n, dtype=torch.float32, device=device), none.clone())

    def take(self, rows: Tensor) -> Trace:
        """Return the trace of some of the rows."""
        extra = {name: value[rows] for name, value in self.extra.items()}
        return Trace(self.first_flip[rows], self.last_gain[rows], self.rejected[rows], self.unexplained[rows], extra)

    @classmethod
    def cat(cls, parts: list[Trace]) -> Trace:
        """Concatenate the rows of several chunks."""
        names = ("first_flip", "last_gain", "rejected", "unexplained")
        columns = {name: torch.cat([getattr(p, name) for p in parts]) for name in names}
        extra = {name: torch.cat([p.extra[name] for p in parts]) for name in parts[0].extra}
        return cls(**columns, extra=extra)


@dataclass(eq=False)
class Search:
    """State of the rows that are still searched. From `index` on, every field has one entry per row."""

    # one entry per row in every field, so that finished rows leave by one indexing operation

    module: nn.Module
    surrogate: nn.Module | None
    explainer: Explainer
    space: PerturbationSet
    generator: torch.Generator
    max_iter: int
    trace: Trace
    index: Tensor  # position of the row in the chunk
    x: Tensor
    target: Tensor
    reference: Reference
    delta: Tensor  # the latest iterate
    logits: Tensor  # of the network itself there, with a graph where `needs_graph` is True
    kept: Tensor  # True where it keeps the prediction
    overlap: Tensor  # number of units of the top-k set that are still in it
    stuck: Tensor  # True where the search of the row has ended
    probability: Tensor  # of the explained class at x
    max_change: float | None = None  # largest change of that probability
    extra: dict[str, Tensor] = field(default_factory=dict)  # values that `learn` stores for `propose`

    def keeps_prediction(self, logits: Tensor) -> Tensor:
        """Return True where `logits` predict the row's class, with a probability within the limit; shape (n,)."""
        kept = logits.detach().argmax(dim=1) == self.target
        if self.max_change is not None:
            change = (target_probability(logits, self.target) - self.probability).abs()
            kept = kept & (change <= below_limit(self.max_change))
        return kept

    def select(self, rows: Tensor) -> None:
        """Keep some of the rows."""
        for name in ("index", "x", "target", "delta", "logits", "kept", "overlap", "stuck", "probability"):
            setattr(self, name, getattr(self, name)[rows])
        self.module, self.space = of_rows(self.module, rows), self.space.select(rows)
        self.reference = self.reference.select(rows)
        self.extra = {name: value[rows] for name, value in self.extra.items()}


@dataclass(eq=False)
class Best:
    """Best iterate of every row that is still searched, one entry per row.

    While no row leaves, an iteration updates whole tensors: indexing by row in every iteration takes longer than the
    forward pass of a small network.
    """

    delta: Tensor
    overlap: Tensor
    objective: Tensor
    first_flip: Tensor
    last_gain: Tensor
    n_kept: Tensor  # iterates that kept the prediction

    @classmethod
    def start(cls, x: Tensor, k: int, objective: Tensor, trace: Trace) -> Best:
        """Start from the clean input; any iterate of a higher `objective`, shape (n,), replaces it."""
        overlap = torch.full((len(x),), k, device=x.device)
        first_flip, last_gain = trace.first_flip.clone(), trace.last_gain.clone()
        return cls(torch.zeros_like(x), overlap, objective, first_flip, last_gain, torch.zeros_like(trace.rejected))

    def update(self, search: Search, iteration: int, overlap: Tensor, objective: Tensor, selection: str) -> None:
        """Keep the latest iterate where it is better by the rule of `BaseAttack.selection`."""
        kept = search.kept
        gain = kept & (overlap < self.overlap)
        if selection == "last":
            better = kept
        else:
            better = kept & (objective > self.objective)
            if selection == "overlap":
                better = gain | (better & (overlap == self.overlap))
        self.n_kept.add_(kept)
        self.last_gain.masked_fill_(gain, iteration)
        flipped = kept & (overlap < search.reference.k) & (self.first_flip > iteration)
        self.first_flip.masked_fill_(flipped, iteration)
        rows = better.nonzero().squeeze(1)
        if len(rows):
            self.delta.index_copy_(0, rows, search.delta.index_select(0, rows))
            self.overlap = torch.where(better, overlap, self.overlap)
            self.objective = torch.where(better, objective, self.objective)

    def write(self, search: Search, iteration: int, delta: Tensor) -> None:
        """Write per-row results back to their original positions in the trace and in `delta`, shaped like the chunk."""
        rows, trace = search.index, search.trace
        delta[rows] = self.delta
        trace.first_flip[rows] = self.first_flip
        trace.last_gain[rows] = self.last_gain
        trace.rejected[rows] = (iteration - self.n_kept) / iteration

    def select(self, rows: Tensor) -> None:
        """Keep some of the rows."""
        for name, value in vars(self).items():
            setattr(self, name, value[rows])


def highest(scores: Tensor, *places: int) -> Tensor:
    """Return the scores at given places of every row, 1 for the highest; shape (n, places), without a graph."""
    if scores.device.type == "cpu":  # a fifth of the time of torch's topk
        columns = [scores.shape[1] - place for place in places]
        return torch.from_numpy(np.partition(scores.detach().numpy(), columns, axis=1)[:, columns])
    return scores.detach().topk(max(places), dim=1).values[:, [place - 1 for place in places]]


def observe(
    module: nn.Module, explainer: Explainer, points: Tensor, target: Tensor, graph: bool
) -> tuple[Tensor, ScaledAttribution, Tensor]:
    """Return `points` as a leaf, their attribution (with a graph back to them if `graph`) and their logits."""
    points = points.detach().requires_grad_()
    with torch.enable_grad():
        logits = module(points)
        found = scaled_attribution(explainer, module, points, target, logits=logits, create_graph=graph)
    return points, found, logits if graph else logits.detach()
