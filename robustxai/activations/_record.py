"""The record of an activation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from robustxai._arguments import FLAG, Constraint, Either, Function, Instance, Text, check_arguments, optional
from robustxai.activations._bounds import ActivationBounds

__all__ = ["Activation"]


@dataclass(frozen=True)
class Activation:
    r"""Functions, derivatives and bounds of an activation :math:`\sigma`; every field may be left out.

    The record of a user's activation is the class attribute ``record`` of its module. Networks take the class as
    ``activation``. Without the fields that a fast implementation needs, the general one is used; without `bounds`,
    certificates refuse the activation by name. The functions of a record depend on their arguments alone, never on
    attributes of a module; `beta` is the one exception, see `has_beta`. A subclass does not inherit the record,
    because it may compute something else.

    Parameters
    ----------
    name : str, optional
        The name under which networks know it; None for a record that is an attribute of its module's class.
    module : type, optional
        The class of the module that computes it; None for a record that is an attribute of that class.
    has_beta : bool, default=False
        :math:`\sigma_\beta(z) = \sigma(\beta z) / \beta` with a sharpness that the module's constructor takes and its
        attribute holds, both called ``beta``. `value_and_slope`, `value_and_slope_in_place` and `bend` are those of
        :math:`\beta = 1`.
    piecewise_linear : bool, default=False
        The second derivative is zero almost everywhere and the first one jumps. Gradient attacks go through the
        `surrogate`, and the written-out passes need no `bend`.
    value_and_slope : callable, optional
        ``(z) -> (sigma(z), sigma'(z))``, with autograd's graph. With it, and with `bend` for smooth activations, an
        MLP is trained by the written-out passes and in stacks; without it by autograd.
    value_and_slope_in_place : callable, optional
        ``(z, out) -> (sigma(z), sigma'(z))`` without a graph. Both tensors may be written to, and z is not needed
        afterwards. By default `value_and_slope`.
    bend : callable, optional
        ``(t, a, s) -> t sigma''(z) / sigma'(z)`` from :math:`a = \sigma(z)` and :math:`s = \sigma'(z)`, without a
        quotient. It may write to t.
    forward_in_input : callable, optional
        ``(module, z) -> sigma(z)`` whose first two derivatives in z are cheaper than autograd's; attacks use it.
    surrogate : callable, optional
        ``(z, beta) -> values`` of a smooth function that approaches a piecewise linear :math:`\sigma` as beta grows.
    bounds : callable, optional
        ``(beta) -> ActivationBounds`` for certificates.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from robustxai.activations import Activation, TanhBounds
    >>> from robustxai.nets import MLP
    >>> class ScaledTanh(nn.Module):
    ...     record = Activation(
    ...         value_and_slope=lambda z: (2 * torch.tanh(z), 2 - 2 * torch.tanh(z).square()),
    ...         bend=lambda t, a, s: -t * a,
    ...         bounds=lambda beta: TanhBounds(height=2.0),
    ...     )
    ...
    ...     def forward(self, z):
    ...         return 2 * torch.tanh(z)
    >>> MLP(3, 2, hidden=(4,), activation=ScaledTanh).layers[1]
    ScaledTanh()
    """

    name: str | None = None
    module: type[nn.Module] | None = None
    has_beta: bool = False
    piecewise_linear: bool = False
    value_and_slope: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None
    value_and_slope_in_place: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    bend: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None
    forward_in_input: Callable[[Any, Tensor], Tensor] | None = None
    surrogate: Callable[[Tensor, float], Tensor] | None = None
    bounds: Callable[[float], ActivationBounds] | None = None

    _constraints: ClassVar[dict[str, Constraint]] = {
        "name": optional(Text()),
        "module": optional(Instance(type)),
        "has_beta": FLAG,
        "piecewise_linear": FLAG,
        "value_and_slope": optional(Function()),
        "value_and_slope_in_place": optional(Function()),
        "bend": optional(Function()),
        "forward_in_input": optional(Function()),
        "surrogate": optional(Function()),
        "bounds": optional(Either((Function(), Instance(type)))),
    }

    def __post_init__(self) -> None:
        """Check the fields."""
        check_arguments(self)

    @property
    def is_written_out(self) -> bool:
        """True if the record suffices for the written-out passes."""
        return self.value_and_slope is not None and (self.piecewise_linear or self.bend is not None)

    def evaluate(self, z: Tensor, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return sigma(z) and sigma'(z).

        Parameters
        ----------
        z : Tensor
            Of any shape.
        out : Tensor, optional
            Shaped like z; z and `out` may then be written to, and there is no graph. None keeps autograd's graph.
        """
        if self.value_and_slope is None:
            raise NotImplementedError(f"The record of the activation {self.name!r} has no value_and_slope.")
        if out is None or self.value_and_slope_in_place is None:
            return self.value_and_slope(z)
        return self.value_and_slope_in_place(z, out)
