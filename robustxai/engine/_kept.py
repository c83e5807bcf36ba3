"""What is made of a module once, and kept until the module changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from robustxai._arguments import Function, Instance, Text, checked
from robustxai._compat import has_gradient_hooks, has_hooks

__all__ = ["kept"]

Value = TypeVar("Value")

#: Largest number of weights and buffer entries of a module of which something is kept; larger ones take longer to
#: evaluate than to copy.
_MOST = 1_000_000
#: Modules whose function their weights, buffers and plain attributes determine.
_KNOWN = ("torch.nn.", "robustxai.")
_PLAIN = (int, float, str, bool, type(None), type, torch.dtype)


@dataclass
class _Entry:
    signature: Hashable
    tensors: list[Tensor]
    values: dict[str, Any] = field(default_factory=dict)


_entries: WeakKeyDictionary[nn.Module, _Entry] = WeakKeyDictionary()
_lock = threading.Lock()


@checked(module=Instance(nn.Module), name=Text(), make=Function())
def kept(module: nn.Module, name: str, make: Callable[[], Value]) -> Value:
    """Return ``make()``, and the same object again until the module changes.

    A change is noticed by the content of weights and buffers, so that ``.data`` may be written to as well. Modules with
    layers of other libraries, hooks, attributes that are no plain values, or many weights are made anew in every call.

    Parameters
    ----------
    module : nn.Module
        Module that determines the object. It is not kept alive.
    name : str
        Name of the object among those that are made of the module.
    make : callable
        Function without arguments. Callers must not change what it returns.
    """
    tensors = [*module.parameters(), *module.buffers()]
    signature = _signature(module) if sum(t.numel() for t in tensors) <= _MOST else None
    if signature is None:
        return make()
    with _lock:
        entry = _entries.get(module)
    if entry is None or entry.signature != signature or not _equal(entry.tensors, tensors):
        entry = _Entry(signature, [t.detach().clone() for t in tensors])
        with _lock:
            _entries[module] = entry
    if name not in entry.values:
        entry.values[name] = make()
    found: Value = entry.values[name]
    return found


def _signature(module: nn.Module) -> Hashable:
    """Return the layers with their plain attributes; None if a layer may depend on anything else."""
    found: list[Hashable] = []
    for part in module.modules():
        if not type(part).__module__.startswith(_KNOWN) or has_hooks(part) or has_gradient_hooks(part):
            return None
        plain: list[tuple[str, Any]] = []
        for name, value in vars(part).items():
            if name.startswith("_") and isinstance(value, (dict, set)):  # weights, layers and hooks of torch
                continue
            values = value if isinstance(value, tuple) else (value,)
            if not all(isinstance(one, _PLAIN) for one in values):
                return None
            plain.append((name, value))
        found.append((id(part), type(part), *plain))
    return tuple(found)


def _equal(before: list[Tensor], now: list[Tensor]) -> bool:
    return len(before) == len(now) and all(
        a.dtype == b.dtype and a.device == b.device and torch.equal(a, b) for a, b in zip(before, now)
    )
