"""Activations by name, and the smooth stand-in for networks that have no second derivative."""

from __future__ import annotations

import copy
from collections.abc import Callable

from torch import nn

from robustxai._validation import check_choice, check_number

__all__ = ["ACTIVATIONS", "has_piecewise_linear", "make_activation", "set_beta", "softplus_surrogate"]

#: Activation names; the value makes a module from the sharpness ``beta`` (used by softplus alone).
ACTIVATIONS: dict[str, Callable[[float], nn.Module]] = {
    "relu": lambda beta: nn.ReLU(),
    "softplus": lambda beta: nn.Softplus(beta=beta),
    "sigmoid": lambda beta: nn.Sigmoid(),
    "tanh": lambda beta: nn.Tanh(),
    "gelu": lambda beta: nn.GELU(),
    "silu": lambda beta: nn.SiLU(),
}

#: Modules whose second derivative is zero almost everywhere and which softplus approaches as beta grows.
_RELU_LIKE = (nn.ReLU, nn.ReLU6)


def make_activation(name: str, beta: float = 1.0) -> nn.Module:
    """The activation called `name`; ``softplus(z) = log(1 + exp(beta z)) / beta``."""
    check_choice("activation", name, ACTIVATIONS)
    check_number("beta", beta, minimum=0.0, inclusive=False)
    return ACTIVATIONS[name](beta)


def has_piecewise_linear(module: nn.Module) -> bool:
    """Whether a ReLU sits in `module`, so that its Hessian is zero almost everywhere."""
    return any(isinstance(m, _RELU_LIKE) for m in module.modules())


def softplus_surrogate(module: nn.Module, beta: float = 10.0) -> nn.Module:
    """A copy of `module` with every ReLU replaced by softplus(beta).

    A gradient attack on a ReLU network has nothing to follow: the gradient is constant on each linear piece. The
    surrogate has the same weights and approaches the network as beta grows (Dombrowski et al., 2019).
    """
    surrogate = copy.deepcopy(module)
    if isinstance(surrogate, _RELU_LIKE):
        return nn.Softplus(beta=beta)
    for parent in list(surrogate.modules()):
        for name, child in parent.named_children():
            if isinstance(child, _RELU_LIKE):
                setattr(parent, name, nn.Softplus(beta=beta))
    return surrogate


def set_beta(module: nn.Module, beta: float) -> None:
    """Set the sharpness of every softplus in `module`, in place."""
    for child in module.modules():
        if isinstance(child, nn.Softplus):
            child.beta = beta
