"""The state of an attack in flight: the clean explanation that it is measured against, and the rows still searched."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from robustxai.explainers import Explainer
from robustxai.perturbation import PerturbationSet
from robustxai.ranking import unit_scores

__all__ = ["Reference", "Search", "Trace", "observe"]


@dataclass(frozen=True, eq=False)
class Reference:
    """The clean explanation that an objective is measured against. Rows as in the batch under attack.

    Attributes
    ----------
    attribution : Tensor of shape (n, *features)
    scores : Tensor of shape (n, units)
        Unit scores of `attribution`.
    top : BoolTensor of shape (n, units)
        The top-k set T.
    k : int
    ranking : {"magnitude", "signed"}
    """

    attribution: Tensor
    scores: Tensor
    top: Tensor
    k: int
    ranking: str

    def rank(self, attribution: Tensor) -> Tensor:
        """Unit scores of another attribution of the same rows, shape (n, units)."""
        return unit_scores(attribution, self.ranking)

    def mean_gap(self, scores: Tensor) -> Tensor:
        """Mean over T minus mean over the rest, shape (n,): all k(n-k) pairs without a loop over them."""
        inside = (scores * self.top).sum(dim=1)
        n_rest = max(scores.shape[1] - self.k, 1)
        return inside / self.k - (scores.sum(dim=1) - inside) / n_rest

    def relative(self, attribution: Tensor) -> Tensor:
        """Unit scores of another attribution as shares of their total magnitude, shape (n, units)."""
        scores = self.rank(attribution)
        total = scores.abs().sum(dim=1, keepdim=True)
        return scores / total.clamp_min(torch.finfo(scores.dtype).tiny)

    def select(self, rows: Tensor) -> Reference:
        """The reference of some of the rows."""
        return Reference(self.attribution[rows], self.scores[rows], self.top[rows], self.k, self.ranking)


@dataclass(frozen=True, eq=False)
class Trace:
    """What happened to every row on the way; tensors of shape (n,), written in place.

    Attributes
    ----------
    first_flip : Tensor of int
        First iteration with another top-k set and the same prediction; one more than there are where none had.
    last_gain : Tensor of int
        Last iteration that lowered P@k; 0 where none did.
    rejected : Tensor
        Share of the iterates that changed the prediction.
    """

    first_flip: Tensor
    last_gain: Tensor
    rejected: Tensor

    @classmethod
    def start(cls, n: int, max_iter: int, device: torch.device | str = "cpu") -> Trace:
        """Before the first iteration."""
        flips = torch.full((n,), max_iter + 1, device=device)
        return cls(flips, torch.zeros_like(flips), torch.zeros(n, device=device))

    @classmethod
    def cat(cls, parts: list[Trace]) -> Trace:
        """The rows of several chunks, one after the other."""
        columns = zip(*((p.first_flip, p.last_gain, p.rejected) for p in parts))
        return cls(*(torch.cat(column) for column in columns))


@dataclass(eq=False)
class Search:
    """The state of the rows that are still searched. From `index` on, every field has one entry per row."""

    # one tensor per row and field, so that finished rows leave by one indexing operation

    module: nn.Module
    surrogate: nn.Module | None
    explainer: Explainer
    space: PerturbationSet
    generator: torch.Generator
    max_iter: int
    index: Tensor  # position of the row in the chunk
    x: Tensor
    target: Tensor
    reference: Reference
    delta: Tensor  # the latest iterate
    logits: Tensor  # of the network itself there, with a graph where `_needs_graph` asks for one
    kept: Tensor  # whether it keeps the prediction
    stuck: Tensor  # whether the row cannot get any further
    extra: dict[str, Tensor] = field(default_factory=dict)  # what `_learn` remembers for `_propose`

    def select(self, rows: Tensor) -> None:
        """Go on with some of the rows."""
        for name in ("index", "x", "target", "delta", "logits", "kept", "stuck"):
            setattr(self, name, getattr(self, name)[rows])
        self.reference = self.reference.select(rows)
        self.extra = {name: value[rows] for name, value in self.extra.items()}


def observe(
    module: nn.Module, explainer: Explainer, points: Tensor, target: Tensor, graph: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """`points` as a leaf, their attribution (with a graph back to them if asked) and their logits."""
    points = points.detach().requires_grad_()
    with torch.enable_grad():
        logits = module(points)
        attribution = explainer(module, points, target, logits=logits, create_graph=graph)
    return points, attribution, logits if graph else logits.detach()
