"""An MLP's logits and input gradient with their derivatives written out, for one network or a stack of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from robustxai.nets._mlp import MLP

__all__ = ["MLPPasses"]

_VALUES: dict[type[nn.Module], Callable[[Tensor], Tensor]] = {
    nn.ReLU: torch.relu,
    nn.Softplus: nn.functional.softplus,
    nn.Sigmoid: torch.sigmoid,
    nn.Tanh: torch.tanh,
}
#: From z and a = sigma(z) to sigma'(z).
_SLOPES: dict[type[nn.Module], Callable[[Tensor, Tensor], Tensor]] = {
    nn.ReLU: lambda z, a: (z > 0).to(z),
    nn.Softplus: lambda z, a: torch.sigmoid(z),
    nn.Sigmoid: lambda z, a: a - a * a,
    nn.Tanh: lambda z, a: 1 - a * a,
}
#: From a and s = sigma'(z) to sigma''(z); None where it is zero.
_BENDS: dict[type[nn.Module], Callable[[Tensor, Tensor], Tensor] | None] = {
    nn.ReLU: None,
    nn.Softplus: lambda a, s: s - s * s,
    nn.Sigmoid: lambda a, s: s * (1 - 2 * a),
    nn.Tanh: lambda a, s: -2 * a * s,
}


class MLPPasses:
    r"""The forward pass and the input gradient of one MLP, or of a stack of S with the same shape and activation.

    .. math::
        z_l = W_l a_{l-1} + b_l, \quad a_l = \sigma(z_l), \qquad
        q_L = W_{L+1}^\top c, \quad u_l = \sigma'(z_l) \odot q_l, \quad q_{l-1} = W_l^\top u_l, \quad
        \nabla_x (c \cdot z) = q_0 \;[\, + W_0^\top c \,]

    A training on input gradients differentiates both in the weights. With :math:`\dot q_0` what arrives at the
    gradient,

    .. math::
        \dot u_l = W_l \dot q_{l-1}, \quad \dot W_l = u_l \dot q_{l-1}^\top, \quad
        \dot q_l = \sigma'(z_l) \odot \dot u_l, \quad \dot z_l = \sigma''(z_l) \odot q_l \odot \dot u_l,

    and :math:`\dot z_l` joins the ordinary backward pass. Autograd's own way there is a backward pass of a backward
    pass: three times as many operations, each of which costs a small network more to start than to compute. Softplus's
    beta goes into the first weights, the biases and the last weights, :math:`\beta a_l = \ln(1 + e^{\beta z_l})`
    being what the next layer is fed with, so that a unit costs the same at any beta.

    Parameters
    ----------
    activation : type
        nn.ReLU, nn.Softplus, nn.Sigmoid or nn.Tanh.
    weights : sequence of Tensor of shape (out, in) or (S, out, in)
        Of the layers, as `nn.Linear` has them.
    biases : sequence of Tensor of shape (out,) or (S, 1, out)
        Of the layers.
    skip : Tensor of shape (out, in) or (S, out, in), optional
        :math:`W_0`.
    beta : float or Tensor of shape (S, 1, 1), default=1.0
        Of softplus.
    """

    def __init__(
        self,
        activation: type[nn.Module],
        weights: Sequence[Tensor],
        biases: Sequence[Tensor],
        skip: Tensor | None = None,
        beta: float | Tensor = 1.0,
    ) -> None:
        self.activation = activation
        self.parameters = [*weights, *biases]
        self.skip = skip
        flat = activation is not nn.Softplus or len(weights) == 1 or bool((torch.as_tensor(beta) == 1).all())
        self.beta = None if flat else beta
        self._latest: tuple[Tensor, _Trace, list[Tensor]] | None = None

    @classmethod
    def of(cls, module: nn.Module) -> MLPPasses | None:
        """The passes of `module`, on its own weights; None for a network that may compute something else."""
        if type(module) is not MLP or any(_hooks(part) for part in module.modules()):
            return None
        layers = [layer for layer in module.layers if isinstance(layer, nn.Linear)]
        units = [layer for layer in module.layers if not isinstance(layer, nn.Linear)]
        if len({type(unit) for unit in units}) != 1 or not cls.knows(type(units[0])):
            return None
        beta = units[0].beta if isinstance(units[0], nn.Softplus) else 1.0
        skip = None if module.skip is None else module.skip.weight
        return cls(type(units[0]), [layer.weight for layer in layers], [layer.bias for layer in layers], skip, beta)

    @staticmethod
    def knows(activation: type[nn.Module]) -> bool:
        """Whether the slope of `activation` is written out here."""
        return activation in _VALUES

    def __call__(self, x: Tensor) -> Tensor:
        """Logits of shape (*batch, n_classes) for x of shape (*batch, n_features)."""
        trace = _Trace(self, x)
        if x.requires_grad:  # somebody differentiates the input gradient in x, which autograd's own graph can do
            logits, z = trace.forward(self.parameters, self.skip), trace.z
        else:
            logits, *z = _Forward.apply(trace, self.skip, *self.parameters)
        self._latest = (x, trace, z)
        return logits

    def input_gradient(self, x: Tensor, cotangent: Tensor) -> Tensor:
        """Gradient of ``cotangent . logits`` at the `x` of the latest forward pass, with its graph; shaped like x."""
        if self._latest is None or self._latest[0] is not x:
            self(x)
        assert self._latest is not None
        _, trace, z = self._latest
        if x.requires_grad:
            return trace.gradient(cotangent)[0]
        weights = self.parameters[: trace.n_layers]
        return _InputGradient.apply(trace, cotangent, self.skip, *weights, *z)


def _hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)


class _Trace:
    """What a forward pass leaves behind: tensors without a graph if `_Forward` made it, with theirs otherwise."""

    def __init__(self, passes: MLPPasses, x: Tensor) -> None:
        self.activation, self.beta = passes.activation, passes.beta
        self.n_layers = len(passes.parameters) // 2
        self.x = x
        self.product = torch.bmm if x.ndim == 3 else torch.mm
        self._s: list[Tensor] | None = None

    def forward(self, parameters: Sequence[Tensor], skip: Tensor | None) -> Tensor:
        weights, biases = list(parameters[: self.n_layers]), list(parameters[self.n_layers :])
        if self.beta is not None:
            weights[0], weights[-1] = self.beta * weights[0], weights[-1] / self.beta
            biases[:-1] = [self.beta * bias for bias in biases[:-1]]
        self.weights, self.skip = weights, skip
        affine = torch.baddbmm if self.x.ndim == 3 else torch.addmm
        a = self.x
        self.a, self.z = [a], []
        for weight, bias in zip(weights[:-1], biases[:-1]):
            z = affine(bias, a, weight.mT)
            a = _VALUES[self.activation](z)
            self.z.append(z)
            self.a.append(a)
        logits = affine(biases[-1], a, weights[-1].mT)
        return logits if skip is None else logits + self.product(self.x, skip.mT)

    @property
    def s(self) -> list[Tensor]:
        """Slopes of the hidden units."""
        if self._s is None:
            self._s = [_SLOPES[self.activation](z, a) for z, a in zip(self.z, self.a[1:])]
        return self._s

    def gradient(self, cotangent: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """The input gradient, and q and u of the hidden layers."""
        q = self.product(cotangent, self.weights[-1])
        qs, us = [], []
        for s, weight in zip(reversed(self.s), reversed(self.weights[:-1])):
            u = s * q
            qs.append(q)
            us.append(u)
            q = self.product(u, weight)
        if self.skip is not None:
            q = q + self.product(cotangent, self.skip)
        return q, qs[::-1], us[::-1]

    def unscaled(self, d_weights: list[Tensor | None], d_biases: Sequence[Tensor | None] = ()) -> list[Tensor | None]:
        """Gradients in the weights and biases from those in what beta has made of them."""
        d_biases = list(d_biases)
        if self.beta is not None:
            d_weights[0] = None if d_weights[0] is None else d_weights[0].mul_(self.beta)
            d_weights[-1] = None if d_weights[-1] is None else d_weights[-1].div_(self.beta)
            d_biases[:-1] = [None if d is None else d.mul_(self.beta) for d in d_biases[:-1]]
        return [*d_weights, *d_biases]


class _Forward(torch.autograd.Function):
    """Logits, and z of every hidden layer, where `_InputGradient` hangs on."""

    @staticmethod
    def forward(ctx: Any, trace: _Trace, skip: Tensor | None, *parameters: Tensor) -> tuple[Tensor, ...]:
        ctx.trace = trace
        ctx.set_materialize_grads(False)
        logits = trace.forward(parameters, skip)
        # aliases: an output that the trace held itself would keep its graph, and the graph the trace, for ever
        return (logits, *(z.detach() for z in trace.z))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_logits: Tensor | None, *d_z: Tensor | None) -> tuple[Any, ...]:
        trace: _Trace = ctx.trace
        product, last = trace.product, trace.n_layers - 1
        d_weights: list[Tensor | None] = [None] * trace.n_layers
        d_biases: list[Tensor | None] = [None] * trace.n_layers
        d = d_logits
        for layer in range(last, -1, -1):
            if layer < last:
                if d is not None:
                    d = product(d, trace.weights[layer + 1]).mul_(trace.s[layer])
                if (bent := d_z[layer]) is not None:
                    d = bent if d is None else d.add_(bent)
            if d is not None:
                d_weights[layer] = product(d.mT, trace.a[layer])
                d_biases[layer] = d.sum(dim=-2, keepdim=d.ndim == 3)
        d_skip = None if d_logits is None or trace.skip is None else product(d_logits.mT, trace.x)
        return None, d_skip, *trace.unscaled(d_weights, d_biases)


class _InputGradient(torch.autograd.Function):
    """Gradient of ``cotangent . logits`` in x, as a function of the cotangent, the weights and the z."""

    @staticmethod
    def forward(ctx: Any, trace: _Trace, cotangent: Tensor, skip: Tensor | None, *tensors: Tensor) -> Tensor:
        gradient, ctx.q, ctx.u = trace.gradient(cotangent)
        ctx.trace, ctx.cotangent = trace, cotangent.detach()
        return gradient

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_gradient: Tensor) -> tuple[Any, ...]:
        trace: _Trace = ctx.trace
        product, bend = trace.product, _BENDS[trace.activation]
        d_weights: list[Tensor | None] = []
        d_z: list[Tensor | None] = []
        d = d_gradient
        for a, s, weight, q, u in zip(trace.a[1:], trace.s, trace.weights, ctx.q, ctx.u):
            d_weights.append(product(u.mT, d))
            d = product(d, weight.mT)
            d_z.append(None if bend is None else bend(a, s).mul_(q).mul_(d))
            d = d.mul_(s)
        d_weights.append(product(ctx.cotangent.mT, d))
        d_cotangent = product(d, trace.weights[-1].mT) if ctx.needs_input_grad[1] else None
        d_skip = None
        if trace.skip is not None:
            d_skip = product(ctx.cotangent.mT, d_gradient)
            d_cotangent = None if d_cotangent is None else d_cotangent + product(d_gradient, trace.skip.mT)
        return None, d_cotangent, d_skip, *trace.unscaled(d_weights), *d_z
