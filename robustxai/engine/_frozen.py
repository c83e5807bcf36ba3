"""Frozen copies of trained networks, which are differentiated in their inputs only."""

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
    """Return a copy of `module` in evaluation mode, the same function of its input, whose weights have no gradient.

    Attacks need second derivatives in the input only, which are cheaper in the copy. For a convolution, torch computes
    them together with an unused gradient in the weights. For batch normalization, torch needs a dozen operations on
    whole images. Torch's max-pooling takes three times as long on a CPU as maxima of neighbors. An attack on ResNet9
    takes three fifths of the time.

    Parameters
    ----------
    module : nn.Module
        Any network; it is not changed.

    Returns
    -------
    nn.Module
    """
    fixed = copy.deepcopy(module).requires_grad_(False).eval()
    for layer in fixed.modules():
        # subclasses may compute something else; the class of a layer stays, because some explainers depend on it
        record = find_activation(type(layer))
        forward = _FORWARDS.get(type(layer)) if record is None else record.forward_in_input
        if forward is not None:
            layer.forward = partial(forward, layer)  # deepcopy copies a partial with its layer, but not a closure
    return fixed


@checked(module=Instance(nn.Module), x=Instance(Tensor))
def channels_last(module: nn.Module, x: Tensor) -> nn.Module:
    """Set `module`, in place, to the memory layout in which a CPU convolves fastest, if `module` supports it.

    Values do not depend on the layout, but a ``forward`` may: ``h.view(len(h), -1)`` raises in another layout, as do
    weights of five axes.

    Parameters
    ----------
    module : nn.Module
        Network on the device of `x`; unchanged outside of a CPU.
    x : Tensor of shape (n, *features)
        Inputs; the network is tried on the first one.

    Returns
    -------
    nn.Module
        `module`.
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
    """Convolution whose input gradient is a transposed convolution: linear, so that all derivatives are available."""

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
        rest = [n - r for n, r in zip(ctx.places, reached)]  # places at the end that the strides do not reach
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
    for axis in reversed(range(windows.n_axes)):  # the last axis first: torch takes the first of equal places
        z = pool_pairs(z, z.ndim - windows.n_axes + axis, widths[axis] or 1)
    return z


_FORWARDS: dict[type[nn.Module], Callable[[Any, Tensor], Tensor]] = {
    nn.Conv1d: _convolve, nn.Conv2d: _convolve, nn.Conv3d: _convolve,
    nn.BatchNorm1d: _normalize, nn.BatchNorm2d: _normalize, nn.BatchNorm3d: _normalize,
    nn.MaxPool1d: _pool, nn.MaxPool2d: _pool, nn.MaxPool3d: _pool,
}  # fmt: skip
