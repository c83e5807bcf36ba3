"""Networks that have learnt all they will, to be differentiated in their inputs alone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from robustxai._arguments import Instance, checked
from robustxai.activations import find_activation
from robustxai.engine._windows import Windows, pool_pairs

__all__ = ["channels_last", "frozen"]


@checked(module=Instance(nn.Module))
def frozen(module: nn.Module) -> nn.Module:
    """A copy of `module` in evaluation mode, the same function of its input, whose weights have no gradient.

    Its second derivative in the input is cheaper, and an attack takes nothing else: torch computes that of a
    convolution together with a gradient in the weights that nobody asks for, and that of batch normalization in a dozen
    operations on whole images; its max-pooling takes a CPU three times as long as a maximum of neighbors. An attack on
    ResNet9 takes three fifths of the time.

    Parameters
    ----------
    module : nn.Module
        Any network; it is not changed.
    """
    fixed = copy.deepcopy(module).requires_grad_(False).eval()
    for layer in fixed.modules():
        # a subclass may compute something else. The class stays: there are explainers that go by it
        record = find_activation(type(layer))
        forward = _FORWARDS.get(type(layer)) if record is None else record.forward_in_input
        if forward is not None:
            layer.forward = partial(forward, layer)  # a partial is copied along with its layer, a closure is not
    return fixed


@checked(module=Instance(nn.Module), x=Instance(Tensor))
def channels_last(module: nn.Module, x: Tensor) -> nn.Module:
    """`module` with the memory layout in which a CPU convolves fastest, if it takes that; in place.

    Values do not depend on the layout, but a ``forward`` may: ``h.view(len(h), -1)`` refuses another one, and so do
    weights of five axes.

    Parameters
    ----------
    module : nn.Module
        On a CPU or not.
    x : Tensor of shape (n, *features)
        Inputs; the first one is tried.
    """
    if x.device.type == "cpu" and any(isinstance(layer, nn.Conv2d) for layer in module.modules()):
        try:
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            with torch.no_grad():
                module(x[:1])
        except RuntimeError:
            module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return module


def _convolve(layer: Any, x: Tensor) -> Tensor:
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return type(layer).forward(layer, x)
    options = layer.stride, layer.padding, layer.dilation, layer.groups
    if x.ndim == layer.weight.ndim:
        return _FixedConvolution.apply(x, layer.weight, layer.bias, *options)
    return _FixedConvolution.apply(x[None], layer.weight, layer.bias, *options)[0]


class _FixedConvolution(torch.autograd.Function):
    """The input gradient of a convolution is a transposed convolution, and that is linear: no derivative is lost."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, *options: Any) -> Tensor:
        stride, padding, dilation, groups = options
        ctx.weight, ctx.options, ctx.places = weight, options, x.shape[2:]
        return torch.convolution(x, weight, bias, stride, padding, dilation, False, [0] * len(stride), groups)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (stride, padding, dilation, groups) = gradients, ctx.options
        kernel, places = ctx.weight.shape[2:], gradient.shape[2:]
        reached = [
            (n - 1) * s - 2 * p + d * (k - 1) + 1 for n, s, p, d, k in zip(places, stride, padding, dilation, kernel)
        ]
        rest = [n - r for n, r in zip(ctx.places, reached)]  # places at the end that a stride has passed over
        there = torch.convolution(gradient, ctx.weight, None, stride, padding, dilation, True, rest, groups)
        return (there, *(None,) * 6)


def _normalize(layer: Any, x: Tensor) -> Tensor:
    if layer.running_mean is None:
        return type(layer).forward(layer, x)
    scale = (layer.running_var + layer.eps).rsqrt()
    if layer.affine:
        scale = scale * layer.weight
    shift = -layer.running_mean * scale
    if layer.affine:
        shift = shift + layer.bias
    shape = (-1, *(1,) * (x.ndim - 2))
    return torch.addcmul(shift.view(shape), x, scale.view(shape))


def _pool(layer: Any, z: Tensor) -> Tensor:
    windows = Windows(layer)
    sizes = z.shape[-windows.n_axes :]
    widths = [windows.side_by_side(size, axis) for axis, size in enumerate(sizes)]
    if layer.return_indices or z.device.type != "cpu" or None in widths:
        return type(layer).forward(layer, z)
    for axis in reversed(range(windows.n_axes)):  # the last one first: of equal places torch takes the first
        z = pool_pairs(z, z.ndim - windows.n_axes + axis, widths[axis] or 1)
    return z


_FORWARDS: dict[type[nn.Module], Callable[[Any, Tensor], Tensor]] = {
    nn.Conv1d: _convolve, nn.Conv2d: _convolve, nn.Conv3d: _convolve,
    nn.BatchNorm1d: _normalize, nn.BatchNorm2d: _normalize, nn.BatchNorm3d: _normalize,
    nn.MaxPool1d: _pool, nn.MaxPool2d: _pool, nn.MaxPool3d: _pool,
}  # fmt: skip
