"""Trace one pass through a module, operation by operation, as affine functions between activations.

The module is called with a :class:`Symbol`, a tensor without data. Every torch operation on it, in a layer, a hook or a
plain line of ``forward``, is dispatched to `__torch_function__` of the symbol alone: nothing of torch is patched, and
other threads are not affected. Handlers define the effect of operations; an operation without a handler is refused.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from robustxai._compat import FORWARD_METHODS, new_subclass, plain_functions
from robustxai.activations import ActivationBounds, find_activation

__all__ = ["Affine", "Identity", "Layer", "Reading", "Symbol", "Value", "dense", "flat", "handles", "operation_name"]

#: Entries of the largest weight matrix (1 GB in float64); convolutions become matrices here.
_MAX_ENTRIES = 2**27
#: Rows of a symbol. An operation must treat them alike, which is checked with different rows.
_N_ROWS = 3


@dataclass(frozen=True)
class Identity:
    """The identity matrix of size n, without its entries."""

    n: int
    like: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the matrix."""
        return self.n, self.n

    def dense(self) -> Tensor:
        """Return the matrix with its entries."""
        if self.n**2 > _MAX_ENTRIES:
            raise NotImplementedError(
                f"An operation on {self.n:,} entries is too large for a certificate, which stores it as a matrix. "
                "Use a linear layer, or sums of smaller operations."
            )
        return torch.eye(self.n, dtype=self.like.dtype, device=self.like.device)


def dense(matrix: Tensor | Identity) -> Tensor:
    """Return a matrix with its entries."""
    return matrix.dense() if isinstance(matrix, Identity) else matrix


@dataclass(frozen=True)
class Affine:
    """``bias + sum_j W_j a_j`` with a_0 = x and a_j the activations of layer j.

    Parameters
    ----------
    weights : dict of int to Tensor of shape (n_out, n_j)
        Matrices by source.
    bias : Tensor of shape (n_out,)
    """

    weights: dict[int, Any]
    bias: Tensor

    def select(self, index: Tensor) -> Affine:
        """Return the outputs with these indices."""
        if len(index) == len(self.bias) and torch.equal(index, torch.arange(len(index), device=index.device)):
            return self  # the same entries in the same order
        return Affine({source: dense(weight)[index] for source, weight in self.weights.items()}, self.bias[index])

    def written_out(self) -> Affine:
        """Return the same function with all entries of all matrices."""
        return Affine({source: dense(weight) for source, weight in self.weights.items()}, self.bias)


@dataclass(frozen=True)
class Layer:
    """Units ``a = f(z)`` for an affine z, entry by entry."""

    inputs: Affine
    activation: ActivationBounds


@dataclass(frozen=True)
class Value:
    """Content of a tensor as an affine function of x and of the activations so far; `shape` is that of one row."""

    affine: Affine
    shape: tuple[int, ...]


class Symbol(Tensor):
    """A tensor without data that carries its `Value`; made by `Reading.symbol`."""

    reading: Reading
    #: None once an in-place operation has changed another view of the same memory.
    value: Value | None
    #: Symbols that share memory with this one.
    views: list[Symbol]

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        symbols = [a for a in flat((*args, *(kwargs or {}).values())) if isinstance(a, Symbol)]
        with plain_functions():
            if func in _INSPECTIONS:
                return _INSPECTIONS[func](*args, **(kwargs or {}))
            return symbols[0].reading.apply(func, symbols, args, kwargs or {})


@functools.cache  # a certified penalty reads its network at each step of a training; the handlers are a few dozen
def _signature(handler: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of a handler."""
    return inspect.signature(handler)


class Reading:
    """The trace of one pass: its layers so far.

    Parameters
    ----------
    name : str
        Name of the module, for messages.
    like : Tensor
        Tensor with the type and device of all matrices.
    live : bool
        True keeps the graph of the weights in the matrices, and reads dropout and batch normalization as in evaluation
        mode although the module trains.
    """

    def __init__(self, name: str, like: Tensor, live: bool) -> None:
        self.name = name
        self.like = like
        self.live = live
        self.layers: list[Layer] = []

    def symbol(self, value: Value) -> Symbol:
        """Make a tensor of `_N_ROWS` rows with that value."""
        data = torch.empty(_N_ROWS, *value.shape, dtype=self.like.dtype, device="meta")
        symbol = new_subclass(Symbol, data)
        symbol.reading, symbol.value, symbol.views = self, value, [symbol]
        return symbol

    def input(self, shape: tuple[int, ...]) -> Symbol:
        """Make the input of the module."""
        n = int(torch.tensor(shape).prod())
        return self.symbol(Value(Affine({0: self.eye(n)}, self.zeros(n)), shape))

    def apply(self, func: Any, symbols: list[Symbol], args: Any, kwargs: Any) -> Any:
        """Compute the result of an operation on symbols."""
        handler = _HANDLERS.get(func)
        if handler is None:
            self.refuse(func)
        if not torch.is_grad_enabled():
            raise NotImplementedError(
                f"{self.name} computes {operation_name(func)!r} without gradients (no_grad, or a function with its "
                "own derivative): its explanation is not the derivative of its output."
            )
        for symbol in symbols:
            if symbol.value is None:
                raise NotImplementedError(
                    f"{self.name} reads a tensor after an in-place operation has changed a view of it."
                )
        try:
            bound = _signature(handler).bind(self, *args, **kwargs)
        except TypeError as error:
            raise NotImplementedError(
                f"Certificates do not support the operation {operation_name(func)!r} with these arguments ({error}), "
                f"in {self.name}."
            ) from error
        with self.computing():
            return handler(*bound.args, **bound.kwargs)

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Compute matrices: with a graph if the weights have one, and without the autocast of a caller's training."""
        with torch.set_grad_enabled(self.live), torch.autocast(self.like.device.type, enabled=False):
            yield

    def refuse(self, func: Any) -> NoReturn:
        """Raise NotImplementedError with the name of the operation, or of the torch layer or activation around it."""
        layer = _calling_layer()
        record = None if layer is None else find_activation(type(layer))
        if record is not None and record.module is None:
            raise NotImplementedError(
                f"Certificates do not support the activation {type(layer).__name__}; give its record `bounds` "
                "(robustxai.activations.Activation)."
            )
        if type(layer).__module__.startswith("torch.nn") and not isinstance(layer, nn.Sequential):  # a mere container
            raise NotImplementedError(
                f"Certificates do not support the layer {type(layer).__name__}; supported are linear layers, "
                "convolutions, average pooling, batch normalization, sums and the activations softplus, sigmoid, tanh "
                "and ReLU."
            )
        raise NotImplementedError(f"Certificates do not support the operation {operation_name(func)!r} in {self.name}.")

    def unreadable(self, reason: str) -> NoReturn:
        """Raise NotImplementedError: the module is not a fixed function of each row."""
        raise NotImplementedError(f"{self.name} cannot be read as a fixed chain of layers: {reason}.")

    # ---------------------------------------------------------------- building blocks of handlers

    def linear(self, function: Callable[[Tensor], Tensor], symbol: Symbol) -> Symbol:
        """Apply an affine function of rows; its matrix consists of the images of the columns."""
        value = self.of(symbol)
        origin = function(self.zeros(1, *value.shape))
        if len(origin) != 1 or origin.ndim < 2:
            self.unreadable("an operation mixes the rows of a batch")
        n_out = origin.numel()
        weights = {}
        for source, weight in value.affine.weights.items():
            if n_out * weight.shape[1] > _MAX_ENTRIES:
                raise NotImplementedError(
                    f"A layer of {n_out:,} units fed by {weight.shape[1]:,} is too large for a certificate, which "
                    "stores it as a matrix."
                )
            images = function(dense(weight).T.reshape(-1, *value.shape)) - origin
            weights[source] = images.reshape(len(images), n_out).T.contiguous()
        bias = function(value.affine.bias.reshape(1, *value.shape)).reshape(n_out)
        return self.symbol(Value(Affine(weights, bias), tuple(origin.shape[1:])))

    def move(self, function: Callable[..., Any], symbols: Sequence[Symbol], views: bool) -> Any:
        """Apply an operation that only moves entries, found by applying it to their indices."""
        values = [self.of(symbol) for symbol in symbols]
        sizes = [len(value.affine.bias) for value in values]
        starts = torch.tensor([0, *sizes]).cumsum(0)
        whole = int(starts[-1])
        numbers = [
            torch.stack([row * whole + start + torch.arange(size) for row in range(_N_ROWS)]).reshape(-1, *value.shape)
            for value, size, start in zip(values, sizes, starts)
        ]
        affine = values[0].affine if len(values) == 1 else _stacked([value.affine for value in values])

        def taken(moved: Tensor) -> Symbol:
            rows = moved.reshape(len(moved), -1) if moved.ndim else moved.reshape(0, 0)
            rows = rows - whole * torch.arange(len(rows))[:, None]
            if len(rows) != _N_ROWS or rows.numel() == 0 or not (rows == rows[0]).all():
                self.unreadable("an operation mixes or selects the rows of a batch")
            result = self.symbol(Value(affine.select(rows[0].to(self.like.device)), tuple(moved.shape[1:])))
            if views:
                result.views = symbols[0].views
                result.views.append(result)
            return result

        moved = function(*numbers)
        if isinstance(moved, Tensor):
            return taken(moved)
        return type(moved)(taken(part) for part in moved)

    def activate(self, activation: ActivationBounds, symbol: Symbol) -> Symbol:
        """Append a layer of units."""
        value = self.of(symbol)
        self.layers.append(Layer(value.affine.written_out(), activation))
        n = len(value.affine.bias)
        return self.symbol(Value(Affine({len(self.layers): self.eye(n)}, self.zeros(n)), value.shape))

    def in_place(self, symbol: Symbol, result: Symbol) -> Symbol:
        """Write `result` into the memory of `symbol`; its other views become unknown."""
        for view in symbol.views:
            view.value = None
        symbol.views = [symbol]
        symbol.value = result.value
        return symbol

    def of(self, tensor: Any) -> Value:
        """Return the value of a symbol."""
        if not isinstance(tensor, Symbol) or tensor.value is None:
            self.unreadable("an operation has the input in place of a weight, or a constant in place of the input")
        return tensor.value

    def constant(self, operand: Any, shape: tuple[int, ...]) -> Tensor:
        """Expand a number, or a tensor without a batch axis, to the entries of a row."""
        constant = torch.as_tensor(operand, dtype=self.like.dtype, device=self.like.device)
        try:
            return constant.expand(1, *shape).reshape(-1)
        except RuntimeError as error:
            raise NotImplementedError(
                f"Certificates do not support a constant of shape {tuple(constant.shape)} with rows of shape {shape}, "
                f"in {self.name}."
            ) from error

    def eye(self, n: int) -> Identity:
        """Return the identity matrix."""
        return Identity(n, self.like)

    def zeros(self, *shape: int) -> Tensor:
        """Return zeros."""
        return self.like.new_zeros(shape)


def flat(arguments: Any) -> list[Any]:
    """Return the entries of nested tuples and lists."""
    found: list[Any] = []
    for argument in arguments:
        if isinstance(argument, (tuple, list)):
            found += flat(argument)
        else:
            found.append(argument)
    return found


def _stacked(parts: list[Affine]) -> Affine:
    """Concatenate the outputs of several affine functions."""
    bias = torch.cat([part.bias for part in parts])
    sources = {source: weight.shape[1] for part in parts for source, weight in part.weights.items()}
    weights = {}
    for source, n_in in sources.items():
        blocks = [dense(p.weights.get(source, p.bias.new_zeros(len(p.bias), n_in))) for p in parts]
        weights[source] = torch.cat(blocks)
    return Affine(weights, bias)


def operation_name(func: Any) -> str:
    """Return the usual name of a torch operation."""
    name = getattr(func, "__name__", str(func))
    return getattr(getattr(func, "__self__", None), "__name__", name) if name == "__get__" else name.strip("_")


def _calling_layer() -> nn.Module | None:
    """Return the innermost module whose ``forward`` is running."""
    frame = sys._getframe(1)
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, nn.Module) and frame.f_code.co_name in FORWARD_METHODS:
            return owner
        frame = frame.f_back  # type: ignore[assignment]
    return None


def _device(symbol: Symbol) -> torch.device:
    return symbol.reading.like.device


_T = torch.Tensor
#: Queries of shape and type, which torch answers.
_INSPECTIONS: dict[Any, Callable[..., Any]] = {
    **{
        getattr(_T, name).__get__: getattr(_T, name).__get__
        for name in ("shape", "ndim", "dtype", "requires_grad", "layout", "is_sparse", "is_leaf")
    },
    **{
        function: function
        for function in (
            _T.size, _T.dim, _T.ndimension, _T.numel, _T.nelement, _T.__len__, _T.is_floating_point, _T.is_complex,
            _T.is_contiguous, torch.is_floating_point, torch.is_complex, torch.numel,
        )
    },
    _T.device.__get__: _device,
    _T.is_cuda.__get__: lambda symbol: _device(symbol).type == "cuda",  # type: ignore[attr-defined]
    _T.is_mps.__get__: lambda symbol: _device(symbol).type == "mps",  # type: ignore[attr-defined]
}  # fmt: skip

#: Operation -> handler, which takes the reading and then the arguments of the operation.
_HANDLERS: dict[Any, Callable[..., Any]] = {}


def handles(*functions: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the handler of torch operations."""

    def register(handler: Callable[..., Any]) -> Callable[..., Any]:
        _HANDLERS.update(dict.fromkeys(functions, handler))
        return handler

    return register
