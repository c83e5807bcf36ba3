"""Stack of MLPs of one shape, as one module."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Self

from robustxai._arguments import Each, Instance, checked
from robustxai.activations import beta_of
from robustxai.engine._dense_layers import dense_layers, plain_dense_layers
from robustxai.engine._differentiation import WrittenOut
from robustxai.engine._mlp_passes import MLPPasses

__all__ = ["StackedMLP"]


class StackedMLP(nn.Module, WrittenOut):
    """Compute S networks that differ only in their weights and in beta, each with its own rows.

    A small network spends most of a training step on starting operations, and one operation on a stack takes little
    longer than on one of its models. :class:`MLPPasses` has the equations.

    Parameters
    ----------
    models : sequence of nn.Module
        Networks that declare ``dense_layers``, of one shape and one activation. Their weights are copied.

    Raises
    ------
    NotImplementedError
        The models have several shapes or an activation without written-out derivatives, or a network declares no
        ``dense_layers`` or was changed by hand (hooks, other layers, another threshold).
    """

    beta: Tensor

    @checked(models=Each(Instance(nn.Module), least=1))
    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        self.activation = self.check(models)
        dense = [dense_layers(model) for model in models]
        self.weights = nn.ParameterList(
            [
                nn.Parameter(torch.stack([layer.weight.detach() for layer in same]))
                for same in zip(*(d.linear for d in dense))
            ]
        )
        self.biases = nn.ParameterList(
            [
                nn.Parameter(torch.stack([layer.bias.detach()[None] for layer in same]))
                for same in zip(*(d.linear for d in dense))
            ]
        )
        skips = [d.skip.weight.detach() for d in dense if d.skip is not None]
        self.skip = nn.Parameter(torch.stack(skips)) if skips else None
        betas = [[b for unit in d.units if (b := beta_of(unit)) is not None] for d in dense]
        beta = torch.tensor([b[0] if b else 1.0 for b in betas]).to(self.weights[0])
        self.register_buffer("beta", beta.reshape(-1, 1, 1))
        self._passes: MLPPasses | None = None

    @property
    def network(self) -> StackedMLP:  # type: ignore[override]
        """The stack itself, whose logits are those of its passes."""
        return self

    @staticmethod
    def check(models: Sequence[nn.Module]) -> type[nn.Module]:
        """Return the activation that all models share; ReLU for networks without activations."""
        dense = [plain_dense_layers(model) for model in models]
        shapes = {tuple(tuple(p.shape) for p in model.parameters()) for model in models}
        kinds = {type(unit) for d in dense for unit in d.units}
        if len(shapes) > 1 or len(kinds) > 1 or len({(len(d.linear), d.skip is None) for d in dense}) > 1:
            raise NotImplementedError("The models of a stack must have one shape and one activation.")
        kind = kinds.pop() if kinds else nn.ReLU
        if not MLPPasses.knows(kind):
            raise NotImplementedError(f"The derivatives of {kind.__name__} are not written out, which a stack needs.")
        return kind

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of shape (models, rows, n_classes) for x of shape (models, rows, n_features).

        As in :class:`MLPPasses`, :meth:`finish_backward` completes the differentiation that ``loss.backward()`` starts.
        """
        return self.passes(x)

    def vector_jacobian(self, x: Tensor, cotangent: Tensor) -> Tensor:
        """Return the gradient of ``cotangent . logits`` at the `x` of the latest forward pass; shaped like x."""
        return self.passes.vector_jacobian(x, cotangent)

    def finish_backward(self) -> None:
        """Propagate the gradients of logits and input gradients to the parameters' ``grad``."""
        self.passes.finish_backward()

    @property
    def n_models(self) -> int:
        """Number of models, S."""
        return len(self.beta)

    @property
    def passes(self) -> MLPPasses:
        """Written-out passes on the weights of the stack."""
        if self._passes is None:
            self._passes = MLPPasses(self.activation, list(self.weights), list(self.biases), self.skip, self.beta)
        return self._passes

    def _apply(self, *args: Any, **kwargs: Any) -> Self:
        self._passes = None  # a move to another device replaces beta
        return super()._apply(*args, **kwargs)

    def select(self, index: Tensor) -> Self:
        """Return a stack with copies of some of the models."""
        chosen = copy.copy(self)
        chosen._passes = None
        chosen._parameters, chosen._buffers, chosen._modules = {}, {}, {}
        for name in ("weights", "biases"):
            setattr(chosen, name, nn.ParameterList(_rows(p, index) for p in getattr(self, name)))
        chosen.skip = None if self.skip is None else _rows(self.skip, index)
        chosen.register_buffer("beta", self.beta[index])
        return chosen

    @torch.no_grad()
    def write(self, models: Sequence[nn.Module]) -> None:
        """Copy the weights into networks of the models' shape."""
        for number, model in enumerate(models):
            linear, _, skip = dense_layers(model)
            for layer, weight, bias in zip(linear, self.weights, self.biases):
                layer.weight.copy_(weight[number])
                layer.bias.copy_(bias[number, 0])
            if self.skip is not None and skip is not None:
                skip.weight.copy_(self.skip[number])

    def parameters_of(self, model: nn.Module) -> list[Tensor]:
        """Return the parameters of a network of the models' shape, in the order of the stack's parameters."""
        linear, _, skip = dense_layers(model)
        own = {id(p): layer.weight for p, layer in zip(self.weights, linear)}
        own |= {id(p): layer.bias for p, layer in zip(self.biases, linear)}
        if self.skip is not None and skip is not None:
            own[id(self.skip)] = skip.weight
        return [own[id(p)] for p in self.parameters()]


def _rows(parameter: nn.Parameter, index: Tensor) -> nn.Parameter:
    return nn.Parameter(parameter.detach()[index].clone(), parameter.requires_grad)
