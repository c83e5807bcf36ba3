"""Weighted sums of the attributions of features: what explanations of the columns of a table share."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from robustxai._switches import differentiable
from robustxai.explainers._baseline import Baseline
from robustxai.explainers._groups import check_features, check_table
from robustxai.explainers._scaled import ScaledAttribution

__all__ = ["WeightedFeatures"]


class WeightedFeatures(Baseline):
    r"""Base of explainers :math:`I(x) = W^\top \phi(x)`, with the attribution phi of another explainer and a matrix W.

    A subclass is a dataclass with a field `groups`. It returns phi from `of_features` and W from `weights`. Bounds of
    phi give bounds of I.
    """

    #: Fields that must be set before anything is explained; a classifier fills them in from its training data.
    _filled: ClassVar[tuple[str, ...]]
    groups: Any

    @property
    def of_features(self) -> Any:
        """The explainer of the features."""
        raise NotImplementedError

    def weights(self, like: Tensor) -> Tensor:
        """Return the matrix W of shape (n_features, n_entries), of the type and on the device of `like`."""
        raise NotImplementedError

    @differentiable
    def __call__(
        self, module: nn.Module, x: Tensor, target: Tensor, *, logits: Tensor | None = None, create_graph: bool = False
    ) -> Tensor:
        """Attribution of class `target` at `x` of shape (*batch, n_features), shape (*batch, n_entries)."""
        with torch.set_grad_enabled(create_graph):
            return self.scaled(module, x, target, logits=logits, create_graph=create_graph).multiplied_out()

    def scaled(
        self, module: nn.Module, x: Tensor, target: Tensor, *, logits: Tensor | None = None, create_graph: bool = False
    ) -> ScaledAttribution:
        """Attribution of class `target` at `x` as direction and scale, neither of which can vanish."""
        self._check_filled()
        check_table(self, x.shape[target.ndim :])
        check_features(self.groups, x.shape[target.ndim :])
        found = self.of_features.scaled(module, x, target, logits=logits, create_graph=create_graph)
        with torch.set_grad_enabled(create_graph):
            return ScaledAttribution(found.direction @ self.weights(found.direction), found.log_scale)

    def _check_filled(self) -> None:
        missing = " and ".join(name for name in self._filled if getattr(self, name) is None)
        if missing:
            raise ValueError(
                f"{type(self).__name__} has no {missing} yet. Pass what is missing, or give the explainer to a "
                "classifier, which fills it in from its training data."
            )
