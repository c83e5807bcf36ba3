"""Attributions that cannot underflow: a direction, and the logarithm of its factor."""

from __future__ import annotations

import copy
import math
import sys
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from robustxai._arguments import FLAG, Function, Instance, checked
from robustxai._switches import differentiable
from robustxai.engine import kept
from robustxai.protocols import Explainer

__all__ = ["ExactAttribution", "ScaledAttribution", "UpToScale", "scaled_attribution", "spread"]

#: Share of the largest entry below which an entry of an attribution may underflow.
_NEGLIGIBLE = 1e-100


class ScaledAttribution(NamedTuple):
    r"""An attribution :math:`I(x) = e^{s}\, d`, which is ranked by d and never multiplied out where that underflows.

    Attributes
    ----------
    direction : Tensor of shape (*batch, *features)
        d. It has the ranking of the attribution, because the factor is positive.
    log_scale : Tensor of shape (*batch,) or None
        s, one for each sample; None stands for 0.
    """

    direction: Tensor
    log_scale: Tensor | None = None

    def relative_to(self, log_scale: Tensor | None) -> Tensor:
        r"""Return :math:`e^{s - s_0}\, d` for the `log_scale` s_0 of another attribution of the same rows.

        The exponent is held within 40 of zero, so that squares of the result stay finite in float32.
        """
        if self.log_scale is None or log_scale is None:
            return self.direction
        factor = (self.log_scale - log_scale).clamp(-40.0, 40.0).exp()
        return self.direction * spread(factor, self.direction)

    def multiplied_out(self) -> Tensor:
        """Return :math:`e^s d`, which underflows to zero where the scale is below the range of the type."""
        if self.log_scale is None:
            return self.direction
        factor = self.log_scale.exp()
        return self.direction * spread(factor, self.direction)


def spread(values: Tensor, like: Tensor) -> Tensor:
    """Return `values` with as many axes as `like`, to broadcast over its features."""
    return values.reshape(*values.shape, *(1,) * (like.ndim - values.ndim))


@checked(explainer=Function(), create_graph=FLAG)
def scaled_attribution(
    explainer: Explainer,
    module: nn.Module,
    x: Tensor,
    target: Tensor,
    *,
    logits: Tensor | None = None,
    create_graph: bool = False,
) -> ScaledAttribution:
    """Explain `x` as direction and scale; an explainer without a method ``scaled`` is taken as its own direction."""
    own = getattr(explainer, "scaled", None)
    if own is not None:
        return own(module, x, target, logits=logits, create_graph=create_graph)
    return ScaledAttribution(explainer(module, x, target, logits=logits, create_graph=create_graph))


@dataclass(frozen=True)
class UpToScale:
    """The direction of another explainer: the same ranking, without the factor that vanishes for confident samples.

    Parameters
    ----------
    explainer : Explainer
        With a method ``scaled``.
    """

    explainer: Any

    @differentiable
    def __call__(
        self, module: nn.Module, x: Tensor, target: Tensor, *, logits: Tensor | None = None, create_graph: bool = False
    ) -> Tensor:
        """Direction of the attribution of class `target` at `x`, shaped like x."""
        return self.explainer.scaled(module, x, target, logits=logits, create_graph=create_graph).direction


class ExactAttribution:
    r"""Explain rows in float64, with the weights that the network has.

    The explanation is the exact function of the float32 weights, up to the rounding of float64, as certificates use it.
    The factor of a confident row (:math:`\sigma'(m)` for a probability) is computed in float64 too, which holds up to
    log-odds m of about 700. Beyond, a row's factor is the smallest at which each of its entries is still a normal
    float64 number (those below 1e-100 of the largest one aside): ratios and ranking stay right, only the length is no
    longer that small.

    An explainer without a method ``scaled`` (a callable of the user, a Captum method), and a network that cannot
    compute in float64, are evaluated as they are; their result is returned in float64.

    Parameters
    ----------
    explainer : Explainer
        Makes the attribution.
    module : nn.Module
        Inputs to logits. It is not changed.
    """

    @checked(explainer=Function(), module=Instance(nn.Module))
    def __init__(self, explainer: Explainer, module: nn.Module) -> None:
        self.explainer = explainer
        self.module = module
        self._double: nn.Module | None = None
        if hasattr(explainer, "scaled"):
            self._double = kept(module, "float64", lambda: copy.deepcopy(module).double())

    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        """Attribution of class `target` of shape (n,) at `x`, float64, shaped like x."""
        found = self._found(x, target)
        direction = found.direction.detach().double()
        if found.log_scale is None:
            return direction
        rows = direction.flatten(start_dim=1).abs()
        largest = rows.amax(dim=1)
        smallest = torch.where(rows > _NEGLIGIBLE * largest[:, None], rows, torch.inf).amin(dim=1)
        # a factor e above the smallest normal number, for the rounding of exp and log
        least = math.log(sys.float_info.min) + 1.0 - smallest.clamp_max(1.0).log()
        return ScaledAttribution(direction, torch.maximum(found.log_scale.detach().double(), least)).multiplied_out()

    def _found(self, x: Tensor, target: Tensor) -> ScaledAttribution:
        if self._double is not None and x.device.type != "mps":  # which has no float64
            try:
                return scaled_attribution(self.explainer, self._double, x.double(), target)
            except torch.OutOfMemoryError:
                raise
            except (RuntimeError, TypeError):  # a forward that asks for float32, say
                self._double = None
        dtype = next((w.dtype for w in self.module.parameters() if w.is_floating_point()), torch.float32)
        return scaled_attribution(self.explainer, self.module, x.to(dtype).detach().requires_grad_(), target)
