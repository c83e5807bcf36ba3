"""Many MLPs of one shape as one module."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Self

from robustxai._arguments import Each, Instance, checked
from robustxai.activations import beta_of
from robustxai.engine._mlp_passes import MLPPasses, has_hooks
from robustxai.nets._mlp import MLP

__all__ = ["StackedMLP"]

#: From where on softplus is linear, unless somebody says otherwise.
_THRESHOLD = nn.Softplus().threshold


class StackedMLP(nn.Module):
    """S networks that differ in their weights and in beta only, each with its own rows.

    A small network spends most of a training step on starting operations, and one operation on a stack costs little
    more than on a member. :class:`MLPPasses` has the equations.

    Parameters
    ----------
    members : sequence of MLP
        Of one shape and one activation. They are copied, not linked.

    Raises
    ------
    NotImplementedError
        Members of several shapes, an activation without a slope here, another class than MLP, or one that was changed
        by hand (hooks, other layers, another threshold).
    """

    beta: Tensor

    @checked(members=Each(Instance(nn.Module), least=1))
    def __init__(self, members: Sequence[MLP]) -> None:
        super().__init__()
        self.activation = self.check(members)
        layers = [[layer for layer in m.layers if isinstance(layer, nn.Linear)] for m in members]
        self.weights = nn.ParameterList(
            [nn.Parameter(torch.stack([layer.weight.detach() for layer in same])) for same in zip(*layers)]
        )
        self.biases = nn.ParameterList(
            [nn.Parameter(torch.stack([layer.bias.detach()[None] for layer in same])) for same in zip(*layers)]
        )
        skips = [m.skip.weight.detach() for m in members if m.skip is not None]
        self.skip = nn.Parameter(torch.stack(skips)) if skips else None
        betas = [[b for layer in m.layers if (b := beta_of(layer)) is not None] for m in members]
        beta = torch.tensor([b[0] if b else 1.0 for b in betas]).to(self.weights[0])
        self.register_buffer("beta", beta.reshape(-1, 1, 1))
        self._passes: MLPPasses | None = None

    @staticmethod
    def check(members: Sequence[nn.Module]) -> type[nn.Module]:
        """The one activation of all members (ReLU of networks that have none)."""
        mlps = [member for member in members if type(member) is MLP]  # a subclass may compute anything
        for member in members:
            if type(member) is not MLP:
                raise NotImplementedError(f"Only MLPs are stacked, not {type(member).__name__}.")
        for member in mlps:
            _check_plain(member)
        shapes = {tuple(tuple(p.shape) for p in m.parameters()) for m in mlps}
        kinds = {type(layer) for m in mlps for layer in m.layers if not isinstance(layer, nn.Linear)}
        if len(shapes) > 1 or len(kinds) > 1:
            raise NotImplementedError("The members of a stack have one shape and one activation.")
        kind = kinds.pop() if kinds else nn.ReLU
        if not MLPPasses.knows(kind):
            raise NotImplementedError(f"The slope of {kind.__name__} is not written out for stacks.")
        return kind

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape (members, rows, n_classes) for x of shape (members, rows, n_features).

        As :class:`MLPPasses` makes them: :meth:`backward` ends the differentiation that a loss begins.
        """
        return self.passes(x)

    def input_gradient(self, x: Tensor, cotangent: Tensor) -> Tensor:
        """Gradient of ``cotangent . logits`` at the `x` of the latest forward pass; shaped like x."""
        return self.passes.input_gradient(x, cotangent)

    def backward(self) -> None:
        """Add to the parameters' ``grad`` what a loss has left at logits and input gradients."""
        self.passes.backward()

    @property
    def n_members(self) -> int:
        """S."""
        return len(self.beta)

    @property
    def passes(self) -> MLPPasses:
        """The passes on these weights."""
        if self._passes is None:
            self._passes = MLPPasses(self.activation, list(self.weights), list(self.biases), self.skip, self.beta)
        return self._passes

    def _apply(self, *args: Any, **kwargs: Any) -> Self:
        self._passes = None  # a move to another device makes another beta
        return super()._apply(*args, **kwargs)

    def select(self, index: Tensor) -> Self:
        """A stack of some of the members, copied."""
        chosen = copy.copy(self)
        chosen._passes = None
        chosen._parameters, chosen._buffers, chosen._modules = {}, {}, {}
        for name in ("weights", "biases"):
            setattr(chosen, name, nn.ParameterList(_rows(p, index) for p in getattr(self, name)))
        chosen.skip = None if self.skip is None else _rows(self.skip, index)
        chosen.register_buffer("beta", self.beta[index])
        return chosen

    @torch.no_grad()
    def write(self, members: Sequence[MLP]) -> None:
        """Copy the weights into networks of the members' shape."""
        for s, member in enumerate(members):
            linear = [layer for layer in member.layers if isinstance(layer, nn.Linear)]
            for layer, weight, bias in zip(linear, self.weights, self.biases):
                layer.weight.copy_(weight[s])
                layer.bias.copy_(bias[s, 0])
            if self.skip is not None and member.skip is not None:
                member.skip.weight.copy_(self.skip[s])

    def parameters_of(self, member: MLP) -> list[Tensor]:
        """The parameters of a network of the members' shape in the order of those of the stack."""
        linear = [layer for layer in member.layers if isinstance(layer, nn.Linear)]
        own = {id(p): layer.weight for p, layer in zip(self.weights, linear)}
        own |= {id(p): layer.bias for p, layer in zip(self.biases, linear)}
        if self.skip is not None and member.skip is not None:
            own[id(self.skip)] = member.skip.weight
        return [own[id(p)] for p in self.parameters()]


def _check_plain(member: MLP) -> None:
    """NotImplementedError where an MLP has been changed by hand, so that it computes otherwise."""
    linear, units = list(member.layers)[::2], list(member.layers)[1::2]
    affine = [*linear, *([] if member.skip is None else [member.skip])]
    if any(type(layer) is not nn.Linear for layer in affine) or any(isinstance(unit, nn.Linear) for unit in units):
        raise NotImplementedError("The layers of a stack's members are plain nn.Linear with an activation in between.")
    if any(layer.bias is None for layer in linear) or (member.skip is not None and member.skip.bias is not None):
        raise NotImplementedError("The layers of a stack's members have a bias, and the skip has none.")
    if len({beta_of(unit) for unit in units}) > 1:
        raise NotImplementedError("The members of a stack have one beta in all layers.")
    if any(isinstance(unit, nn.Softplus) and unit.threshold != _THRESHOLD for unit in units):
        raise NotImplementedError("The softplus of a stack's members has the default threshold.")
    if any("forward" in vars(part) or has_hooks(part) for part in member.modules()):
        raise NotImplementedError("The members of a stack have no hooks.")


def _rows(parameter: nn.Parameter, index: Tensor) -> nn.Parameter:
    return nn.Parameter(parameter.detach()[index].clone(), parameter.requires_grad)
