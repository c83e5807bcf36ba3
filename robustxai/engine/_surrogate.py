"""Smooth surrogates of networks that have no second derivative."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from torch import nn

from robustxai._arguments import POSITIVE, Instance, checked
from robustxai.activations import Activation, find_activation
from robustxai.engine._smooth import SmoothClamp, SmoothLeaky, SmoothMaxPool, SmoothReLU, SmoothUnit

__all__ = ["fix_beta", "has_piecewise_linear", "is_piecewise_linear", "set_beta", "softplus_surrogate"]

_MODULE = Instance(nn.Module)

#: Piecewise linear modules, whose second derivative is zero almost everywhere, and their smooth surrogates.
_SURROGATES: dict[type[nn.Module], Callable[[Any, float], nn.Module]] = {
    nn.ReLU: lambda relu, beta: SmoothReLU(beta=beta),
    nn.ReLU6: lambda clamp, beta: SmoothClamp(0.0, 6.0, beta),
    nn.Hardtanh: lambda clamp, beta: SmoothClamp(clamp.min_val, clamp.max_val, beta),
    nn.LeakyReLU: lambda leaky, beta: SmoothLeaky(leaky.negative_slope, beta),
    nn.RReLU: lambda leaky, beta: SmoothLeaky((leaky.lower + leaky.upper) / 2, beta),  # as in evaluation mode
    nn.PReLU: lambda leaky, beta: SmoothLeaky(leaky.weight, beta),
    **dict.fromkeys(
        (
            nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d,
            nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d,
        ),
        SmoothMaxPool,
    ),
}  # fmt: skip


def _record_of(module: nn.Module) -> Activation | None:
    """Return the record of the module's class or of the nearest base class that has one."""
    return next((record for kind in type(module).__mro__ if (record := find_activation(kind)) is not None), None)


def _is_piecewise_linear_layer(module: nn.Module) -> bool:
    record = _record_of(module)
    return isinstance(module, tuple(_SURROGATES)) or (record is not None and record.piecewise_linear)


@checked(module=_MODULE)
def has_piecewise_linear(module: nn.Module) -> bool:
    """Return True if `module` contains a piecewise linear layer.

    Such a layer has a second derivative of zero almost everywhere, and jumps in the first derivative. Known are the
    modules of ReLU, ReLU6, leaky ReLUs, Hardtanh and max-pooling, and modules whose record
    (:class:`robustxai.activations.Activation`) declares it. Functions that a ``forward`` calls (``F.relu``,
    ``torch.maximum``) are not found.
    """
    return any(_is_piecewise_linear_layer(m) for m in module.modules())


@checked(module=_MODULE)
def is_piecewise_linear(module: nn.Module) -> bool:
    """Return True if all nonlinear layers of `module` are piecewise linear: at least one, and no smooth activation."""
    records = [_record_of(m) for m in module.modules()]
    smooth = any(record is not None and not record.piecewise_linear for record in records)
    return has_piecewise_linear(module) and not smooth


@checked(module=_MODULE, beta=POSITIVE)
def softplus_surrogate(module: nn.Module, beta: float = 10.0) -> nn.Module:
    """Return a copy of `module` whose ReLUs are softplus(beta), and whose other piecewise linear layers are smooth.

    The explanation of a ReLU network is constant on each linear piece, so that a gradient attack has no direction to
    follow. The surrogate has the same weights and approaches the network as beta grows (Dombrowski et al., 2019).

    Parameters
    ----------
    module : nn.Module
        Any network; the layers that :func:`has_piecewise_linear` finds are replaced, except for a max-pooling that
        returns its indices.
    beta : float, default=10.0
        Sharpness; :func:`set_beta` changes it later.

    Returns
    -------
    nn.Module
    """
    surrogate = copy.deepcopy(module)
    if (smooth := _surrogate_of(surrogate, beta)) is not None:
        return smooth
    for parent in list(surrogate.modules()):
        # not named_children(), which skips the second name of a module that has two
        for name, child in list(parent._modules.items()):
            if child is not None and (smooth := _surrogate_of(child, beta)) is not None:
                setattr(parent, name, smooth.train(child.training))
    return surrogate


def _surrogate_of(module: nn.Module, beta: float) -> nn.Module | None:
    """Return the surrogate of the layer `module` itself; None if it is not replaced."""
    make = next((make for kind, make in _SURROGATES.items() if isinstance(module, kind)), None)
    record = find_activation(type(module))
    if make is None and record is not None and record.surrogate is not None:
        return SmoothUnit(record.surrogate, beta)
    if make is None or getattr(module, "return_indices", False):
        return None
    return make(module, beta)


@checked(module=_MODULE, beta=POSITIVE)
def set_beta(module: nn.Module, beta: float) -> None:
    """Set the sharpness of all surrogate layers in `module`, in place; softplus units of its own keep their beta."""
    for child in module.modules():
        if isinstance(child, SmoothReLU | SmoothMaxPool | SmoothUnit):
            child.beta = beta


@checked(module=_MODULE)
def fix_beta(module: nn.Module) -> nn.Module:
    """Replace surrogate softplus layers in `module` by softplus units of its own, which `set_beta` skips; in place."""
    for parent in list(module.modules()):
        for name, child in list(parent._modules.items()):
            if type(child) is SmoothReLU:
                setattr(parent, name, nn.Softplus(beta=child.beta).train(child.training))
    return module
