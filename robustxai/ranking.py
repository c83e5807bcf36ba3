"""Ranked units: from an attribution to one score per thing that is ranked, and to top-k sets.

A *unit* is what a person ranks: a feature of a table, or a pixel with its channels summed. Penalties, attacks,
metrics, thickness and certificates all ask this module, so that none of them assumes what "the last axis" means.

Shapes: an attribution is ``(*batch, *features)``. Arrays of four or more dimensions are read as channel-first images,
``(n, channels, height, width)``; everything else is ranked entry by entry.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from robustxai._validation import check_choice

__all__ = [
    "RANKINGS",
    "ArrayLike",
    "as_tensor",
    "count_units",
    "top_k_indices",
    "top_k_mask",
    "unit_scores",
]

ArrayLike: TypeAlias = "np.ndarray | Tensor"

#: ``"magnitude"`` ranks by |attribution| (the default), ``"signed"`` by the attribution itself.
RANKINGS = ("magnitude", "signed")


def as_tensor(array: ArrayLike) -> Tensor:
    """`array` as a tensor, without a copy where possible; DataFrames and lists are taken too."""
    if isinstance(array, Tensor):
        return array
    # torch warns of read-only memory, which a DataFrame may show to the outside
    return torch.as_tensor(np.require(array, requirements="W"))


def unit_scores(attribution: Tensor, ranking: str = "magnitude", *, batch_ndim: int = 1) -> Tensor:
    """One score per ranked unit.

    Parameters
    ----------
    attribution : Tensor of shape (*batch, *features)
        Feature attributions. Three feature axes are read as (channels, height, width).
    ranking : {"magnitude", "signed"}, default="magnitude"
        Whether |a| or a is ranked.
    batch_ndim : int, default=1
        How many leading axes are batch axes (2 for a stack of models).

    Returns
    -------
    Tensor of shape (*batch, units)
    """
    check_choice("ranking", ranking, RANKINGS)
    scores = attribution.abs() if ranking == "magnitude" else attribution
    if scores.ndim - batch_ndim >= 3:
        scores = scores.sum(dim=batch_ndim)
    return scores if scores.ndim == batch_ndim + 1 else scores.flatten(start_dim=batch_ndim)


def count_units(feature_shape: Sequence[int]) -> int:
    """How many units an attribution of shape (*batch, *feature_shape) has: what :func:`unit_scores` will return."""
    return math.prod(feature_shape[1:] if len(feature_shape) >= 3 else feature_shape)


def top_k_indices(scores: Tensor, k: int) -> Tensor:
    """Indices of the k highest scores, highest first; ties go to the lower index. Shape (*batch, k)."""
    return scores.sort(dim=-1, descending=True, stable=True).indices[..., :k]


def top_k_mask(scores: Tensor, k: int) -> Tensor:
    """Boolean membership of the top-k set, shape of `scores`, exactly k True in each row."""
    mask = torch.zeros(scores.shape, dtype=torch.bool, device=scores.device)
    return mask.scatter_(-1, top_k_indices(scores, k), True)
