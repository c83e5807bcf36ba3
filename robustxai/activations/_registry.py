"""Find the record of an activation, and make its module."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from torch import nn

from robustxai._arguments import POSITIVE, Choice, Instance, checked
from robustxai.activations._record import Activation
from robustxai.activations._relu import RELU
from robustxai.activations._softplus import SOFTPLUS
from robustxai.activations._tanh import SIGMOID, TANH
from robustxai.protocols import ActivationName

__all__ = ["ACTIVATION", "ACTIVATIONS", "beta_of", "find_activation", "make_activation"]

_NAMED = (RELU, SOFTPLUS, SIGMOID, TANH, Activation("gelu", nn.GELU), Activation("silu", nn.SiLU))
#: Smooth activations of torch that networks take as a class, not by a name.
_UNNAMED = (
    Activation(module=nn.ELU),
    Activation(module=nn.SELU),
    Activation(module=nn.CELU),
    Activation(module=nn.Mish),
    Activation(module=nn.LogSigmoid),
)

#: Name -> record.
ACTIVATIONS: dict[str, Activation] = {record.name: record for record in _NAMED if record.name is not None}
_OF_TORCH: dict[type, Activation] = {
    record.module: record for record in (*_NAMED, *_UNNAMED) if record.module is not None
}


@dataclass(frozen=True, eq=False)
class _NameOrModule(Choice):
    """The name of an activation, or a class of modules."""

    def fault(self, value: Any) -> type[Exception] | None:
        """As `Constraint.fault`."""
        if isinstance(value, type):
            return None if issubclass(value, nn.Module) else TypeError
        return super().fault(value)

    def says(self) -> str:
        """As `Constraint.says`."""
        return f"{super().says()}, or a class of nn.Module"

    def good(self) -> Iterator[Any]:
        """As `Constraint.good`."""
        yield from (*super().good(), nn.Mish)


#: The constraint of the argument `activation` of networks.
ACTIVATION = _NameOrModule(ACTIVATIONS)


@checked(kind=Instance(type))
def find_activation(kind: type) -> Activation | None:
    """Return the record of a class of modules; None if it has none, even if a base class has one."""
    record = vars(kind).get("record")
    return record if isinstance(record, Activation) else _OF_TORCH.get(kind)


@checked(module=Instance(nn.Module))
def beta_of(module: nn.Module) -> float | None:
    """Return the sharpness of an activation; None if it has none."""
    record = find_activation(type(module))
    return cast(float, module.beta) if record is not None and record.has_beta else None


@checked(activation=ACTIVATION, beta=POSITIVE)
def make_activation(activation: ActivationName | type[nn.Module], beta: float = 1.0) -> nn.Module:
    """Make the module of an activation.

    Parameters
    ----------
    activation : {"relu", "softplus", "sigmoid", "tanh", "gelu", "silu"} or subclass of nn.Module
        Its name or its class. See :class:`Activation` for activations of one's own.
    beta : float, default=1.0
        Sharpness of softplus, ``softplus(z) = log(1 + exp(beta z)) / beta``; others ignore it.
    """
    kind = ACTIVATIONS[activation].module if isinstance(activation, str) else activation
    assert kind is not None
    record = find_activation(kind)
    return kind(beta=beta) if record is not None and record.has_beta else kind()
