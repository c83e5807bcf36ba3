"""Many MLPs of one shape as one module."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from typing_extensions import Self

from robustxai.nets._mlp import MLP

__all__ = ["StackedMLP"]

# The activations whose slope is written down here; softplus and its slope for a beta of 1.
_VALUES: dict[type[nn.Module], Callable[[Tensor], Tensor]] = {
    nn.ReLU: torch.relu,
    nn.Softplus: nn.functional.softplus,
    nn.Sigmoid: torch.sigmoid,
    nn.Tanh: torch.tanh,
}
_SLOPES: dict[type[nn.Module], Callable[[Tensor, Tensor], Tensor]] = {
    nn.ReLU: lambda z, a: (z > 0).to(z),
    nn.Softplus: lambda z, a: torch.sigmoid(z),
    nn.Sigmoid: lambda z, a: a * (1 - a),
    nn.Tanh: lambda z, a: 1 - a.square(),
}


class StackedMLP(nn.Module):
    r"""S networks that differ in their weights and in beta only, each with its own rows.

    A small network spends most of a training step on starting operations, and one operation on a stack costs little
    more than on a member. The input gradient is written out, layer by layer backwards,

    .. math:: \nabla_x (c \cdot z) = W_1^\top D_1 W_2^\top D_2 \cdots W_{L+1}^\top c \;[\, + W_0^\top c \,],
        \qquad D_l = \operatorname{diag} \sigma'(z_l),

    because the training differentiates it once more, and autograd's own backward pass of a backward pass takes a
    quarter longer. Softplus's beta goes into the first weights, the biases and the last weights instead of into every
    unit of every row: :math:`\beta a_l = \ln(1 + e^{\beta z_l})` is what the next layer is fed with.

    Parameters
    ----------
    members : sequence of MLP
        Of one shape and one activation. They are copied, not linked.

    Raises
    ------
    NotImplementedError
        Members of several shapes, an activation without a slope here, or another class than MLP.
    """

    beta: Tensor

    def __init__(self, members: Sequence[MLP]) -> None:
        super().__init__()
        self.activation = self.check(members)
        layers = [[layer for layer in m.layers if isinstance(layer, nn.Linear)] for m in members]
        self.weights = nn.ParameterList(
            [nn.Parameter(torch.stack([layer.weight.detach().T for layer in same])) for same in zip(*layers)]
        )
        self.biases = nn.ParameterList(
            [nn.Parameter(torch.stack([layer.bias.detach()[None] for layer in same])) for same in zip(*layers)]
        )
        skips = [m.skip.weight.detach().T for m in members if m.skip is not None]
        self.skip = nn.Parameter(torch.stack(skips)) if skips else None
        betas = [[layer.beta for layer in m.layers if isinstance(layer, nn.Softplus)] for m in members]
        beta = torch.tensor([b[0] if b else 1.0 for b in betas]).to(self.weights[0])
        self.register_buffer("beta", beta.reshape(-1, 1, 1))
        self._trace: tuple[Tensor, list[Tensor], list[tuple[Tensor, Tensor]]] | None = None

    @staticmethod
    def check(members: Sequence[nn.Module]) -> type[nn.Module]:
        """The one activation of all members (ReLU of networks that have none)."""
        mlps = [member for member in members if type(member) is MLP]  # a subclass may compute anything
        for member in members:
            if member not in mlps:
                raise NotImplementedError(f"Only MLPs are stacked, not {type(member).__name__}.")
        shapes = {tuple(tuple(p.shape) for p in m.parameters()) for m in mlps}
        kinds = {type(layer) for m in mlps for layer in m.layers if not isinstance(layer, nn.Linear)}
        if len(shapes) > 1 or len(kinds) > 1:
            raise NotImplementedError("The members of a stack have one shape and one activation.")
        kind = kinds.pop() if kinds else nn.ReLU
        if kind not in _VALUES:
            raise NotImplementedError(f"The slope of {kind.__name__} is not written out for stacks.")
        return kind

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape (members, rows, n_classes) for x of shape (members, rows, n_features)."""
        weights, biases = self._scaled()
        a, units = x, []
        for weight, bias in zip(weights[:-1], biases[:-1]):
            z = torch.baddbmm(bias, a, weight)
            a = _VALUES[self.activation](z)
            units.append((z, a))
        logits = torch.baddbmm(biases[-1], a, weights[-1])
        self._trace = (x, weights, units)
        return logits if self.skip is None else torch.baddbmm(logits, x, self.skip)

    def input_gradient(self, x: Tensor, cotangent: Tensor) -> Tensor:
        """Gradient of ``cotangent . logits`` at the `x` of the latest forward pass, with its graph; shaped like x."""
        if self._trace is None or self._trace[0] is not x:
            self(x)
        assert self._trace is not None
        _, weights, units = self._trace
        q = torch.bmm(cotangent, weights[-1].transpose(1, 2))
        for weight, (z, a) in zip(reversed(weights[:-1]), reversed(units)):
            q = torch.bmm(_SLOPES[self.activation](z, a) * q, weight.transpose(1, 2))
        return q if self.skip is None else q + torch.bmm(cotangent, self.skip.transpose(1, 2))

    def _scaled(self) -> tuple[list[Tensor], list[Tensor]]:
        """Weights and biases of the same network for units beta times as large."""
        weights, biases = list(self.weights), list(self.biases)
        if self.activation is nn.Softplus:
            weights[0] = self.beta * weights[0]
            biases[:-1] = [self.beta * bias for bias in biases[:-1]]
            weights[-1] = weights[-1] / self.beta
        return weights, biases

    def select(self, index: Tensor) -> Self:
        """A stack of some of the members, copied."""
        chosen = copy.copy(self)
        chosen._trace = None
        chosen._parameters, chosen._buffers, chosen._modules = {}, {}, {}
        for name in ("weights", "biases"):
            parts = [nn.Parameter(p.detach()[index].clone()) for p in getattr(self, name)]
            setattr(chosen, name, nn.ParameterList(parts))
        chosen.skip = None if self.skip is None else nn.Parameter(self.skip.detach()[index].clone())
        chosen.register_buffer("beta", self.beta[index])
        return chosen

    @torch.no_grad()
    def write(self, members: Sequence[MLP]) -> None:
        """Copy the weights into networks of the members' shape."""
        for s, member in enumerate(members):
            linear = [layer for layer in member.layers if isinstance(layer, nn.Linear)]
            for layer, weight, bias in zip(linear, self.weights, self.biases):
                layer.weight.copy_(weight[s].T)
                layer.bias.copy_(bias[s, 0])
            if self.skip is not None and member.skip is not None:
                member.skip.weight.copy_(self.skip[s].T)
