"""Activations in ONNX: value, slope, and the range of the slope over an interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from robustxai.exporting._graph import Graph

__all__ = ["UNITS", "Unit"]


@dataclass(frozen=True, eq=False)
class Unit:
    """An activation.

    Attributes
    ----------
    name : str
        Class of its module.
    value_and_slope : callable
        Graph and input to the values and the first derivatives.
    slope_range : callable or None
        Graph, ends of an interval and slopes there to the least and the largest slope between them; None where none is
        known. The values between are those between the values at the ends, because an activation with a range rises.
    """

    name: str
    value_and_slope: Callable[[Graph, str], tuple[str, str]]
    slope_range: Callable[[Graph, tuple[str, str], tuple[str, str]], tuple[str, str]] | None = None


def _relu(graph: Graph, z: str) -> tuple[str, str]:
    return graph.op("Relu", z), graph.number(graph.op("Greater", z, graph.constant(0.0)))


def _softplus(beta: float) -> Callable[[Graph, str], tuple[str, str]]:
    def value_and_slope(graph: Graph, z: str) -> tuple[str, str]:
        z = graph.scaled(z, beta)
        # max(z, 0) + log(1 + exp(-|z|)) does not overflow
        tail = graph.op("Exp", graph.op("Neg", graph.op("Abs", z)))
        tail = graph.op("Log", graph.add(tail, graph.constant(1.0)))
        return graph.scaled(graph.add(graph.op("Relu", z), tail), 1 / beta), graph.op("Sigmoid", z)

    return value_and_slope


def _sigmoid(graph: Graph, z: str) -> tuple[str, str]:
    s = graph.op("Sigmoid", z)
    return s, graph.mul(s, graph.sub(graph.constant(1.0), s))


def _tanh(graph: Graph, z: str) -> tuple[str, str]:
    t = graph.op("Tanh", z)
    return t, graph.sub(graph.constant(1.0), graph.mul(t, t))


def _silu(graph: Graph, z: str) -> tuple[str, str]:
    s, slope = _sigmoid(graph, z)
    return graph.mul(z, s), graph.add(s, graph.mul(z, slope))


def _rising(graph: Graph, ends: tuple[str, str], slopes: tuple[str, str]) -> tuple[str, str]:
    """Return the range of a slope that does not fall."""
    return slopes


def _bell(peak: float) -> Callable[[Graph, tuple[str, str], tuple[str, str]], tuple[str, str]]:
    """Return the range of a slope that rises up to 0, where it is `peak`, and falls from there."""

    def slope_range(graph: Graph, ends: tuple[str, str], slopes: tuple[str, str]) -> tuple[str, str]:
        zero = graph.constant(0.0)
        inside = graph.op("And", graph.op("LessOrEqual", ends[0], zero), graph.op("GreaterOrEqual", ends[1], zero))
        top = graph.op("Where", inside, graph.constant(peak), graph.op("Max", *slopes))
        return graph.op("Min", *slopes), top

    return slope_range


#: Class of a module -> its unit.
UNITS: dict[type[nn.Module], Callable[[Any], Unit]] = {
    nn.ReLU: lambda module: Unit("ReLU", _relu, _rising),
    nn.Softplus: lambda module: Unit("Softplus", _softplus(float(module.beta)), _rising),
    nn.Sigmoid: lambda module: Unit("Sigmoid", _sigmoid, _bell(0.25)),
    nn.Tanh: lambda module: Unit("Tanh", _tanh, _bell(1.0)),
    nn.SiLU: lambda module: Unit("SiLU", _silu),
}
