"""Relative importance: each feature's share of an explanation."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from robustxai._arguments import Function, check_arguments
from robustxai._short_repr import short_repr
from robustxai._switches import differentiable
from robustxai.explainers._gradient import Gradient
from robustxai.explainers._scaled import ScaledAttribution, scaled_attribution
from robustxai.protocols import Explainer

__all__ = ["RelativeImportance"]

#: Below this an attribution counts as zero when it is divided by its length (a network of dead ReLUs).
_SMALLEST_LENGTH = 1e-12


@dataclass(frozen=True)
class RelativeImportance:
    r"""Shares :math:`|\phi| / \|\phi\|_1` of another explainer's attribution, per sample.

    The entries are at least 0 and sum to 1, or to 0 where the attribution is zero: below an l1 length of 1e-12 they
    fade out instead of dividing by rounding errors. It is the saliency that ATEX's attack manipulates. Ranked by
    magnitude, one entry a unit, it agrees with what it wraps.

    Parameters
    ----------
    explainer : Explainer, default=Gradient()
        What is wrapped. If it has a method ``scaled``, its direction is used, because the shares do not depend on the
        scale: those of a confident sample then do not vanish with the p(1 - p) in the gradient of its probability.

    References
    ----------
    Tang et al., *Defense against explanation manipulation* (ATEX, arXiv 2111.04303).

    Examples
    --------
    >>> import torch
    >>> net = torch.nn.Linear(2, 2, bias=False)
    >>> _ = net.weight.data.copy_(torch.tensor([[0.0, 0.0], [3.0, -1.0]]))
    >>> RelativeImportance(Gradient("logit"))(net, torch.zeros(1, 2), torch.tensor([1]))
    tensor([[0.7500, 0.2500]])
    """

    explainer: Explainer = field(default_factory=Gradient)

    __repr__ = short_repr

    _constraints = {"explainer": Function(words="a callable (module, x, target), no class")}

    def __post_init__(self) -> None:
        check_arguments(self)

    @differentiable
    def __call__(
        self, module: nn.Module, x: Tensor, target: Tensor, *, logits: Tensor | None = None, create_graph: bool = False
    ) -> Tensor:
        """Shares of the features in the attribution of class `target` at `x`, shaped like x."""
        found = scaled_attribution(self.explainer, module, x, target, logits=logits, create_graph=create_graph)
        attribution = found.direction
        with torch.set_grad_enabled(create_graph):
            magnitude = attribution.abs()
            total = magnitude.sum(dim=tuple(range(target.ndim, x.ndim)), keepdim=True)
            return magnitude / total.clamp_min(_SMALLEST_LENGTH)

    def scaled(
        self, module: nn.Module, x: Tensor, target: Tensor, *, logits: Tensor | None = None, create_graph: bool = False
    ) -> ScaledAttribution:
        """Return the shares themselves, whose scale cannot vanish."""
        return ScaledAttribution(self(module, x, target, logits=logits, create_graph=create_graph))
