"""Gradient times input: the gradient weighted by how much of the feature is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robustxai._arguments import Numbers, check_arguments
from robustxai._short_repr import short_repr
from robustxai._switches import differentiable
from robustxai.explainers._baseline import Baseline, baseline_like, fixed
from robustxai.explainers._gradient import OUTPUT, Gradient
from robustxai.explainers._mean_gradient import leaf
from robustxai.explainers._scaled import ScaledAttribution, UpToScale
from robustxai.protocols import Explainer, Output

__all__ = ["GradientTimesInput"]


@dataclass(frozen=True, eq=False)
class GradientTimesInput(Baseline):
    r"""Gradient times input of one class c, :math:`I(x) = (x - b) \odot \nabla f_c(x)`.

    A feature whose value is that of the baseline b gets no attribution: what the baseline means in the data matters.

    Parameters
    ----------
    output : {"probability", "log_odds", "logit", "cross_entropy"}, default="probability"
        The quantity f that is differentiated, as in :class:`Gradient`.
    baseline : float or array of the shape of one sample, default=0.0
        b. With the default it is the published method.

    References
    ----------
    Shrikumar, Greenside, Shcherbina and Kundaje, *Not just a black box*, 2016.

    Examples
    --------
    >>> import torch
    >>> net = torch.nn.Linear(2, 2, bias=False)
    >>> _ = net.weight.data.copy_(torch.tensor([[0.0, 0.0], [3.0, -1.0]]))
    >>> GradientTimesInput("logit")(net, torch.tensor([[1.0, 2.0]]), torch.tensor([1]))
    tensor([[ 3., -2.]])
    """

    output: Output = "probability"
    baseline: Any = 0.0

    __repr__ = short_repr

    _constraints = {"output": OUTPUT, "baseline": Numbers()}

    def __post_init__(self) -> None:
        check_arguments(self)
        object.__setattr__(self, "baseline", fixed(self.baseline))

    @differentiable
    def __call__(
        self, module: nn.Module, x: Tensor, target: Tensor, *, logits: Tensor | None = None, create_graph: bool = False
    ) -> Tensor:
        """Attribution of class `target` at `x`, shaped like x."""
        x = leaf(x)
        gradient = Gradient(self.output)(module, x, target, logits=logits, create_graph=create_graph)
        with torch.set_grad_enabled(create_graph):
            return (x - baseline_like(self.baseline, x, target)) * gradient

    def scaled(
        self, module: nn.Module, x: Tensor, target: Tensor, *, logits: Tensor | None = None, create_graph: bool = False
    ) -> ScaledAttribution:
        """Attribution of class `target` at `x` as direction and scale, neither of which can vanish."""
        x = leaf(x)
        gradient = Gradient(self.output).scaled(module, x, target, logits=logits, create_graph=create_graph)
        with torch.set_grad_enabled(create_graph):
            difference = x - baseline_like(self.baseline, x, target)
            return ScaledAttribution(difference * gradient.direction, gradient.log_scale)

    @property
    def up_to_scale(self) -> Explainer:
        """An explainer with the same attribution up to a positive factor per sample, as for :class:`Gradient`."""
        if self.output == "probability":
            return GradientTimesInput("log_odds", self.baseline)
        return UpToScale(self) if self.output == "cross_entropy" else self
