"""A torch module as a proof reads it: layers of units, each fed linearly by the input and by earlier layers."""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from robustxai.enclosures._activations import Activation, ReLU, Softplus, Tanh, read_activation
from robustxai.ranking import count_units

__all__ = ["Affine", "Layer", "Network", "read_network"]

#: Entries of the largest weight matrix (1 GB in float64); convolutions become matrices here.
_MAX_ENTRIES = 2**27

_LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Unflatten)
_BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d)
_IDENTITY = (nn.Identity, nn.Dropout, nn.Dropout2d)
_RESHAPES = ("flatten", "view", "reshape")


@dataclass(frozen=True)
class Affine:
    """``bias + sum_j W_j a_j`` with a_0 = x and a_j the activations of layer j.

    Parameters
    ----------
    weights : dict of int to Tensor of shape (n_out, n_j)
        By source.
    bias : Tensor of shape (n_out,)
    """

    weights: dict[int, Tensor]
    bias: Tensor


@dataclass(frozen=True)
class Layer:
    """``a = f(z)`` for an affine z, entry by entry."""

    inputs: Affine
    activation: Activation


@dataclass(frozen=True)
class Network:
    """Layers in order (the j-th, counted from 1, is source j), then the logits."""

    n_features: int
    layers: list[Layer]
    logits: Affine


#: Graphs of modules that are read again and again while they train.
_graphs: WeakKeyDictionary[nn.Module, fx.Graph] = WeakKeyDictionary()


def read_network(module: nn.Module, feature_shape: Sequence[int], *, live: bool = False) -> Network:
    """Read `module`, whose inputs have shape (n, *feature_shape), as it computes in evaluation mode.

    Supported are linear layers, convolutions, average pooling, flattening, batch normalisation with its running
    statistics, dropout (which evaluation turns off), sums of branches, and the activations softplus, sigmoid, tanh and
    ReLU, as modules or as functions.

    Parameters
    ----------
    module : nn.Module
        Left as it is.
    feature_shape : sequence of int
        Shape of one input.
    live : bool, default=False
        False copies the weights, in float64 and on the CPU, for a proof. True keeps their type, their device and their
        graph, for a training that goes through the enclosure.

    Raises
    ------
    NotImplementedError
        Anything else, by its name: what cannot be read cannot be proven. Pairs of several channels: the bounds take the
        channels of a unit for whole blocks of the input, which in a pair they are not.
    """
    if len(feature_shape) > 3 and math.prod(feature_shape) > count_units(feature_shape):
        raise NotImplementedError("Certificates know pairs of one channel only; the channels of these are summed.")
    if live:
        if module not in _graphs:
            _graphs[module] = _trace(module)
        return _Reader(module, tuple(feature_shape)).read(_graphs[module])
    module = copy.deepcopy(module).double().cpu().eval().requires_grad_(False)
    with torch.no_grad():
        return _Reader(module, tuple(feature_shape)).read(_trace(module))


def _trace(module: nn.Module) -> fx.Graph:
    try:
        return fx.Tracer().trace(nn.Sequential(module))
    except Exception as error:  # tracing fails in as many ways as there are ways to write a forward
        reason = str(error).split(". ")[0].rstrip(".")  # torch goes on with links to its documentation
        raise NotImplementedError(
            f"{type(module).__name__} cannot be read as a fixed chain of layers ({reason}). Certificates know linear "
            "layers, convolutions, average pooling, sums and the activations softplus, sigmoid, tanh and ReLU."
        ) from error


@dataclass(frozen=True)
class _Value:
    """What a node of the graph computes, as an affine function of x and of the activations so far."""

    affine: Affine
    shape: tuple[int, ...]


#: What x.size(0) is in a forward that flattens by it: any number of rows.
_BATCH_SIZE = _Value(Affine({}, torch.empty(0)), ())


class _Reader:
    def __init__(self, module: nn.Module, feature_shape: tuple[int, ...]) -> None:
        self.module = nn.Sequential(module)  # as it was traced: a lone layer has no graph of its own
        self.name = type(module).__name__
        self.like = next(module.parameters(), torch.empty(0, dtype=torch.float64))  # in type and device
        self.feature_shape = feature_shape
        self.layers: list[Layer] = []

    def read(self, graph: fx.Graph) -> Network:
        values: dict[fx.Node, _Value] = {}
        n_features = int(torch.tensor(self.feature_shape).prod())
        for node in graph.nodes:
            if node.op == "placeholder":
                if values:
                    raise NotImplementedError(f"{self.name} takes more than one input.")
                values[node] = _Value(Affine({0: self._eye(n_features)}, self._zeros(n_features)), self.feature_shape)
            elif node.op == "output":
                (result,) = node.args
                if not isinstance(result, fx.Node):
                    raise NotImplementedError(f"{self.name} does not return a single tensor.")
                return Network(n_features, self.layers, values[result].affine)
            else:
                values[node] = self._apply(node, values)
        raise NotImplementedError(f"{self.name} returns nothing.")

    def _apply(self, node: fx.Node, values: dict[fx.Node, _Value]) -> _Value:
        if _is_batch_size(node):
            return _BATCH_SIZE
        arguments = [values[a] if isinstance(a, fx.Node) else a for a in node.args]
        inputs = [a for a in arguments if isinstance(a, _Value) and a is not _BATCH_SIZE]
        rest = [-1 if a is _BATCH_SIZE else a for a in arguments if a is _BATCH_SIZE or not isinstance(a, _Value)]
        if node.op == "call_module":
            return self._call_module(self.module.get_submodule(str(node.target)), inputs)
        if node.op == "call_function" and node.target in (operator.add, operator.iadd, torch.add) and len(inputs) == 2:
            return _add(*inputs)
        if (node.op == "call_function" and node.target is torch.flatten) or (
            node.op == "call_method" and node.target in _RESHAPES
        ):
            name = "flatten" if node.op == "call_function" else str(node.target)
            return self._linear(lambda t: _reshape(t, name, rest, node.kwargs), inputs[0])
        activation = _functional(node, rest)
        if activation is not None:
            return self._activate(activation, inputs[0])
        name = getattr(node.target, "__name__", str(node.target))
        raise NotImplementedError(f"No certificate knows the operation {name!r} in {self.name}.")

    def _call_module(self, layer: nn.Module, inputs: list[_Value]) -> _Value:
        (value,) = inputs
        if isinstance(layer, _IDENTITY):
            return value
        if isinstance(layer, nn.Linear) and len(value.shape) == 1:
            weights = {source: layer.weight @ weight for source, weight in value.affine.weights.items()}
            return _Value(Affine(weights, layer(value.affine.bias)), (layer.out_features,))
        if isinstance(layer, _LINEAR):
            return self._linear(layer, value)
        if isinstance(layer, _BATCH_NORM):
            if not layer.track_running_stats:
                raise NotImplementedError(
                    f"{type(layer).__name__} without running statistics depends on the other rows of the batch."
                )
            return self._linear(partial(_normalise, layer), value)
        activation = read_activation(layer)
        if activation is None:
            raise NotImplementedError(
                f"No certificate knows the layer {type(layer).__name__}; known are linear layers, convolutions, "
                "average pooling, batch normalisation, sums and the activations softplus, sigmoid, tanh and ReLU."
            )
        return self._activate(activation, value)

    def _linear(self, function: Callable[[Tensor], Tensor], value: _Value) -> _Value:
        """An affine function of an affine function; its matrix is read off the images of the columns."""
        origin = function(self._zeros(1, *value.shape))
        n_out = origin.numel()
        weights = {}
        for source, weight in value.affine.weights.items():
            if n_out * weight.shape[1] > _MAX_ENTRIES:
                raise NotImplementedError(
                    f"A layer of {n_out:,} units fed by {weight.shape[1]:,} is too large for a certificate, which "
                    "holds it as a matrix."
                )
            images = function(weight.T.reshape(-1, *value.shape)) - origin
            weights[source] = images.reshape(len(images), n_out).T.contiguous()
        bias = function(value.affine.bias.reshape(1, *value.shape)).reshape(n_out)
        return _Value(Affine(weights, bias), tuple(origin.shape[1:]))

    def _activate(self, activation: Activation, value: _Value) -> _Value:
        self.layers.append(Layer(value.affine, activation))
        n = len(value.affine.bias)
        return _Value(Affine({len(self.layers): self._eye(n)}, self._zeros(n)), value.shape)

    def _eye(self, n: int) -> Tensor:
        return torch.eye(n, dtype=self.like.dtype, device=self.like.device)

    def _zeros(self, *shape: int) -> Tensor:
        return self.like.new_zeros(shape)


def _normalise(layer: nn.BatchNorm1d | nn.BatchNorm2d, t: Tensor) -> Tensor:
    """Batch normalisation as evaluation does it, whatever the mode."""
    return F.batch_norm(t, layer.running_mean, layer.running_var, layer.weight, layer.bias, eps=layer.eps)


def _is_batch_size(node: fx.Node) -> bool:
    if node.op == "call_method" and node.target == "size":
        return tuple(node.args[1:]) == (0,)
    shape, *index = node.args or (None,)
    if node.target is getattr:
        return node.args[1:] == ("shape",)  # of which only the first entry is read, below
    is_item = node.op == "call_function" and node.target is operator.getitem and index == [0]
    return is_item and isinstance(shape, fx.Node) and shape.target is getattr


def _add(a: _Value, b: _Value) -> _Value:
    if a.shape != b.shape:
        raise NotImplementedError(f"No certificate knows sums that broadcast, {a.shape} and {b.shape}.")
    weights = dict(a.affine.weights)
    for source, weight in b.affine.weights.items():
        weights[source] = weights[source] + weight if source in weights else weight
    return _Value(Affine(weights, a.affine.bias + b.affine.bias), a.shape)


def _reshape(t: Tensor, name: str, arguments: list[Any], keywords: dict[str, Any]) -> Tensor:
    if name == "flatten":
        return torch.flatten(t, *arguments, **keywords)
    sizes = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], (tuple, list)) else arguments
    if any(not isinstance(size, int) for size in sizes) or sizes[0] != -1:
        raise NotImplementedError(f"{name} is read as (-1, ...) with fixed sizes only, not as {tuple(sizes)}.")
    return t.reshape(len(t), *sizes[1:])


def _functional(node: fx.Node, rest: list[Any]) -> Activation | None:
    """The activation that a call to a function or method is, if it is one."""
    name = str(node.target) if node.op == "call_method" else node.target
    if name in ("relu", torch.relu, F.relu):
        return ReLU()
    if name in ("sigmoid", torch.sigmoid, F.sigmoid):
        return Tanh(0.5, 2.0, 0.5)
    if name in ("tanh", torch.tanh, F.tanh):
        return Tanh()
    if name is F.softplus:
        beta: Any = node.kwargs.get("beta", rest[0] if rest else 1.0)
        return Softplus(float(beta))
    return None
