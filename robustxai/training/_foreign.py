"""Find objects that may draw from torch's global random generators."""

from __future__ import annotations

from types import BuiltinFunctionType, FunctionType, MethodType

import torch
from torch import nn

from robustxai._compat import Dropout, has_hooks

__all__ = ["is_ours", "may_draw"]

#: Packages whose layers and functions draw no random numbers, except for the layers that `_is_random` lists.
_KNOWN = ("robustxai.", "torch.nn.modules.", "torch.nn.parallel.", "torch._dynamo.", "torch.optim.", "skorch.")


def may_draw(thing: object) -> bool:
    """Return True if a module, penalty, explainer, adversary or optimizer may draw from torch's global generators.

    The draws of the library's and of torch's layers are known. Every other object is assumed to draw.
    """
    if isinstance(thing, nn.Module):
        return any(not is_ours(layer) or _is_random(layer) or has_hooks(layer) for layer in thing.modules())
    if isinstance(thing, torch.optim.Optimizer):
        return not is_ours(thing)
    if not callable(thing):
        return False
    return not is_ours(thing) or any(may_draw(part) for part in getattr(thing, "__dict__", {}).values())


def is_ours(thing: object) -> bool:
    """Return True if `thing` belongs to the library, torch or skorch."""
    function = isinstance(thing, FunctionType | BuiltinFunctionType | MethodType | type)
    return f"{(thing if function else type(thing)).__module__}.".startswith(_KNOWN)


def _is_random(layer: nn.Module) -> bool:
    """Return True if a layer of torch draws in training mode, or at its first batch."""
    if isinstance(layer, Dropout):
        return layer.p > 0
    if isinstance(layer, nn.RNNBase | nn.MultiheadAttention):
        return layer.dropout > 0
    if isinstance(layer, nn.modules.lazy.LazyModuleMixin):
        return True
    return isinstance(layer, nn.RReLU | nn.FractionalMaxPool2d | nn.FractionalMaxPool3d)
