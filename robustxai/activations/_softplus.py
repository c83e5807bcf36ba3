"""Softplus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from robustxai._arguments import POSITIVE, Constraint, check_arguments
from robustxai.activations._bounds import ActivationBounds, finite
from robustxai.activations._record import Activation

__all__ = ["SOFTPLUS", "SoftplusBounds", "softplus"]


def softplus(z: Tensor, beta: float, threshold: float = 20.0) -> Tensor:
    r"""Compute ``torch.nn.functional.softplus`` with cheaper derivatives: torch's second one takes three times as long.

    .. math:: s(z) = \tfrac{1}{\beta} \log(1 + e^{\beta z}), \quad s' = \sigma(\beta z), \quad
        s'' = \beta\, \sigma(\beta z)\,(1 - \sigma(\beta z))
    """
    return _Softplus.apply(z, beta, threshold)


class _Softplus(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, beta: float, threshold: float) -> Tensor:
        slope = (beta * z).sigmoid_()
        ctx.save_for_backward(z, slope)
        ctx.beta = beta
        return nn.functional.softplus(z, beta, threshold)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (z, slope) = gradients, ctx.saved_tensors
        if not torch.is_grad_enabled():
            return gradient * slope, None, None
        return _Slope.apply(gradient, z, slope, ctx.beta), None, None


class _Slope(torch.autograd.Function):
    """Multiply `gradient` by the slope at z."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, z: Tensor, slope: Tensor, beta: float) -> Tensor:
        ctx.save_for_backward(gradient, z, slope)
        ctx.beta = beta
        return gradient * slope

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (arrived,), (gradient, z, slope) = gradients, ctx.saved_tensors
        if torch.is_grad_enabled():  # a third derivative needs the slope as a function of z
            slope = torch.sigmoid(ctx.beta * z)
        bend = torch.addcmul(slope, slope, slope, value=-1).mul_(ctx.beta)
        return arrived * slope, bend.mul_(gradient).mul_(arrived), None, None


@dataclass(frozen=True)
class SoftplusBounds(ActivationBounds):
    r"""Bounds of :math:`\ln(1 + e^{\beta z}) / \beta`, with slope s = sigmoid(beta z) and bend beta s (1 - s).

    Parameters
    ----------
    beta : float, default=1.0
        Sharpness.
    """

    beta: float = 1.0

    _constraints: ClassVar[dict[str, Constraint]] = {"beta": POSITIVE}

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_arguments(self)

    @property
    def max_slope(self) -> float:
        """As `ActivationBounds.max_slope`."""
        return 1.0

    @property
    def max_bend(self) -> float:
        """As `ActivationBounds.max_bend`."""
        return self.beta / 4

    def value(self, z: Tensor) -> Tensor:
        """As `ActivationBounds.value`."""
        # not torch's, which is linear from beta z = 20 on and so lies below the function
        return (self.beta * z).clamp_min(0) / self.beta + torch.log1p(torch.exp(-(self.beta * z).abs())) / self.beta

    def slope(self, z: Tensor) -> Tensor:
        """As `ActivationBounds.slope`."""
        return torch.sigmoid(self.beta * z)

    def touching(self, m: Tensor) -> list[Tensor]:
        """As `ActivationBounds.touching`."""
        return [finite(torch.logit(m)) / self.beta]

    def slope_touching(self, m: Tensor) -> list[Tensor]:
        """As `ActivationBounds.slope_touching`."""
        root = (1 - 4 * m / self.beta).clamp_min(0).sqrt()
        return [finite(torch.logit((1 + sign * root) / 2)) / self.beta for sign in (-1, 1)]

    def slope_range(self, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
        """As `ActivationBounds.slope_range`."""
        return self.slope(lo), self.slope(hi)

    def bend_range(self, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
        """As `ActivationBounds.bend_range`."""

        def bend(z: Tensor) -> Tensor:
            s = self.slope(z)
            return self.beta * s * (1 - s)

        ends = bend(lo), bend(hi)
        top = torch.where((lo <= 0) & (hi >= 0), self.beta / 4, torch.maximum(*ends))
        return torch.minimum(*ends), top


SOFTPLUS = Activation(
    name="softplus",
    module=nn.Softplus,
    has_beta=True,
    value_and_slope=lambda z: (nn.functional.softplus(z), torch.sigmoid(z)),
    value_and_slope_in_place=lambda z, out: (
        nn.functional.softplus(z, out=out),  # type: ignore[call-arg]
        z.sigmoid_(),
    ),
    bend=lambda t, a, s: t.addcmul_(t, s, value=-1),
    forward_in_input=lambda module, z: softplus(z, module.beta, module.threshold),
    bounds=SoftplusBounds,
)
