"""Activations by name."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from robustxai._arguments import POSITIVE, Choice, checked

__all__ = ["ACTIVATIONS", "make_activation"]

#: Activation names; the value makes a module from the sharpness ``beta`` (used by softplus alone).
ACTIVATIONS: dict[str, Callable[[float], nn.Module]] = {
    "relu": lambda beta: nn.ReLU(),
    "softplus": lambda beta: nn.Softplus(beta=beta),
    "sigmoid": lambda beta: nn.Sigmoid(),
    "tanh": lambda beta: nn.Tanh(),
    "gelu": lambda beta: nn.GELU(),
    "silu": lambda beta: nn.SiLU(),
}

#: What may be given for `activation`.
ACTIVATION = Choice(ACTIVATIONS)


@checked(name=ACTIVATION, beta=POSITIVE)
def make_activation(name: str, beta: float = 1.0) -> nn.Module:
    """The activation called `name`; ``softplus(z) = log(1 + exp(beta z)) / beta``."""
    return ACTIVATIONS[name](beta)
