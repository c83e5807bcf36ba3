"""Networks that are sums of functions of single columns: what one column does to the logits, by itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from robustxai.bounds._forms import Ball
from robustxai.bounds._network import Affine, Network
from robustxai.bounds._propagation import METHODS, forward
from robustxai.protocols import BoundMethod

__all__ = ["are_apart", "column_margins"]


def are_apart(network: Network, groups: Sequence[Sequence[int]] | Sequence[np.ndarray]) -> bool:
    """Return whether the logits are a sum of functions of the features of single columns.

    That is so where every unit is fed by features of one column alone, and by no other unit. A network without units,
    and :class:`robustxai.nets.AdditiveNet`, are such sums.

    Parameters
    ----------
    network : Network
        Result of :func:`read_network`.
    groups : sequence of sequences of int
        Features of each column; every feature in one of them.
    """
    return all(
        set(layer.inputs.weights) <= {0} and int(_touched(layer.inputs, network, groups).sum(dim=1).max()) <= 1
        for layer in network.layers
    )


def column_margins(
    network: Network,
    groups: Sequence[Sequence[int]] | Sequence[np.ndarray],
    target: int,
    other: int,
    x: Tensor,
    ball: Ball,
    axes: Tensor | None,
    method: BoundMethod,
) -> tuple[Tensor, Tensor, float]:
    """Bound what every column adds to ``z_target - z_other``, in a network whose columns are apart.

    Parameters
    ----------
    network, groups
        As for :func:`are_apart`.
    target, other : int
        Classes.
    x, ball, axes, method
        As for :func:`margin_bounds`.

    Returns
    -------
    low, high : Tensors of shape (rows, n_columns)
        Their sums, with the constant, are bounds of the difference.
    constant : float
        What no column adds.
    """
    form, follow = METHODS[method]
    weights = {}
    for source, weight in network.logits.weights.items():
        head = weight[target] - weight[other]
        if source == 0:
            owner = _members(groups, network.n_features, head)
        else:
            owner = _touched(network.layers[source - 1].inputs, network, groups).to(head)
            owner[owner.sum(dim=1) == 0, 0] = 1.0  # a unit that nothing feeds is constant
        weights[source] = (owner * head[:, None]).T
    apart = Network(network.n_features, network.layers, Affine(weights, x.new_zeros(len(groups))))
    low, high = forward(apart, form.exact(ball, x, axes), follow=follow).logits.bounds()
    return low, high, float(network.logits.bias[target] - network.logits.bias[other])


def _members(groups: Sequence[Sequence[int]] | Sequence[np.ndarray], n_features: int, like: Tensor) -> Tensor:
    """Return which feature belongs to which column, (n_features, n_columns)."""
    found = like.new_zeros(n_features, len(groups))
    for column, group in enumerate(groups):
        found[list(group), column] = 1.0
    return found


def _touched(inputs: Affine, network: Network, groups: Sequence[Sequence[int]] | Sequence[np.ndarray]) -> Tensor:
    """Return which columns feed which units, (n_units, n_columns)."""
    if 0 not in inputs.weights:
        return torch.zeros(len(inputs.bias), len(groups), dtype=torch.bool)
    used = (inputs.weights[0] != 0).to(inputs.bias)
    return used @ _members(groups, network.n_features, used) > 0
