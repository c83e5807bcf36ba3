"""Values of parameters and attributes as JSON and tensors."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustxai.saving._registry import Names, name_of

__all__ = ["Reader", "Writer"]

#: Key of JSON objects that stand for a value JSON does not have.
_KIND = "$"
#: Kinds of NumPy arrays whose numbers a tensor holds as they are.
_NUMBERS = "biuf"


class Writer:
    """Turns values into JSON, and collects their arrays as tensors."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        #: Classes and functions that were written, by name.
        self.things: dict[str, Any] = {}

    def name(self, thing: Any) -> str:
        """Return the name of a class or a function; TypeError for one that `load` could not be given."""
        if "<" in thing.__qualname__:
            raise TypeError(f"{thing.__qualname__} is made inside of a function, so that `load` could not be given it")
        name = name_of(thing)
        self.things[name] = thing
        return name

    def add(self, tensor: Tensor, name: str = "") -> str:
        """Store a tensor under a free name that begins with `name`, and return the name."""
        found = f"{name or 'value'}.{len(self.tensors)}"
        self.tensors[found] = tensor
        return found

    def value(self, value: Any) -> Any:
        """Return a value as JSON.

        Raises
        ------
        TypeError
            A value of a type that has no form in a file.
        """
        if value is None or (isinstance(value, (bool, str)) and type(value) in (bool, str)):
            return value
        if type(value) is int or (type(value) is float and math.isfinite(value)):
            return value
        if type(value) is float:
            return {_KIND: "float", "value": repr(value)}
        if type(value) in (list, tuple):
            return {_KIND: type(value).__name__, "items": [self.value(item) for item in value]}
        if isinstance(value, Mapping) and type(value).__name__ in ("dict", "mappingproxy"):
            pairs = [[self.value(key), self.value(item)] for key, item in value.items()]
            return {_KIND: "dict", "items": pairs}
        if isinstance(value, np.ndarray):
            return self._array(value)
        if isinstance(value, np.str_):
            return {_KIND: "scalar", "array": self._array(np.asarray(value))}
        if isinstance(value, np.generic) and value.dtype.kind in _NUMBERS:
            return {_KIND: "scalar", "array": self._array(np.asarray(value))}
        if isinstance(value, torch.device):
            return {_KIND: "device", "value": str(value)}
        if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
            return {_KIND: "name", "value": self.name(value)}
        if dataclasses.is_dataclass(value):
            fields = [field.name for field in dataclasses.fields(value) if field.init]
            return {
                _KIND: "object",
                "class": self.name(type(value)),
                "fields": {name: self.value(getattr(value, name)) for name in fields},
            }
        raise TypeError(f"{type(value).__name__} has no form in a file")

    def _array(self, array: np.ndarray) -> Any:
        if type(array) is not np.ndarray:
            raise TypeError(f"{type(array).__name__} has no form in a file")
        if array.dtype.kind in _NUMBERS and array.dtype.itemsize <= 8:
            native = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
            return {_KIND: "array", "tensor": self.add(torch.tensor(native.reshape(array.shape)))}
        if array.dtype.kind in "UO":
            items = [self.value(item) for item in array.reshape(-1).tolist()]
            return {_KIND: "objects", "dtype": array.dtype.kind, "shape": list(array.shape), "items": items}
        raise TypeError(f"an array of {array.dtype} has no form in a file")


class Reader:
    """Turns JSON back into values. Anything unexpected is a ValueError, TypeError, KeyError or IndexError."""

    def __init__(self, tensors: dict[str, Tensor], names: Names) -> None:
        self.tensors = tensors
        self.names = names

    def value(self, node: Any) -> Any:
        """Return the value of what `Writer.value` returned."""
        if node is None or isinstance(node, (bool, int, float, str)):
            return node
        kind = node[_KIND]
        if kind in ("list", "tuple"):
            items = [self.value(item) for item in _list(node["items"])]
            return items if kind == "list" else tuple(items)
        if kind == "dict":
            return {self.value(key): self.value(item) for key, item in _list(node["items"])}
        if kind == "float":
            return float(node["value"])
        if kind == "array":
            return self.tensors[node["tensor"]].numpy().copy()
        if kind == "objects":
            return self._objects(node)
        if kind == "scalar":
            array = self.value(node["array"])
            if array.shape:
                raise ValueError("a number has axes")
            return array[()]
        if kind == "device":
            return torch.device(node["value"])
        if kind == "name":
            return self.names.find(node["value"])
        if kind == "object":
            cls = self.names.find(node["class"])
            if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
                raise ValueError(f"{node['class']} is no class of plain fields")
            return cls(**{str(name): self.value(part) for name, part in node["fields"].items()})
        raise ValueError(f"there is no kind {str(kind)[:40]!r}")

    def _objects(self, node: Any) -> np.ndarray:
        items, shape = [self.value(item) for item in _list(node["items"])], tuple(map(int, node["shape"]))
        if any(size < 0 for size in shape) or math.prod(shape) != len(items):
            raise ValueError("an array has another number of entries than its shape")
        if node["dtype"] == "U":
            if not all(isinstance(item, str) for item in items):
                raise ValueError("an array of texts holds something else")
            return np.array(items, dtype=str).reshape(shape) if items else np.empty(shape, dtype="U1")
        if node["dtype"] != "O":
            raise ValueError("an array is of no known type")
        array = np.empty(len(items), dtype=object)
        array[:] = items
        return array.reshape(shape)


def _list(items: Any) -> list[Any]:
    if not isinstance(items, list):
        raise ValueError("a list is expected")
    return items
