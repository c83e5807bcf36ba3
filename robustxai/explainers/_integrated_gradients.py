"""Integrated Gradients: what each feature adds on the straight way from a baseline to the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robustxai._arguments import COUNT, Numbers, check_arguments, optional
from robustxai._short_repr import short_repr
from robustxai._switches import differentiable
from robustxai.explainers._baseline import Baseline, baseline_like, fixed
from robustxai.explainers._gradient import OUTPUT, Gradient
from robustxai.explainers._mean_gradient import leaf, mean_gradient
from robustxai.explainers._scaled import ScaledAttribution, UpToScale
from robustxai.protocols import Explainer, Output

__all__ = ["IntegratedGradients"]


@dataclass(frozen=True, eq=False)
class IntegratedGradients(Baseline):
    r"""Integrated Gradients of one class c, by the midpoint rule.

    .. math:: I(x) = (x - b) \odot \frac{1}{m} \sum_{k=1}^{m} \nabla f_c\bigl(b + a_k (x - b)\bigr),
        \qquad a_k = \frac{k - 1/2}{m}

    As m grows the entries sum to :math:`f_c(x) - f_c(b)` (completeness); for a smooth f the error falls as
    :math:`1/m^2`.

    Parameters
    ----------
    n_points : int, default=32
        m.
    baseline : float or array of the shape of one sample, default=0.0
        b, the input that stands for "nothing"; ``clf.feature_means_`` is the least informative one for a table.
    output : {"probability", "log_odds", "logit", "cross_entropy"}, default="probability"
        The quantity f that is differentiated, as in :class:`Gradient`.
    internal_batch_size : int or None, default=4096
        Most (row, step) pairs in one forward pass, as in :class:`SmoothGrad`.

    References
    ----------
    Sundararajan, Taly and Yan, *Axiomatic attribution for deep networks*, 2017.

    Examples
    --------
    >>> import torch
    >>> net = torch.nn.Linear(2, 2, bias=False)
    >>> _ = net.weight.data.copy_(torch.tensor([[0.0, 0.0], [3.0, -1.0]]))
    >>> IntegratedGradients(output="logit")(net, torch.tensor([[1.0, 2.0]]), torch.tensor([1]))
    tensor([[ 3., -2.]])
    """

    n_points: int = 32
    baseline: Any = 0.0
    output: Output = "probability"
    internal_batch_size: int | None = 4096

    __repr__ = short_repr

    _constraints = {"n_points": COUNT, "baseline": Numbers(), "output": OUTPUT, "internal_batch_size": optional(COUNT)}

    def __post_init__(self) -> None:
        check_arguments(self)
        object.__setattr__(self, "baseline", fixed(self.baseline))

    @differentiable
    def __call__(
        self, module: nn.Module, x: Tensor, target: Tensor, *, logits: Tensor | None = None, create_graph: bool = False
    ) -> Tensor:
        """Attribution of class `target` at `x`, shaped like x; `logits` are of no use here."""
        with torch.set_grad_enabled(create_graph):
            return self.scaled(module, x, target, create_graph=create_graph).multiplied_out()

    def scaled(
        self, module: nn.Module, x: Tensor, target: Tensor, *, logits: Tensor | None = None, create_graph: bool = False
    ) -> ScaledAttribution:
        """Attribution of class `target` at `x` as direction and scale, neither of which can vanish."""
        features = x.shape[target.ndim :]
        baseline = baseline_like(self.baseline, x, target)
        a = (torch.arange(self.n_points, dtype=x.dtype, device=x.device) + 0.5) / self.n_points
        x = leaf(x)
        mean = mean_gradient(
            Gradient(self.output),
            module,
            x,
            target,
            a,
            (1 - a).view(-1, *(1,) * len(features)) * baseline,
            create_graph=create_graph,
            internal_batch_size=self.internal_batch_size,
        )
        with torch.set_grad_enabled(create_graph):
            return ScaledAttribution((x - baseline) * mean.direction, mean.log_scale)

    @property
    def up_to_scale(self) -> Explainer:
        """An explainer with the same attribution up to a positive factor per sample, as for :class:`Gradient`."""
        return UpToScale(self) if self.output in ("probability", "cross_entropy") else self
