"""Explained batch: one forward pass and one input gradient for all terms of an objective."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from robustxai._arguments import SHARE, Each, Function, checked
from robustxai._random import like_normal
from robustxai.engine._differentiation import Differentiation, differentiation_of
from robustxai.engine._eval_batchnorm import eval_batchnorm
from robustxai.protocols import Explainer

__all__ = ["ExplainedBatch", "LookaheadPenalty"]


class LookaheadPenalty(Protocol):
    """A penalty that explains one other point per sample, known before any evaluation."""

    def point(self, batch: ExplainedBatch, /) -> Tensor:
        """Return the point of each sample, shaped like ``batch.x``."""
        ...

    def __call__(self, batch: ExplainedBatch, /) -> Tensor:
        """Return the penalty of each sample, shape (*batch,)."""
        ...


class ExplainedBatch:
    """Inputs with their logits and, on first use, their attribution with its graph.

    In a training step, batch normalization takes its statistics from the batch: a row's logits depend on the other
    rows, their gradient differs from the fitted model's explanation, and every pass updates the running statistics.
    Therefore only the cross-entropy reads `logits`, from the network in training mode. `module`, `explained_logits`,
    `target` and all attributions use the running statistics and do not update them. Networks without batch
    normalization share one forward pass for both; other networks need a second one.

    Parameters
    ----------
    network : nn.Module or Differentiation
        Inputs to logits; a bare module is differentiated by autograd.
    x : Tensor of shape (*batch, *features)
        Inputs; they must require a gradient if the attribution is read.
    explainer : Explainer
        Source of `attribution`.
    target : Tensor of shape (*batch,), optional
        Class to explain; the predicted class by default, as in the R2ET paper.
    y : Tensor of shape (*batch,), optional
        Labels, for penalties that need them.
    progress : float, default=1.0
        Completed share of the training, in [0, 1), for penalties that grow with it; 1 outside of a training.
    lookahead : sequence of LookaheadPenalty, default=()
        Penalties with a method ``point``. Their points are evaluated in one pass with `x`, because a pass of a small
        network costs the same for twice the rows. This needs a network of one feature axis whose rows do not depend
        on each other.
    generator : torch.Generator, optional
        Source of the penalties' random numbers, on the device of `x`; torch's global generator by default.
    """

    #: Position of the first row in the batch of the training step; not 0 in later parts of a batch.
    first: int = 0

    @checked(explainer=Function(), progress=SHARE, lookahead=Each(Function()))
    def __init__(
        self,
        network: nn.Module | Differentiation,
        x: Tensor,
        explainer: Explainer,
        target: Tensor | None = None,
        y: Tensor | None = None,
        progress: float = 1.0,
        lookahead: Sequence[LookaheadPenalty] = (),
        generator: torch.Generator | None = None,
    ) -> None:
        self._trained = differentiation_of(network)
        self._lookahead = tuple(lookahead)
        self.x = x
        self.explainer = explainer
        self.y = y
        self.progress = progress
        self.generator = generator
        if target is not None:
            self.target = target

    @cached_property
    def module(self) -> nn.Module:
        """Network for passes of penalties and adversaries, with batch normalization in evaluation mode.

        A training with written-out passes gives these passes, which can be called and explained like the network.
        """
        return cast(nn.Module, eval_batchnorm(self._trained.network))

    @cached_property
    def logits(self) -> Tensor:
        """Logits at `x` of the network in training mode, shape (*batch, n_classes)."""
        return self._parts(self._all_logits)[0]

    @cached_property
    def explained_logits(self) -> Tensor:
        """``module(x)``, for derivatives in `x`; equal to `logits` without batch normalization."""
        return self.logits if self.module is self._trained.network else self.module(self.x)

    @cached_property
    def attacked(self) -> Tensor:
        """Points where the step evaluates the cross-entropy, without a graph: the adversary's, or `x` without one."""
        return self.x.detach()

    @cached_property
    def target(self) -> Tensor:
        """Index of the explained class, shape (*batch,)."""
        return self.explained_logits.detach().argmax(dim=-1)

    @cached_property
    def attribution(self) -> Tensor:
        """Attribution of `target` at `x`, shaped like x, differentiable in the weights and in x."""
        return self.explainer(self.module, self.x, self.target, logits=self.explained_logits, create_graph=True)

    def attribution_at(self, x: Tensor) -> Tensor:
        """Return the differentiable attribution of the same classes at other points `x`."""
        return self.explainer(self.module, self._point(x), self.target, create_graph=True)

    @cached_property
    def direction(self) -> Tensor:
        """`attribution` up to a positive factor per sample, for penalties that do not depend on its length.

        The gradient of a probability has the factor p(1 - p), which underflows for confident samples; quotients of
        such gradients then become NaN. The explainer's ``up_to_scale`` leaves that factor out.
        """
        if not self._lookahead and self._up_to_scale is self.explainer:
            return self.attribution
        return self._all_directions[0]

    def direction_of(self, penalty: LookaheadPenalty) -> Tensor:
        """Return the differentiable `direction` of the same classes at ``penalty.point(self)``."""
        if penalty in self._lookahead:
            return self._all_directions[1 + self._lookahead.index(penalty)]
        return self._up_to_scale(self.module, self._point(penalty.point(self)), self.target, create_graph=True)

    def _point(self, x: Tensor) -> Tensor:
        return differentiation_of(self.module).leaf(x)

    @cached_property
    def _all_x(self) -> Tensor:
        """`x`, followed by the rows of the lookahead points."""
        return torch.cat([self.x, *(p.point(self) for p in self._lookahead)], dim=-2) if self._lookahead else self.x

    @cached_property
    def _all_logits(self) -> Tensor:
        return self._trained(self._all_x)

    @cached_property
    def _all_directions(self) -> Sequence[Tensor]:
        target = torch.cat([self.target] * (1 + len(self._lookahead)), dim=-1) if self._lookahead else self.target
        logits = self._all_logits if self._lookahead else self.explained_logits
        return self._parts(self._up_to_scale(self.module, self._all_x, target, logits=logits, create_graph=True))

    def _parts(self, rows: Tensor) -> Sequence[Tensor]:
        """Split `rows` into those of `x` and those of each lookahead point."""
        sizes = (self.x.shape[-2],) * (1 + len(self._lookahead))
        return rows.split_with_sizes(sizes, dim=-2) if self._lookahead else (rows,)

    def draw(
        self, sample: Callable[[tuple[int, ...], torch.Generator | None], Tensor], shape: Sequence[int], axis: int = 0
    ) -> Tensor:
        """Return the random numbers ``sample(shape, generator)``; axis `axis` counts the rows.

        A part of a batch draws for all rows of the batch and returns the numbers of its own rows.
        """
        return sample(tuple(shape), self.generator)

    def among_first(self, n_rows: int | None) -> int:
        """Return how many rows are among the first `n_rows` of the batch; all of them if `n_rows` is None."""
        return len(self.x) if n_rows is None else min(n_rows, len(self.x))

    def randn_like(self, like: Tensor) -> Tensor:
        """Return Gaussian numbers shaped like `like`; a stack draws them from the stream of each model."""
        return self.draw(lambda shape, generator: like_normal(like.new_empty(shape), generator), like.shape)

    @property
    def _up_to_scale(self) -> Explainer:
        return getattr(self.explainer, "up_to_scale", self.explainer)

    @property
    def batch_ndim(self) -> int:
        """Number of leading batch axes: one, or two for a stack of models."""
        return self.explained_logits.ndim - 1 if self.y is None else self.y.ndim
