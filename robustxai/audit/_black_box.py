"""Black boxes whose attributions of features are added up to those of the columns of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from robustxai.attacks import BlackBox

__all__ = ["ColumnBlackBox"]


class ColumnBlackBox(BlackBox):
    """A black box with one attribution per column, the sum of those of its features.

    Shapley values and other attributions that add up to a difference of scores may be summed.

    Parameters
    ----------
    box : BlackBox
        With one attribution per feature.
    groups : sequence of sequences of int
        Features of every column.
    """

    def __init__(self, box: BlackBox, groups: Sequence[Sequence[int]]) -> None:
        super().__init__(box.estimator, box.explainer)
        self.groups = groups

    @property
    def explainer_(self) -> Any:
        """Explanation in the form that attacks call, with the number of its entries."""
        return _Sums(self)

    def explain(self, X: Any, y: Any = None) -> np.ndarray:
        """Return the attributions of the columns, shape (n_samples, n_columns)."""
        values = np.asarray(super().explain(X), dtype=np.float64)
        return np.stack([values[:, list(group)].sum(axis=1) for group in self.groups], axis=1)


class _Sums:
    def __init__(self, box: ColumnBlackBox) -> None:
        self.box = box
        self.groups = box.groups

    def attribution_shape(self, feature_shape: Sequence[int]) -> tuple[int, ...]:
        return (len(self.groups),)

    def __call__(
        self, module: nn.Module, x: Tensor, target: Tensor, *, logits: Tensor | None = None, create_graph: bool = False
    ) -> Tensor:
        return torch.from_numpy(self.box.explain(x.detach().cpu().numpy())).to(x)
