"""The baseline of an explainer: the input that stands for "nothing"."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["Baseline", "baseline_like", "fixed"]


class Baseline:
    """Comparison by content, for dataclasses with arrays: the generated one compares arrays as if they were numbers."""

    def _key(self) -> tuple[Any, ...]:
        values = (getattr(self, field.name) for field in dataclasses.fields(self))  # type: ignore[arg-type]
        return tuple(_content(value) for value in values)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


def _content(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return tuple(_content(entry) for entry in value)
    return (value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value


def fixed(baseline: Any) -> Any:
    """Return a baseline as a float, or as a read-only copy: an explainer must not change with the caller's array."""
    given = baseline.detach().cpu().numpy() if isinstance(baseline, Tensor) else baseline
    array = np.array(given, dtype=np.float64)
    array.flags.writeable = False
    return array if array.ndim else float(array)


def baseline_like(baseline: Any, x: Tensor, target: Tensor) -> Tensor:
    """Return the baseline as a tensor of the shape of one sample of `x`, whose batch axes are those of `target`."""
    features = tuple(x.shape[target.ndim :])
    if np.shape(baseline) not in ((), features):
        raise ValueError(
            f"baseline must be a number or have the shape of one sample, {features}; got {np.shape(baseline)}."
        )
    return torch.tensor(baseline, dtype=x.dtype, device=x.device).expand(features)
