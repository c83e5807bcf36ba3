"""A graph of ONNX operations under construction."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["OPSET", "Graph"]

#: Version of the operations, which runtimes of 2023 know.
OPSET = 18


class Graph:
    """Nodes and constants; a value is the name of what a node returns.

    Numbers are float64 inside, so that the rounding of a proof is far below its slack.
    """

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}
        self._names: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def kth_largest(self, a: str, k: int) -> str:
        """Return the k-th largest entry of every row, (n, 1)."""
        import onnx.helper

        names = [f"top_{len(self.nodes)}", f"places_{len(self.nodes)}"]
        self.nodes.append(onnx.helper.make_node("TopK", [a, self.constant([k], np.int64)], names, axis=-1))
        return self.smallest(names[0])

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Append a node of one output, and return its name."""
        import onnx.helper

        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, value: Any, dtype: Any = np.float64) -> str:
        """Return the name of a constant; equal ones are stored once."""
        array = np.ascontiguousarray(np.asarray(value, dtype=dtype)).reshape(np.shape(value))
        key = (array.dtype.str, array.shape, array.tobytes())
        name = self._names.setdefault(key, f"constant_{len(self._names)}")
        self.constants[name] = array
        return name

    def add(self, a: str, b: str) -> str:
        """``a + b``."""
        return self.op("Add", a, b)

    def sub(self, a: str, b: str) -> str:
        """``a - b``."""
        return self.op("Sub", a, b)

    def mul(self, a: str, b: str) -> str:
        """``a * b``."""
        return self.op("Mul", a, b)

    def scaled(self, a: str, factor: float) -> str:
        """``factor * a``."""
        return a if factor == 1 else self.mul(a, self.constant(factor))

    def apply(self, a: str, matrix: np.ndarray) -> str:
        """``a @ matrix.T``, for the weight of a linear layer."""
        return self.op("MatMul", a, self.constant(matrix.T))

    def largest(self, a: str, axis: int = -1) -> str:
        """Return maxima along an axis, which stays."""
        return self.op("ReduceMax", a, self.constant([axis], np.int64))

    def smallest(self, a: str, axis: int = -1) -> str:
        """Return minima along an axis, which stays."""
        return self.op("ReduceMin", a, self.constant([axis], np.int64))

    def mean(self, a: str, axis: int) -> str:
        """Return means along an axis, which goes."""
        return self.op("ReduceMean", a, self.constant([axis], np.int64), keepdims=0)

    def number(self, condition: str) -> str:
        """Return 1 where a condition holds, 0 elsewhere."""
        return self.op("Cast", condition, to=11)  # DOUBLE

    def interval_product(self, a: tuple[str, str], b: tuple[str, str]) -> tuple[str, str]:
        """Return the range of the product of two intervals, entry by entry."""
        products = [self.mul(one, other) for one in a for other in b]
        return self.op("Min", *products), self.op("Max", *products)

    def interval_apply(self, a: tuple[str, str], matrix: np.ndarray) -> tuple[str, str]:
        """Return the range of ``a @ matrix.T`` for an interval of every entry."""
        center, radius = self.middle(a)
        center, radius = self.apply(center, matrix), self.apply(radius, np.abs(matrix))
        return self.sub(center, radius), self.add(center, radius)

    def middle(self, a: tuple[str, str]) -> tuple[str, str]:
        """Return centers and half widths of intervals."""
        return self.scaled(self.add(*a), 0.5), self.scaled(self.sub(a[1], a[0]), 0.5)
