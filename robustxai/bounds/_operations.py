"""Handlers of torch operations on affine functions; each has the parameters of its operation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from robustxai.activations import ACTIVATIONS
from robustxai.bounds._symbol import Affine, Identity, Reading, Symbol, Value, flat, handles, operation_name

__all__: list[str] = []

#: torch's softplus is linear where beta z exceeds its threshold. From 20 on the error is rounding (2e-9 in the slope).
_LEAST_THRESHOLD = 20.0
_T = torch.Tensor


# -------------------------------------------------------------------- linear layers


@handles(F.linear)
def _linear(read: Reading, input: Any, weight: Any, bias: Any = None) -> Symbol:
    if isinstance(weight, Symbol) or isinstance(bias, Symbol):
        read.unreadable("a weight depends on the input")
    value = read.of(input)
    if len(value.shape) != 1:
        return read.linear(partial(F.linear, weight=weight, bias=bias), input)
    weights = {
        source: weight if isinstance(columns, Identity) else weight @ columns
        for source, columns in value.affine.weights.items()
    }
    return read.symbol(Value(Affine(weights, F.linear(value.affine.bias, weight, bias)), (len(weight),)))


@handles(torch.matmul, torch.mm, _T.matmul, _T.mm, _T.__matmul__)
def _matmul(read: Reading, input: Any, other: Any) -> Symbol:
    if isinstance(other, Symbol):
        read.unreadable("a weight depends on the input")
    return read.linear(lambda rows: torch.matmul(rows, other), input)


@handles(torch.addmm)
def _addmm(read: Reading, input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Symbol:
    if isinstance(input, Symbol) or isinstance(mat2, Symbol):
        read.unreadable("a weight depends on the input")
    return read.linear(lambda rows: torch.addmm(input, rows, mat2, beta=beta, alpha=alpha), mat1)


def _convolution(function: Any) -> Callable[..., Symbol]:
    def handler(
        read: Reading, input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
        groups: Any = 1,
    ) -> Symbol:  # fmt: skip
        if isinstance(weight, Symbol) or isinstance(bias, Symbol):
            read.unreadable("a weight depends on the input")
        return read.linear(lambda rows: function(rows, weight, bias, stride, padding, dilation, groups), input)

    return handler


_function: Any
for _function in (F.conv1d, F.conv2d, F.conv3d):
    handles(_function)(_convolution(_function))


def _pooling(function: Any) -> Callable[..., Symbol]:
    def handler(read: Reading, input: Any, *args: Any, **kwargs: Any) -> Symbol:
        return read.linear(lambda rows: function(rows, *args, **kwargs), input)

    return handler


for _function in (
    F.avg_pool1d, F.avg_pool2d, F.avg_pool3d, F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d,
    torch.adaptive_avg_pool1d,
):  # fmt: skip
    handles(_function)(_pooling(_function))


@handles(F.pad)
def _pad(read: Reading, input: Any, pad: Any, mode: str = "constant", value: Any = None) -> Symbol:
    return read.linear(lambda rows: F.pad(rows, pad, mode, value), input)


@handles(F.batch_norm)
def _batch_norm(
    read: Reading, input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None,
    training: Any = False, momentum: Any = 0.1, eps: Any = 1e-5,
) -> Symbol:  # fmt: skip
    if running_mean is None or (training and not read.live):
        raise NotImplementedError(
            "Batch normalization without running statistics depends on the other rows of the batch."
        )
    return read.linear(lambda rows: F.batch_norm(rows, running_mean, running_var, weight, bias, eps=eps), input)


def _reduction(function: Any) -> Callable[..., Symbol]:
    def handler(read: Reading, input: Any, dim: Any = None, keepdim: Any = False, *, axis: Any = None) -> Symbol:
        axes = dim if dim is not None else axis
        value = read.of(input)
        n_axes = len(value.shape) + 1
        chosen = [] if axes is None else [a % n_axes for a in (axes if isinstance(axes, (tuple, list)) else (axes,))]
        if not chosen or 0 in chosen or (len(chosen) == n_axes - 1 and not keepdim):
            read.unreadable("an operation sums over the rows of a batch, or leaves no axis but the rows")
        return read.linear(lambda rows: function(rows, dim=chosen, keepdim=keepdim), input)

    return handler


for _functions in ((torch.sum, _T.sum), (torch.mean, _T.mean)):
    handles(*_functions)(_reduction(_functions[0]))


# -------------------------------------------------------------------- arithmetic


@handles(torch.add, _T.add, _T.__add__, _T.__radd__)
def _add(read: Reading, input: Any, other: Any, *, alpha: Any = 1) -> Symbol:
    if isinstance(input, Symbol) and isinstance(other, Symbol):
        a, b = read.of(input), read.of(other)
        if a.shape != b.shape:
            raise NotImplementedError(f"Certificates do not support sums that broadcast, {a.shape} and {b.shape}.")
        weights = a.affine.written_out().weights
        for source, weight in b.affine.written_out().weights.items():
            weights[source] = weights[source] + alpha * weight if source in weights else alpha * weight
        return read.symbol(Value(Affine(weights, a.affine.bias + alpha * b.affine.bias), a.shape))
    if isinstance(input, Symbol):
        return _entrywise(read, input, 1, alpha * read.constant(other, read.of(input).shape))
    return _entrywise(read, other, alpha, read.constant(input, read.of(other).shape))


@handles(torch.sub, torch.subtract, _T.sub, _T.subtract, _T.__sub__)
def _subtract(read: Reading, input: Any, other: Any, *, alpha: Any = 1) -> Symbol:
    return _add(read, input, other, alpha=-alpha)


@handles(_T.__rsub__, torch.rsub)
def _subtracted(read: Reading, input: Any, other: Any, *, alpha: Any = 1) -> Symbol:
    return _add(read, other, input, alpha=-alpha)


@handles(torch.neg, torch.negative, _T.neg, _T.negative, _T.__neg__)
def _negate(read: Reading, input: Any) -> Symbol:
    return _entrywise(read, input, -1, 0)


@handles(torch.mul, torch.multiply, _T.mul, _T.multiply, _T.__mul__, _T.__rmul__)
def _multiply(read: Reading, input: Any, other: Any) -> Symbol:
    if isinstance(input, Symbol) and isinstance(other, Symbol):
        read.refuse(torch.mul)
    symbol, factor = (input, other) if isinstance(input, Symbol) else (other, input)
    return _entrywise(read, symbol, read.constant(factor, read.of(symbol).shape), 0)


@handles(torch.div, torch.divide, torch.true_divide, _T.div, _T.divide, _T.true_divide, _T.__truediv__)
def _divide(read: Reading, input: Any, other: Any) -> Symbol:
    if not isinstance(input, Symbol) or isinstance(other, Symbol):
        read.refuse(torch.div)
    return _entrywise(read, input, 1 / read.constant(other, read.of(input).shape), 0)


def _entrywise(read: Reading, symbol: Any, factor: Any, shift: Any) -> Symbol:
    """Compute ``factor * symbol + shift``; both are numbers, or tensors with one entry per entry of a row."""
    value = read.of(symbol)
    column = factor[:, None] if isinstance(factor, Tensor) else factor
    weights = {source: weight * column for source, weight in value.affine.written_out().weights.items()}
    return read.symbol(Value(Affine(weights, value.affine.bias * factor + shift), value.shape))


@handles(_T.add_, _T.__iadd__)
def _add_in_place(read: Reading, input: Any, other: Any, *, alpha: Any = 1) -> Symbol:
    return read.in_place(input, _add(read, input, other, alpha=alpha))


@handles(_T.sub_, _T.subtract_, _T.__isub__)
def _subtract_in_place(read: Reading, input: Any, other: Any, *, alpha: Any = 1) -> Symbol:
    return read.in_place(input, _subtract(read, input, other, alpha=alpha))


@handles(_T.mul_, _T.multiply_, _T.__imul__)
def _multiply_in_place(read: Reading, input: Any, other: Any) -> Symbol:
    return read.in_place(input, _multiply(read, input, other))


@handles(_T.div_, _T.divide_, _T.__itruediv__)
def _divide_in_place(read: Reading, input: Any, other: Any) -> Symbol:
    return read.in_place(input, _divide(read, input, other))


# -------------------------------------------------------------------- moves of entries


def _movement(function: Any, views: bool) -> Callable[..., Any]:
    def handler(read: Reading, input: Any, *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(a, Symbol) for a in flat((*args, *kwargs.values()))):
            read.refuse(function)
        read.of(input)
        try:
            return read.move(lambda numbers: function(numbers, *args, **kwargs), [input], views)
        except (RuntimeError, TypeError, IndexError) as error:
            if isinstance(error, NotImplementedError):
                raise
            read.unreadable(f"{operation_name(function)!r} fails with {error}")

    return handler


_VIEWS = (
    "flatten", "view", "reshape", "unflatten", "squeeze", "unsqueeze", "permute", "transpose", "movedim", "swapaxes",
    "narrow", "select", "chunk", "split", "unbind", "expand", "__getitem__", "view_as", "swapdims", "moveaxis",
)  # fmt: skip
_COPIES = ("flip", "roll", "index_select", "contiguous", "clone", "repeat", "repeat_interleave", "tile")
for _names, _shared in ((_VIEWS, True), (_COPIES, False)):
    for _one in _names:
        _functions = tuple(getattr(place, _one) for place in (_T, torch) if hasattr(place, _one))
        for _function in _functions:
            handles(_function)(_movement(_function, _shared))


@handles(torch.cat, torch.concat, torch.concatenate)
def _concatenate(read: Reading, tensors: Any, dim: Any = 0, *, axis: Any = None) -> Symbol:
    if not all(isinstance(part, Symbol) for part in tensors):
        raise NotImplementedError(f"Certificates do not support 'cat' with constants, in {read.name}.")
    return read.move(lambda *numbers: torch.cat(numbers, dim if axis is None else axis), tensors, views=False)


# -------------------------------------------------------------------- activations and dropout


def _activate(read: Reading, name: str, input: Any, beta: float = 1.0) -> Symbol:
    bounds = ACTIVATIONS[name].bounds
    assert bounds is not None
    return read.activate(bounds(beta), input)


@handles(torch.relu, _T.relu)
def _relu(read: Reading, input: Any) -> Symbol:
    return _activate(read, "relu", input)


@handles(F.relu)
def _relu_function(read: Reading, input: Any, inplace: Any = False) -> Symbol:
    return _relu_in_place(read, input) if inplace else _relu(read, input)


@handles(F.relu_, torch.relu_, _T.relu_)
def _relu_in_place(read: Reading, input: Any) -> Symbol:
    return read.in_place(input, _relu(read, input))


@handles(torch.sigmoid, _T.sigmoid, F.sigmoid, torch.special.expit)
def _sigmoid(read: Reading, input: Any) -> Symbol:
    return _activate(read, "sigmoid", input)


@handles(torch.sigmoid_, _T.sigmoid_)
def _sigmoid_in_place(read: Reading, input: Any) -> Symbol:
    return read.in_place(input, _sigmoid(read, input))


@handles(torch.tanh, _T.tanh, F.tanh)
def _tanh(read: Reading, input: Any) -> Symbol:
    return _activate(read, "tanh", input)


@handles(torch.tanh_, _T.tanh_)
def _tanh_in_place(read: Reading, input: Any) -> Symbol:
    return read.in_place(input, _tanh(read, input))


@handles(F.softplus)
def _softplus(read: Reading, input: Any, beta: Any = 1.0, threshold: Any = 20.0) -> Symbol:
    if isinstance(beta, Symbol) or isinstance(threshold, Symbol):
        read.unreadable("a parameter of softplus depends on the input")
    if not float(threshold) >= _LEAST_THRESHOLD:
        raise NotImplementedError(
            f"Certificates do not support softplus with threshold={float(threshold):g}: its slope jumps where it "
            f"becomes linear. Use the default of {_LEAST_THRESHOLD:g} or more."
        )
    if not float(beta) > 0:
        raise NotImplementedError(
            f"Certificates do not support softplus with beta={float(beta):g}; it must be positive."
        )
    return _activate(read, "softplus", input, float(beta))


def _dropout(read: Reading, input: Any, p: Any = 0.5, training: Any = True, inplace: Any = False) -> Symbol:
    if training and not read.live:
        read.unreadable("dropout is active in evaluation mode")
    read.of(input)
    return input


for _function in (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d):
    handles(_function)(_dropout)
