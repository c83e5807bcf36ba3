"""What an explainer is."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

__all__ = ["Explainer"]


class Explainer(Protocol):
    """A differentiable attribution.

    Called with a module, inputs x of shape (*batch, *features) that require grad, and the class index of each sample;
    returns a tensor shaped like x, with a graph when `create_graph`. `logits`, where given, is ``module(x)`` with its
    graph, so that one forward pass serves the loss and the explanation.
    """

    def __call__(
        self, module: nn.Module, x: Tensor, target: Tensor, *, logits: Tensor | None = None, create_graph: bool = False
    ) -> Tensor: ...
