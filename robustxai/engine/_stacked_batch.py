"""Explained batch of a stack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from robustxai.engine._differentiation import Differentiation
from robustxai.engine._explained_batch import ExplainedBatch
from robustxai.protocols import Explainer

__all__ = ["StackedBatch"]


class StackedBatch(ExplainedBatch):
    """An explained batch with a leading axis of models, each with its own stream of random numbers.

    Parameters
    ----------
    network : nn.Module or Differentiation
        Network of all models, which takes x of shape (models, rows, *features).
    x : Tensor of shape (models, rows, *features)
        Inputs; a model with fewer rows than the others is padded.
    explainer : Explainer
        Explainer of all models.
    streams : sequence of torch.Generator
        Random stream of each model.
    counts : sequence of int
        Number of rows of each model without the padding. Random numbers are drawn for these rows only.
    **options
        As in :class:`ExplainedBatch`.
    """

    def __init__(
        self,
        network: nn.Module | Differentiation,
        x: Tensor,
        explainer: Explainer,
        *,
        streams: Sequence[torch.Generator | None],
        counts: Sequence[int],
        **options: Any,
    ) -> None:
        super().__init__(network, x, explainer, **options)
        self.streams = streams
        self.counts = counts

    def randn_like(self, like: Tensor) -> Tensor:
        """Return Gaussian numbers, drawn for each model as in a training of that model alone; 1 for the padding."""
        draws = torch.ones_like(like)
        for number, (stream, count) in enumerate(zip(self.streams, self.counts)):
            draws[number, :count].normal_(generator=stream)
        return draws

    def of_models(self, index: Tensor) -> ExplainedBatch:
        """Return the logits, targets and attributions of some models, for penalties that read nothing else."""
        part = ExplainedBatch(self.module, self.x, self.explainer, y=None, progress=self.progress)
        index = index.to(self.x.device)
        vars(part).update(logits=self.logits[index], target=self.target[index], direction=self.direction[index])
        if "attribution" in vars(self) or self._up_to_scale is self.explainer:
            vars(part).update(attribution=self.attribution[index])
        return part
