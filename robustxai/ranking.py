"""Ranked units: from an attribution to one score per thing that is ranked, and to top-k sets.

A *unit* is what a person ranks: a feature of a table, or a pixel with its channels summed. Penalties, attacks,
metrics, thickness and certificates all ask this module, so that none of them assumes what "the last axis" means.

Shapes: an attribution is ``(*batch, *features)``. Three feature axes are a channel-first image, ``(channels, height,
width)``, four a pair of images, ``(2, channels, height, width)``: their channels are summed, for each
image of a pair separately. One or two feature axes (a table, a graph's adjacency matrix) are ranked entry by entry.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor

from robustxai._arguments import COUNT, FLAG, Choice, Each, Instance, Number, Rows, checked
from robustxai._validation import outside
from robustxai.protocols import Ranking

__all__ = ["clip_k", "count_units", "top_k_indices", "top_k_mask", "unit_scores", "unit_shape"]

ArrayLike: TypeAlias = "np.ndarray | Tensor"

#: Up to so many units numpy's vector instructions sort a row as fast as they find its top set.
_SORTED_WHOLE = 64

#: ``"magnitude"`` ranks by |attribution| (the default), ``"signed"`` by the attribution itself.
RANKINGS: tuple[Ranking, ...] = get_args(Ranking)
#: Constraint on `ranking`.
RANKING = Choice(RANKINGS)

_SCORES = Instance(Tensor, words="a tensor of scores")
_K = Number(0, integer=True)
_SHAPE = Each(_K)


@checked(array=Rows())
def as_tensor(array: ArrayLike) -> Tensor:
    """`array` as a tensor, without a copy where possible; DataFrames and lists are taken too."""
    if isinstance(array, Tensor):
        return array
    # torch warns of read-only memory, which a DataFrame may show to the outside
    return torch.from_numpy(np.require(array, requirements="W"))


@checked(attribution=_SCORES, ranking=RANKING, batch_ndim=_K)
def unit_scores(attribution: Tensor, ranking: Ranking = "magnitude", *, batch_ndim: int = 1) -> Tensor:
    """One score per ranked unit.

    Parameters
    ----------
    attribution : Tensor of shape (*batch, *features)
        Feature attributions. Three feature axes are read as (channels, height, width), four as
        (2, channels, height, width).
    ranking : {"magnitude", "signed"}, default="magnitude"
        Whether |a| or a is ranked.
    batch_ndim : int, default=1
        How many leading axes are batch axes (2 for a stack of models).

    Returns
    -------
    Tensor of shape (*batch, units)
    """
    scores = attribution.abs() if ranking == "magnitude" else attribution
    if scores.ndim - batch_ndim >= 3:
        scores = scores.sum(dim=-3)
    return scores if scores.ndim == batch_ndim + 1 else scores.flatten(start_dim=batch_ndim)


@checked(feature_shape=_SHAPE)
def count_units(feature_shape: Sequence[int]) -> int:
    """Return the number of units that :func:`unit_scores` makes of an attribution of shape (*batch, *feature_shape)."""
    return math.prod(unit_shape(feature_shape))


@checked(feature_shape=_SHAPE)
def unit_shape(feature_shape: Sequence[int]) -> tuple[int, ...]:
    """Axes of the units, which `unit_scores` flattens: `feature_shape` without its channel axis, if it has one."""
    shape = tuple(feature_shape)
    return (*shape[:-3], *shape[-2:]) if len(shape) >= 3 else shape


@checked(k=COUNT, n_units=_K)
def clip_k(k: int, n_units: int) -> int:
    """`k`, or with a warning the largest k that leaves a feature outside the top-k.

    With k equal to the number of ranked features every explanation has the same top-k set, so there is nothing to
    measure: k is lowered to ``n_units - 1`` (to 1 if there is a single feature).
    """
    largest = max(n_units - 1, 1)
    if k > largest:
        warnings.warn(
            f"k={k} is not smaller than the number of ranked features ({n_units}); using k={largest}.",
            UserWarning,
            stacklevel=outside(),
        )
    return min(int(k), largest)


@checked(scores=_SCORES, k=_K)
def top_k_indices(scores: Tensor, k: int) -> Tensor:
    """Indices of the k highest scores, highest first; ties go to the lower index. Shape (*batch, k)."""
    return scores.sort(dim=-1, descending=True, stable=True).indices[..., :k]


@checked(scores=_SCORES, k=_K, ordered=FLAG)
def top_k_set(scores: Tensor, k: int, *, ordered: bool = False) -> Tensor:
    """Indices of the k highest scores, shape (*batch, k): the fast way where it does not matter how ties are broken.

    In no order, or with `ordered` highest first.
    """
    if scores.device.type != "cpu" or k == 0:
        return scores.topk(k, dim=-1, sorted=ordered).indices
    # numpy selects with vector instructions: a third of the time of torch's topk on the CPU
    scores, first = scores.detach(), scores.shape[-1] - k
    if not first:
        return scores.argsort(dim=-1, descending=True)
    top = torch.from_numpy(np.argpartition(scores.numpy(), first, axis=-1)[..., first:])
    if not ordered:
        return top
    rising = np.argsort(scores.gather(-1, top).numpy(), axis=-1)
    return top.gather(-1, torch.from_numpy(rising).flip(-1))


@checked(scores=_SCORES, k=COUNT, n_pairs=COUNT)
def boundary_sets(scores: Tensor, k: int, n_pairs: int) -> tuple[Tensor, Tensor]:
    """Indices of the lowest of the top k scores and of the highest of the others, in no order.

    Parameters
    ----------
    scores : Tensor of shape (*batch, units)
        One for each unit.
    k : int
        Size of the top set, below the number of units.
    n_pairs : int
        How many of each, at most k and at most the number of the others.

    Returns
    -------
    inside, outside : Tensor of shape (*batch, n_pairs)
        The positions k - n_pairs + 1 to k and k + 1 to k + n_pairs from above.
    """
    n_units = scores.shape[-1]
    if scores.device.type == "cpu" and n_units <= _SORTED_WHOLE:
        rising = torch.from_numpy(np.argsort(scores.detach().numpy(), axis=-1))
        inside, outside = n_units - k, n_units - k - n_pairs
        return rising[..., inside : inside + n_pairs], rising[..., outside : outside + n_pairs]
    window = top_k_set(scores, k + n_pairs, ordered=True)
    return window[..., k - n_pairs : k], window[..., k:]


@checked(scores=_SCORES, k=_K)
def top_k_mask(scores: Tensor, k: int) -> Tensor:
    """Boolean membership of the top-k set, shape of `scores`, exactly k True in each row."""
    mask = torch.zeros(scores.shape, dtype=torch.bool, device=scores.device)
    return mask.scatter_(-1, top_k_indices(scores, k), True)
