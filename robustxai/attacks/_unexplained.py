"""Explainers that fail in some calls, and explainers that are random."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from robustxai._frames import take
from robustxai.explainers import Explainer
from robustxai.metrics import precision_at_k
from robustxai.protocols import Ranking

__all__ = ["Lenient", "asked_twice", "explained", "lenient", "precision_where_explained", "unexplained_rows"]

#: Rows that are explained twice to detect a random explainer.
_ASKED = 8
#: Largest difference, relative to the largest entry of its row, that counts as rounding.
_ROUNDING = 1e-4


class Lenient:
    """Explainer wrapper that records rows with NaN or infinity and replaces them by zeros.

    Attributes
    ----------
    failed : BoolTensor of shape (n,)
        Rows without an explanation in the last call.
    """

    def __init__(self, explainer: Explainer) -> None:
        self.explainer = explainer
        self.failed = torch.zeros(0, dtype=torch.bool)

    def __call__(
        self, module: nn.Module, x: Tensor, target: Tensor, *, logits: Tensor | None = None, create_graph: bool = False
    ) -> Tensor:
        """Return the attribution of class `target` at `x`, shaped like x."""
        attribution = self.explainer(module, x, target, logits=logits, create_graph=create_graph)
        self.failed = ~torch.isfinite(attribution.detach()).flatten(start_dim=1).all(dim=1)
        if not bool(self.failed.any()):
            return attribution
        return torch.where(self.failed.reshape(-1, *(1,) * (x.ndim - 1)), 0.0, attribution)


def lenient(explainer: Explainer) -> Explainer:
    """Wrap an `explainer` that may fail in some rows; the library's own, and those with ``scaled``, do not fail."""
    known = type(explainer).__module__.startswith("robustxai.explainers.") or hasattr(explainer, "scaled")
    return explainer if known else Lenient(explainer)


def explained(estimator: Any, rows: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the attribution of `labels` at `rows`, and a mask of the rows that have none after a second call."""
    attribution = np.array(estimator.explain(rows, y=labels))
    failed = _failed(attribution)
    if failed.any():
        again = np.flatnonzero(failed)
        attribution[again] = np.asarray(estimator.explain(take(rows, again), y=np.asarray(labels)[again]))
        failed = _failed(attribution)
    return attribution, failed


def precision_where_explained(before: np.ndarray, after: np.ndarray, k: int, ranking: Ranking) -> np.ndarray:
    """Return P@k of every row; NaN where an explanation contains NaN or infinity."""
    missing = _failed(before) | _failed(after)
    precision = np.full(len(before), np.nan)
    if not missing.all():
        precision[~missing] = precision_at_k(before[~missing], after[~missing], k, ranking=ranking)
    return precision


def asked_twice(estimator: Any, rows: Any, labels: Any, said: np.ndarray, k: int, ranking: Ranking) -> str:
    """Describe how far a second explanation of the first rows is from the explanation `said`; empty if they are equal.

    It is for users' explainers; the library's own draw the same numbers in every call.
    """
    few = take(rows, np.arange(min(len(rows), _ASKED)))
    first = np.asarray(said, dtype=np.float64)[:_ASKED]
    second = np.asarray(estimator.explain(few, y=np.asarray(labels)[:_ASKED]), dtype=np.float64)
    there = ~(_failed(first) | _failed(second))
    first, second = first[there], second[there]
    size = np.abs(first).max(axis=tuple(range(1, first.ndim)), keepdims=True, initial=0.0)
    if not (np.abs(first - second) > _ROUNDING * size).any():
        return ""
    overlap = float(precision_at_k(first, second, k, ranking=ranking).mean())
    return (
        f"the explainer is random: two explanations of the same rows have a P@{k} of {overlap:.2f}, without any "
        "attack. P@k then measures its noise and the attack's effect together. Give it a fixed seed or more samples."
    )


def unexplained_rows(failed: np.ndarray) -> str:
    """Describe how many rows have no explanation; empty if all have one."""
    if not failed.any():
        return ""
    first = int(failed.argmax())
    return (
        f"{failed.sum()} of {len(failed)} rows have no explanation (NaN or infinity; the first is row {first}). Their "
        "P@k is NaN, and they are left out of means."
    )


def _failed(attribution: np.ndarray) -> np.ndarray:
    finite = np.isfinite(np.asarray(attribution, dtype=np.float64)).reshape(len(attribution), -1)
    return np.asarray(~finite.all(axis=1))
