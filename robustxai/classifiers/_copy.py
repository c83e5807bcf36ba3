"""Copies of modules that can be trained."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

__all__ = ["copy_with_modules"]


def copy_with_modules(value: Any, memo: dict[int, Any] | None = None) -> Any:
    """Return a deep copy of a module, or of another object, whose weights can be trained as those of the original.

    ``copy.deepcopy`` alone makes the weights of a scripted module depend on those of the original.
    """
    with torch.no_grad():
        copied = copy.deepcopy(value, memo)
    if isinstance(value, nn.Module):
        for new, old in zip(copied.parameters(), value.parameters()):
            new.requires_grad_(old.requires_grad)
    return copied
