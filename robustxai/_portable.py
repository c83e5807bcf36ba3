"""Pickles that can be read on a machine without the device of their tensors."""

from __future__ import annotations

import io
import pickle
from typing import Any

import torch
from cloudpickle import CloudPickler
from torch import Tensor, nn

__all__ = ["available", "pack", "unpack"]


def available(device: torch.device | str) -> bool:
    """Return whether this machine has the device."""
    device = torch.device(device)
    if device.type == "cpu":
        return True
    here = torch.accelerator.current_accelerator(check_available=True) if hasattr(torch, "accelerator") else None
    if here is None or here.type != device.type:
        return device.type == "cuda" and torch.cuda.is_available()
    return (device.index or 0) < torch.accelerator.device_count()


def pack(state: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of an object's state in which values with tensors on other devices than the CPU are packed.

    They go as bytes, with tensors on the CPU that remember where they lay. All other values are the same objects.
    torch itself writes the device into a pickle, and cannot read it where there is no such device.
    """
    return {name: _packed(value) for name, value in state.items()}


def unpack(state: dict[str, Any]) -> dict[str, Any]:
    """Return the packed state; tensors whose device does not exist here stay on the CPU."""
    return {name: pickle.loads(value.data) if isinstance(value, _Packed) else value for name, value in state.items()}


class _Packed:
    def __init__(self, data: bytes) -> None:
        self.data = data


class _Pickler(CloudPickler):
    """Pickler that moves tensors to the CPU."""

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self.taken: list[Tensor] = []

    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, Tensor) and _elsewhere(thing) and not any(thing is tensor for tensor in self.taken):
            self.taken.append(thing.detach().cpu())
            return _placed, (self.taken[-1], str(thing.device), thing.requires_grad, isinstance(thing, nn.Parameter))
        return super().reducer_override(thing)


def _elsewhere(tensor: Tensor) -> bool:
    return tensor.device.type not in ("cpu", "meta")


def _packed(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    file = io.BytesIO()
    pickler = _Pickler(file)
    try:
        pickler.dump(value)
    except Exception:  # what cannot be pickled is the caller's to say: it may be copied, or sent in another way
        return value
    return _Packed(file.getvalue()) if pickler.taken else value


def _placed(tensor: Tensor, place: str, requires_grad: bool, is_parameter: bool) -> Tensor:
    if available(place):
        tensor = tensor.to(place)
    return nn.Parameter(tensor, requires_grad) if is_parameter else tensor.requires_grad_(requires_grad)
