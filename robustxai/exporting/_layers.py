"""The layers of a network that is a chain of linear layers and activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from robustxai.conversion import TwoLogits
from robustxai.engine import declared
from robustxai.exporting._units import UNITS, Unit
from robustxai.nets import AdditiveNet

__all__ = ["Chain", "Linear", "chain_of"]


@dataclass(frozen=True, eq=False)
class Linear:
    """``x @ weight.T + bias`` in float64."""

    weight: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True, eq=False)
class Chain:
    """Layers from the input to the logits, and a linear path around them or None."""

    layers: list[Linear | Unit]
    skip: np.ndarray | None = None


def chain_of(module: nn.Module) -> Chain:
    """Return the layers of a network.

    Raises
    ------
    NotImplementedError
        A network that is no such chain, by the name of its layer.
    """
    if isinstance(module, TwoLogits):
        inside = chain_of(module.module)
        if inside.skip is not None:
            raise NotImplementedError("A path around the layers of a module with one output cannot be exported.")
        return Chain([*inside.layers, Linear(np.array([[-0.5], [0.5]]), np.zeros(2))])
    if type(module) is AdditiveNet:
        hidden = Linear(_array(module.hidden.weight * module.mask), _array(module.hidden.bias))
        return Chain([hidden, _unit(module.activation), _linear(module.out)], _array(module.skip.weight))
    if (layers := declared(module, "dense_layers")) is not None:
        dense = layers(module)
        parts: list[Linear | Unit] = []
        for linear, unit in zip(dense.linear, dense.units):
            parts += [_linear(linear), _unit(unit)]
        skip = None if dense.skip is None else _array(dense.skip.weight)
        return Chain([*parts, _linear(dense.linear[-1])], skip)
    return Chain(_sequence(module))


def _sequence(module: nn.Module) -> list[Linear | Unit]:
    if type(module) is nn.Sequential:
        return [part for child in module for part in _sequence(child)]
    if type(module) is nn.Linear:
        return [_linear(module)]
    if type(module) in (nn.Identity, nn.Dropout):
        return []
    return [_unit(module)]


def _linear(layer: nn.Linear) -> Linear:
    weight = _array(layer.weight)
    return Linear(weight, np.zeros(len(weight)) if layer.bias is None else _array(layer.bias))


def _unit(module: nn.Module) -> Unit:
    make = UNITS.get(type(module))
    if make is None:
        raise NotImplementedError(
            f"export_onnx writes linear layers and the activations {', '.join(kind.__name__ for kind in UNITS)}; "
            f"{type(module).__name__} is neither. torch.onnx.export writes the probabilities of any network."
        )
    return make(module)


def _array(tensor: Any) -> np.ndarray:
    return np.asarray(tensor.detach().cpu().double().numpy())
