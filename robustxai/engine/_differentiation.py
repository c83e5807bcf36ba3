"""Interface of the engine: compute and differentiate the logits and input gradients of a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import torch
from torch import Tensor, nn

__all__ = ["Autograd", "Differentiation", "Score", "WrittenOut", "differentiation_of", "score_gradient"]


class Score(Protocol):
    r"""One number per sample as a function of the logits, with its gradient in the logits.

    Autograd differentiates `value`. Written-out passes start from `cotangent` instead.
    """

    def value(self, logits: Tensor) -> Tensor:
        """Return the scores of shape (*batch,) for logits of shape (*batch, n_classes)."""
        ...

    def cotangent(self, logits: Tensor) -> Tensor:
        """Return the gradient of the scores in the logits, shaped like them, with a graph."""
        ...


class Differentiation(ABC):
    """Compute the logits and the input gradients of a network, and differentiate a loss of both.

    :func:`robustxai.engine.choose_differentiation` is the only function that chooses between the implementations.
    """

    #: Logits as a function of inputs: the network itself, or the written-out passes that replace it.
    network: nn.Module | Differentiation
    #: The inputs of a call must require a gradient.
    needs_input_graph: bool = True

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """Return the logits at `x` of shape (*batch, *features)."""

    @abstractmethod
    def input_gradient(
        self, x: Tensor, score: Score, *, logits: Tensor | None = None, create_graph: bool = False
    ) -> Tensor:
        """Return the gradient of `score` in `x`, shaped like x; `logits` are the logits at x, if they are known."""

    def leaf(self, x: Tensor) -> Tensor:
        """Return `x` without its history, ready for a call and an input gradient there."""
        return x.detach().requires_grad_() if self.needs_input_graph else x.detach()

    def finish_backward(self) -> None:  # noqa: B027 (autograd leaves nothing to do)
        """Propagate the gradients of a loss to the weights after ``loss.backward()``; autograd needs no such step."""


class Autograd(Differentiation):
    """Differentiate by autograd: any module, compiled or not, and any penalty.

    Parameters
    ----------
    network : nn.Module
        Inputs to logits.
    """

    network: nn.Module

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logits at `x`."""
        return self.network(x)

    def input_gradient(
        self, x: Tensor, score: Score, *, logits: Tensor | None = None, create_graph: bool = False
    ) -> Tensor:
        """Return the gradient of `score` in `x` by one backward pass."""
        shared = logits is not None  # the caller still needs the graph of its logits
        with torch.enable_grad():
            if logits is None:
                x = x if x.requires_grad else x.detach().requires_grad_()
                logits = self.network(x)
            total = score.value(logits).sum()
            return torch.autograd.grad(total, x, create_graph=create_graph, retain_graph=shared or create_graph)[0]


class WrittenOut(Differentiation):
    """Compute input gradients by a formula, from a cotangent of the logits to the gradient in x."""

    needs_input_graph = False

    def input_gradient(
        self, x: Tensor, score: Score, *, logits: Tensor | None = None, create_graph: bool = False
    ) -> Tensor:
        """Return the gradient of `score` in `x`, by `vector_jacobian`."""
        cotangent = score.cotangent(self(x) if logits is None else logits)
        gradient = self.vector_jacobian(x, cotangent if create_graph else cotangent.detach())
        return gradient if create_graph else gradient.detach()

    @abstractmethod
    def vector_jacobian(self, x: Tensor, cotangent: Tensor) -> Tensor:
        r"""Return :math:`c^\top \partial z / \partial x` at the `x` of the latest call; shaped like x."""


def differentiation_of(network: nn.Module | Differentiation) -> Differentiation:
    """Return `network` itself if it is a `Differentiation`, and `Autograd` of it otherwise."""
    return network if isinstance(network, Differentiation) else Autograd(network)


def score_gradient(
    network: nn.Module | Differentiation,
    x: Tensor,
    score: Score,
    *,
    logits: Tensor | None = None,
    create_graph: bool = False,
) -> Tensor:
    r"""Return :math:`\nabla_x s(z(x))`, the gradient of a score of the logits in the input.

    An explainer that is one such gradient calls this function and declares ``single_gradient = True``. Trainings on
    its attributions then use written-out passes and stacks, if the network and the penalties allow them.

    Parameters
    ----------
    network : nn.Module or Differentiation
        Inputs to logits.
    x : Tensor of shape (*batch, *features)
        Inputs.
    score : Score
        Differentiated quantity.
    logits : Tensor of shape (*batch, n_classes), optional
        ``network(x)`` with its graph, if the caller has computed it, so that one forward pass serves both.
    create_graph : bool, default=False
        Keep the graph, to differentiate the gradient again.

    Returns
    -------
    Tensor of shape (*batch, *features)
    """
    return differentiation_of(network).input_gradient(x, score, logits=logits, create_graph=create_graph)
