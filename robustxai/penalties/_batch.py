"""The explained batch: one forward pass and one input-gradient for every term of an objective."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor, nn

from robustxai._arguments import SHARE, Each, Function, checked
from robustxai._random import like_normal
from robustxai.engine import MLPPasses, steady
from robustxai.protocols import Explainer, Penalty

__all__ = ["SMALLEST_SCALE", "ExplainedBatch", "PenaltyAtPoint", "safe_sqrt"]

#: Below this an attribution counts as zero when it is divided by its length (a network of dead ReLUs).
SMALLEST_SCALE = 1e-12


class ExplainedBatch:
    """Inputs with their logits and, on first use, their attribution with its graph.

    In a training step, batch normalization takes its statistics from the batch: a row's logits depend on its company,
    their gradient is not the explanation that the fitted model will give, and every pass moves the running statistics.
    So the cross-entropy alone reads `logits`, from the network as it trains; `module`, `explained_logits`, `target` and
    all attributions are those of running statistics, which they leave alone. One forward pass serves both in networks
    without batch normalization, others pay for a second one.

    Parameters
    ----------
    module : nn.Module or MLPPasses
        Inputs to logits.
    x : Tensor of shape (*batch, *features)
        Must require grad if the attribution is to be read.
    explainer : Explainer
        How `attribution` is made.
    target : Tensor of shape (*batch,), optional
        Class that is explained; the predicted class by default, as in the R2ET paper.
    y : Tensor of shape (*batch,), optional
        Labels, for penalties that need them.
    progress : float, default=1.0
        Share of the training that is done, in [0, 1), for penalties that grow with it; 1 outside of a training.
    ahead : sequence of PenaltyAtPoint, default=()
        Penalties whose points go through the module in one pass with `x`: in small networks a pass costs the same for
        twice the rows. For modules of one feature axis, whose rows do not depend on each other.
    generator : torch.Generator, optional
        Source of what penalties draw, on the device of `x`; torch's global one by default.
    """

    #: Position of the first of these rows in the batch of the training step, of which they may be a part.
    first: int = 0

    @checked(explainer=Function(), progress=SHARE, ahead=Each(Function()))
    def __init__(
        self,
        module: nn.Module | MLPPasses,
        x: Tensor,
        explainer: Explainer,
        target: Tensor | None = None,
        y: Tensor | None = None,
        progress: float = 1.0,
        ahead: Sequence[PenaltyAtPoint] = (),
        generator: torch.Generator | None = None,
    ) -> None:
        self._trained = module
        self._ahead = tuple(ahead)
        self.x = x
        self.explainer = explainer
        self.y = y
        self.progress = progress
        self.generator = generator
        if target is not None:
            self.target = target

    @cached_property
    def module(self) -> nn.Module:
        """The network for passes of penalties and adversaries: what batch normalization knows of batches is held."""
        return steady(self._trained)

    @cached_property
    def logits(self) -> Tensor:
        """Logits at `x` of the network as it trains, shape (*batch, n_classes)."""
        return self._parts(self._all_logits)[0]

    @cached_property
    def explained_logits(self) -> Tensor:
        """``module(x)``, for all that differentiates in `x`; `logits` but for batch normalization."""
        return self.logits if self.module is self._trained else self.module(self.x)

    @cached_property
    def target(self) -> Tensor:
        """Index of the class that is explained, shape (*batch,)."""
        return self.explained_logits.detach().argmax(dim=-1)

    @cached_property
    def attribution(self) -> Tensor:
        """Attribution of `target` at `x`, shaped like x, differentiable in the weights and in x."""
        return self.explainer(self.module, self.x, self.target, logits=self.explained_logits, create_graph=True)

    def attribution_at(self, x: Tensor) -> Tensor:
        """Attribution of the same classes at other points `x`, differentiable."""
        return self.explainer(self.module, self._point(x), self.target, create_graph=True)

    @cached_property
    def direction(self) -> Tensor:
        """`attribution` up to a positive factor per sample, for penalties that do not care about its length.

        The probability's gradient has the factor p(1 - p), which underflows for confident samples and whose quotients
        then turn training into NaN; an explainer that knows better offers ``up_to_scale``.
        """
        if not self._ahead and self._up_to_scale is self.explainer:
            return self.attribution
        return self._all_directions[0]

    def direction_of(self, penalty: PenaltyAtPoint) -> Tensor:
        """`direction` of the same classes at the point of `penalty`, differentiable."""
        if penalty in self._ahead:
            return self._all_directions[1 + self._ahead.index(penalty)]
        return self._up_to_scale(self.module, self._point(penalty.point(self)), self.target, create_graph=True)

    def _point(self, x: Tensor) -> Tensor:
        """`x` for an attribution there; a network that writes out its input gradient needs no graph from x."""
        return x.detach() if hasattr(self.module, "input_gradient") else x.detach().requires_grad_()

    @cached_property
    def _all_x(self) -> Tensor:
        """`x`, and row by row below it the points that are `ahead`."""
        return torch.cat([self.x, *(p.point(self) for p in self._ahead)], dim=-2) if self._ahead else self.x

    @cached_property
    def _all_logits(self) -> Tensor:
        return self._trained(self._all_x)

    @cached_property
    def _all_directions(self) -> Sequence[Tensor]:
        target = torch.cat([self.target] * (1 + len(self._ahead)), dim=-1) if self._ahead else self.target
        logits = self._all_logits if self._ahead else self.explained_logits
        return self._parts(self._up_to_scale(self.module, self._all_x, target, logits=logits, create_graph=True))

    def _parts(self, rows: Tensor) -> Sequence[Tensor]:
        """What belongs to `x`, and to each of the points that are `ahead`."""
        sizes = (self.x.shape[-2],) * (1 + len(self._ahead))
        return rows.split_with_sizes(sizes, dim=-2) if self._ahead else (rows,)

    def draw(
        self, sample: Callable[[tuple[int, ...], torch.Generator | None], Tensor], shape: Sequence[int], axis: int = 0
    ) -> Tensor:
        """``sample(shape, generator)``, random numbers of a shape whose axis number `axis` is that of the rows.

        A batch that is computed in parts draws for all of its rows, and each part reads its own.
        """
        return sample(tuple(shape), self.generator)

    def among_first(self, n_rows: int | None) -> int:
        """How many of these rows are among the first `n_rows` of the batch, all where that is None."""
        return len(self.x) if n_rows is None else min(n_rows, len(self.x))

    def randn_like(self, like: Tensor) -> Tensor:
        """Gaussian numbers in the shape of `like`; a stack draws them for each of its members from its own stream."""
        return self.draw(lambda shape, generator: like_normal(like.new_empty(shape), generator), like.shape)

    @property
    def _up_to_scale(self) -> Explainer:
        return getattr(self.explainer, "up_to_scale", self.explainer)

    @property
    def batch_ndim(self) -> int:
        """Number of leading batch axes (two for a stack of models)."""
        return self.explained_logits.ndim - 1 if self.y is None else self.y.ndim


def safe_sqrt(square: Tensor) -> Tensor:
    """The square root with subgradient 0 at 0, where a linear model sits and the slope of sqrt is infinite."""
    return torch.where(square > 0, square, 1.0).sqrt() * (square > 0)


class PenaltyAtPoint(Penalty, Protocol):
    """A penalty that looks at one other point for each sample, which it knows before anything is evaluated."""

    def point(self, batch: ExplainedBatch) -> Tensor: ...
