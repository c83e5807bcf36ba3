"""Logits and input gradients of MLPs with written-out derivatives, for one network or a stack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from robustxai._arguments import POSITIVE, Each, Either, Instance, checked, optional
from robustxai.activations import beta_of, find_activation
from robustxai.engine._dense_layers import plain_dense_layers
from robustxai.engine._differentiation import WrittenOut

__all__ = ["MLPCurve", "MLPPasses"]

_TENSOR = Instance(Tensor)


class MLPPasses(WrittenOut):
    r"""Forward pass and input gradient of one MLP, or of a stack of S MLPs with the same shape and activation.

    .. math::
        z_l = W_l a_{l-1} + b_l, \quad a_l = \sigma(z_l), \qquad
        q_L = W_{L+1}^\top c, \quad u_l = \sigma'(z_l) \odot q_l, \quad q_{l-1} = W_l^\top u_l, \quad
        \nabla_x (c \cdot z) = q_0 \;[\, + W_0^\top c \,]

    A training on input gradients differentiates both in the weights. With :math:`\dot q_0` the gradient of the loss in
    the input gradient,

    .. math::
        \dot u_l = W_l \dot q_{l-1}, \quad \dot W_l = u_l \dot q_{l-1}^\top, \quad
        \dot q_l = \sigma'(z_l) \odot \dot u_l, \quad \dot z_l = \sigma''(z_l) \odot q_l \odot \dot u_l
        = \tfrac{\sigma''(z_l)}{\sigma'(z_l)} \odot u_l \odot \dot u_l,

    and :math:`\dot z_l` is added in the ordinary backward pass. Autograd would compute a backward pass of a backward
    pass: three times as many operations, each of which takes a small network longer to start than to compute.
    Therefore the graph is cut here. Logits and gradients are leaves, autograd differentiates a loss down to them, and
    `finish_backward` continues from there to the parameters. Units of softplus take :math:`\beta z_l` and return
    :math:`\beta a_l = \ln(1 + e^{\beta z_l})` for any beta; the matrix products around them absorb its factors.

    A step reuses the tensors of the previous step as buffers, because memory allocation takes a quarter of the time of
    a stack's step. If the inputs require a gradient, logits and gradients have autograd's graph instead, for penalties
    that differentiate in the inputs.

    Parameters
    ----------
    activation : type
        Class of the activation's module: nn.ReLU, nn.Softplus, nn.Sigmoid, nn.Tanh, or a class whose record
        (:class:`robustxai.activations.Activation`) has the derivatives written out.
    weights : sequence of Tensor of shape (out, in) or (S, out, in)
        Weights of the layers, as in `nn.Linear`.
    biases : sequence of Tensor of shape (out,) or (S, 1, out)
        Biases of the layers.
    skip : Tensor of shape (out, in) or (S, out, in), optional
        :math:`W_0`.
    beta : float or Tensor of shape (S, 1, 1), default=1.0
        Sharpness of softplus.

    Examples
    --------
    >>> import torch
    >>> from robustxai.engine import MLPPasses
    >>> from robustxai.nets import MLP
    >>> net, x = MLP(3, 2), torch.ones(4, 3)
    >>> passes = MLPPasses.of(net)
    >>> loss = passes.vector_jacobian(x, torch.tensor([[-1.0, 1.0]] * 4)).square().sum()
    >>> loss.backward()
    >>> passes.finish_backward()
    >>> net.layers[0].weight.grad.shape
    torch.Size([64, 3])
    """

    @checked(
        activation=Instance(type),
        weights=Each(_TENSOR, least=1),
        biases=Each(_TENSOR, least=1),
        skip=optional(_TENSOR),
        beta=Either((POSITIVE, _TENSOR)),
    )
    def __init__(
        self,
        activation: type[nn.Module],
        weights: Sequence[Tensor],
        biases: Sequence[Tensor],
        skip: Tensor | None = None,
        beta: float | Tensor = 1.0,
    ) -> None:
        record = find_activation(activation)
        if record is None or not record.is_written_out:
            raise NotImplementedError(f"The derivatives of {activation.__name__} are not written out.")
        self.network = self
        self.activation = record
        self.parameters = [*weights, *biases]
        self.skip = skip
        smooth = record.has_beta and len(weights) > 1
        #: A single beta is a factor of the products; one beta for each model of a stack is a factor of the weights.
        self.beta = beta if smooth and not isinstance(beta, Tensor) else 1.0
        self.betas = beta if smooth and isinstance(beta, Tensor) and bool((beta != 1).any()) else None
        self._latest: _Trace | None = None
        #: Forward passes since the last `finish_backward`.
        self._open: list[_Trace] = []
        #: Output buffers by the number of the pass since the last `finish_backward` and by its batch shape.
        self._buffers: dict[Any, dict[Any, Tensor]] = {}

    @classmethod
    def of(cls, module: nn.Module) -> MLPPasses | None:
        """Return the passes of `module` on its own weights; None if they cannot be written out.

        The network must declare the method ``dense_layers`` in its own class, as :class:`robustxai.nets.MLP` does.
        """
        try:
            linear, units, skip = plain_dense_layers(module)
        except NotImplementedError:
            return None
        if not units or not cls.knows(type(units[0])):
            return None
        beta = beta_of(units[0]) or 1.0
        weights, biases = [layer.weight for layer in linear], [layer.bias for layer in linear]
        return cls(type(units[0]), weights, biases, None if skip is None else skip.weight, beta)

    @staticmethod
    def knows(activation: type[nn.Module]) -> bool:
        """Return True if the derivatives of `activation` are written out."""
        record = find_activation(activation)
        return record is not None and record.is_written_out

    def __call__(self, x: Tensor) -> Tensor:
        """Return logits of shape (*batch, n_classes) for x of shape (*batch, n_features), a leaf of the graph."""
        self._latest = trace = _Trace(self, x)
        if trace.buffers is None:
            return trace.forward(self.parameters, self.skip)
        # detached parameters build no graph; entering no_grad() would take as long as an operation
        values = [parameter.detach() for parameter in self.parameters]
        trace.logits = trace.forward(values, None if self.skip is None else self.skip.detach())
        self._open.append(trace)
        return trace.logits.requires_grad_()

    def vector_jacobian(self, x: Tensor, cotangent: Tensor) -> Tensor:
        """Return the gradient of ``cotangent . logits`` at the `x` of the latest pass, a leaf; shaped like x."""
        if self._latest is None or self._latest.x is not x:
            self(x)
        trace = self._latest
        assert trace is not None
        if trace.buffers is None:
            return trace.gradient(cotangent)[0]
        gradient, u = trace.gradient(cotangent.detach())
        trace.gradients.append((gradient.requires_grad_(), cotangent, u))
        return gradient

    def values(self, x: Tensor) -> Tensor:
        """Return the logits at `x` without a graph, shape (*batch, n_classes)."""
        return self._detached(x)[1]

    def curve(self, x: Tensor) -> MLPCurve:
        """Return logits, input gradients and products with the Hessian at `x`, all without a graph."""
        return MLPCurve(*self._detached(x))

    def _detached(self, x: Tensor) -> tuple[_Trace, Tensor]:
        with torch.no_grad():
            trace = _Trace(self, x)
            return trace, trace.forward(self.parameters, self.skip)

    def finish_backward(self) -> None:
        """Propagate the gradients of the leaves to the parameters' ``grad``, and drop the passes."""
        parameters = [*self.parameters, *([] if self.skip is None else [self.skip])]
        for trace in self._open:
            for parameter, change in zip(parameters, trace.backward()):
                if change is not None and parameter.requires_grad:
                    parameter.grad = change if parameter.grad is None else parameter.grad.add_(change)
        self._open.clear()
        self._latest = None


class MLPCurve:
    r"""Logits, input gradients and products with the Hessian of an MLP at some points, without a graph.

    A search in the inputs needs :math:`\nabla_x s` of a score :math:`s(z(x))` of the logits and :math:`\nabla_x^2 s\,
    v` for one v per point. With the recursion of :class:`MLPPasses` from :math:`\dot q_0 = v` on, the derivative of the
    logits along v is :math:`\dot z = W_{L+1} \dot q_L [+ W_0 v]`, and

    .. math:: \nabla_x^2 s\, v = \sum_l J_l^\top \dot z_l + J^\top C \dot z, \qquad C = \nabla_z^2 s(z)

    with the Jacobian :math:`J_l` of :math:`z_l` in x and J of the logits.

    Attributes
    ----------
    logits : Tensor of shape (*batch, n_classes)
    """

    def __init__(self, trace: _Trace, logits: Tensor) -> None:
        self._trace, self.logits = trace, logits
        self._u: list[Tensor] = []

    def gradient(self, cotangent: Tensor) -> Tensor:
        """Return the gradient of ``cotangent . logits``, shaped like x."""
        with torch.no_grad():
            gradient, self._u = self._trace.gradient(cotangent)
        return gradient

    def hessian_product(self, direction: Tensor, bend: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Return the product of the Hessian with `direction`, shaped like x.

        Parameters
        ----------
        direction : Tensor shaped like x
            v.
        bend : callable, optional
            From the derivative of the logits along v to its product with C; by default C is 0: the cotangent of the
            last `gradient` is a constant.
        """
        with torch.no_grad():
            return self._trace.hessian_product(self._u, direction, bend)


class _Trace:
    """Intermediate values of one forward pass at `x`."""

    def __init__(self, passes: MLPPasses, x: Tensor) -> None:
        self.activation, self.beta, self.betas = passes.activation, passes.beta, passes.betas
        self.n_layers = len(passes.parameters) // 2
        self.x = x
        #: Output buffers where logits and gradients are leaves; None where autograd keeps the graph.
        self.buffers: dict[Any, Tensor] | None = None
        if torch.is_grad_enabled() and not x.requires_grad:
            self.buffers = passes._buffers.setdefault((len(passes._open), x.shape[:-1]), {})
        self.logits: Tensor | None = None
        #: Every input gradient with its cotangent and its u.
        self.gradients: list[tuple[Tensor, Tensor, list[Tensor]]] = []
        stacked = x.ndim == 3
        self.product = torch.bmm if stacked else torch.mm
        self.affine = torch.baddbmm if stacked else torch.addmm

    def forward(self, parameters: Sequence[Tensor], skip: Tensor | None) -> Tensor:
        weights, biases = list(parameters[: self.n_layers]), list(parameters[self.n_layers :])
        if self.betas is not None:
            weights[0], weights[-1] = self.betas * weights[0], weights[-1] / self.betas
            biases[:-1] = [self.betas * bias for bias in biases[:-1]]
        self.weights, self.skip = weights, skip
        self.a: list[Tensor] = [self.x]
        self.s: list[Tensor] = []
        factor = self.beta  # for the input only: the values of hidden layers have the factor already
        for weight, bias in zip(weights[:-1], biases[:-1]):
            width, layer = weight.shape[-2], len(self.s)
            z = self.affine(
                bias, self.a[-1], weight.mT, beta=self.beta, alpha=factor, out=self._buffer("z", layer, width)
            )
            out = self._buffer("a", layer, width)
            a, s = self.activation.evaluate(z, out)
            self.a.append(a)
            self.s.append(s)
            factor = 1.0
        logits = self.affine(biases[-1], self.a[-1], weights[-1].mT, alpha=1 / self.beta)
        return logits if skip is None else logits + self.product(self.x, skip.mT)

    def gradient(self, cotangent: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the input gradient, and u of the hidden layers."""
        u: list[Tensor] = []
        q, number = cotangent, len(self.gradients)
        for layer in range(len(self.s) - 1, -1, -1):
            weight, s = self.weights[layer + 1], self.s[layer]
            out = self._buffer(number, layer, weight.shape[-1])
            q = s * self.product(q, weight) if out is None else self.product(q, weight, out=out).mul_(s)
            u.append(q)
        q = self.product(q, self.weights[0])
        if self.skip is not None:
            q = q + self.product(cotangent, self.skip)
        return q, u[::-1]

    def hessian_product(self, us: list[Tensor], direction: Tensor, bend: Callable[[Tensor], Tensor] | None) -> Tensor:
        """Return the derivative of an input gradient along `direction`, from the u of its hidden layers."""
        d, late = direction, []
        for layer, (a, s, u) in enumerate(zip(self.a[1:], self.s, us)):
            d = self.product(d, self.weights[layer].mT)
            late.append(None if self.activation.bend is None else self.activation.bend(u * d, a, s))
            d = d * s
        arrived, change = None, None
        if bend is not None:
            along = self.product(d, self.weights[-1].mT)
            arrived = bend(along if self.skip is None else along + self.product(direction, self.skip.mT))
            change = None if self.skip is None else self.product(arrived, self.skip)
        for layer in range(len(self.s) - 1, -1, -1):
            if arrived is not None:
                arrived = self.product(arrived, self.weights[layer + 1]) * self.s[layer]
            if (own := late[layer]) is not None:
                arrived = self.beta * own if arrived is None else arrived.add(own, alpha=self.beta)
        if arrived is not None:
            through = self.product(arrived, self.weights[0])
            change = through if change is None else change + through
        return torch.zeros_like(direction) if change is None else change

    def backward(self) -> list[Tensor | None]:
        """Return the gradients in weights, biases and skip, from the gradients of the leaves."""
        self.d_weights: list[Tensor | None] = [None] * self.n_layers
        self.d_biases: list[Tensor | None] = [None] * self.n_layers
        self.d_skip: Tensor | None = None
        #: Gradients in z of the hidden layers, through the input gradients.
        self.d_z: list[Tensor | None] = [None] * len(self.s)
        for gradient, cotangent, u in self.gradients:
            if gradient.grad is not None:
                self._through_gradient(gradient.grad, cotangent, u)
        assert self.logits is not None
        self._through_logits(self.logits.grad)
        if self.betas is not None:  # from the scaled weights and biases to the parameters themselves
            self.d_weights[0] = None if self.d_weights[0] is None else self.d_weights[0].mul_(self.betas)
            self.d_weights[-1] = None if self.d_weights[-1] is None else self.d_weights[-1].div_(self.betas)
            self.d_biases[:-1] = [None if bias is None else bias.mul_(self.betas) for bias in self.d_biases[:-1]]
        return [*self.d_weights, *self.d_biases, self.d_skip]

    def _through_gradient(self, arrived: Tensor, cotangent: Tensor, us: list[Tensor]) -> None:
        """Propagate from an input gradient to its cotangent, which may depend on the logits; overwrite `us`."""
        bend, c = self.activation.bend, cotangent.detach()
        d = arrived
        for layer, (a, s, u) in enumerate(zip(self.a[1:], self.s, us)):
            self.d_weights[layer] = self._outer(u, d, self.d_weights[layer])
            d = self.product(d, self.weights[layer].mT, out=self._buffer("d", layer, u.shape[-1]))
            if bend is not None:
                bent = bend(u.mul_(d), a, s)
                self.d_z[layer] = bent if (other := self.d_z[layer]) is None else other.add_(bent)
            d = d.mul_(s)
        self.d_weights[-1] = self._outer(c, d, self.d_weights[-1])
        if self.skip is not None:
            self.d_skip = self._outer(c, arrived, self.d_skip)
        if cotangent.requires_grad:
            d_cotangent = self.product(d, self.weights[-1].mT)
            if self.skip is not None:
                d_cotangent += self.product(arrived, self.skip.mT)
            cotangent.backward(d_cotangent)

    def _through_logits(self, arrived: Tensor | None) -> None:
        """Propagate from the logits to the first layer, and add the gradients through the input gradients."""
        if arrived is not None and self.skip is not None:
            self.d_skip = self._outer(arrived, self.x, self.d_skip)
        for layer in range(len(self.s), -1, -1):
            if layer < len(self.s):
                if arrived is not None:
                    weight = self.weights[layer + 1]
                    arrived = self.product(arrived, weight, out=self._buffer("d", layer, weight.shape[-1]))
                    arrived.mul_(self.s[layer])
                if (late := self.d_z[layer]) is not None:
                    arrived = self.beta * late if arrived is None else arrived.add_(late, alpha=self.beta)
            if arrived is not None:
                factor = 1 / self.beta if layer else 1.0
                self.d_weights[layer] = self._outer(arrived, self.a[layer], self.d_weights[layer], factor)
                self.d_biases[layer] = arrived.sum(dim=-2, keepdim=arrived.ndim == 3)

    def _buffer(self, name: Any, layer: int, width: int) -> Tensor | None:
        """Return the buffer for `name` of a hidden layer; None if autograd keeps the values for its graph."""
        if self.buffers is None:
            return None
        buffer = self.buffers.get((name, layer))
        if buffer is None:
            buffer = self.buffers[name, layer] = self.x.new_empty(*self.x.shape[:-1], width)
        return buffer

    def _outer(self, left: Tensor, right: Tensor, total: Tensor | None, factor: float = 1.0) -> Tensor:
        """Return `total` plus `factor` times the sum over rows of the outer products."""
        if total is None:
            outer = self.product(left.mT, right)
            return outer if factor == 1 else outer.mul_(factor)
        add = total.baddbmm_ if total.ndim == 3 else total.addmm_
        return add(left.mT, right, alpha=factor)
