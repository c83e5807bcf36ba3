"""The explained batch of a stack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from robustxai.explainers import Explainer
from robustxai.penalties import ExplainedBatch

__all__ = ["StackedBatch"]


class StackedBatch(ExplainedBatch):
    """An explained batch with a leading axis of members, each with its own stream of random numbers.

    Parameters
    ----------
    module : nn.Module
        Of x with shape (members, rows, *features).
    x : Tensor of shape (members, rows, *features)
        A member with fewer rows than the others is padded.
    explainer : Explainer
        Of all members.
    streams : sequence of torch.Generator
        One for each member.
    counts : sequence of int
        Rows of each member that are no padding: it draws for these alone.
    **options
        As in :class:`ExplainedBatch`.
    """

    def __init__(
        self,
        module: nn.Module,
        x: Tensor,
        explainer: Explainer,
        *,
        streams: Sequence[torch.Generator | None],
        counts: Sequence[int],
        **options: Any,
    ) -> None:
        super().__init__(module, x, explainer, **options)
        self.streams = streams
        self.counts = counts

    def randn_like(self, like: Tensor) -> Tensor:
        """Gaussian numbers, drawn by each member as it would draw them alone; ones for the padding."""
        draws = torch.ones_like(like)
        for number, (stream, count) in enumerate(zip(self.streams, self.counts)):
            draws[number, :count].normal_(generator=stream)
        return draws

    def members(self, index: Tensor) -> ExplainedBatch:
        """What some of the members say of their rows, for penalties that read nothing else."""
        part = ExplainedBatch(self.module, self.x, self.explainer, y=None, progress=self.progress)
        index = index.to(self.x.device)
        vars(part).update(logits=self.logits[index], target=self.target[index], direction=self.direction[index])
        if "attribution" in vars(self) or self._up_to_scale is self.explainer:
            vars(part).update(attribution=self.attribution[index])
        return part
