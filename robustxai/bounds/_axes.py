"""The axes of a ball along which a network can tell its points apart."""

from __future__ import annotations

import torch
from torch import Tensor

from robustxai.bounds._network import Network

__all__ = ["axes_seen", "directions_seen"]


def directions_seen(network: Network, scale: Tensor) -> Tensor | None:
    r"""Return an orthonormal basis Q of what ``x + scale * delta`` can change in the network; None where it is large.

    The network reads x through matrices W alone, whose rows together are E = W diag(scale). With
    :math:`E^\top = Q R`, it holds that :math:`E \delta = R^\top (Q^\top \delta)`: any function of W x depends on delta
    through the few numbers :math:`\delta' = Q^\top \delta`. They are in the same l2 ball, and reach all of it.

    Parameters
    ----------
    network : Network
        With m units that x feeds.
    scale : Tensor of shape (n,)
        Lengths of the ball's axes.

    Returns
    -------
    Tensor of shape (n, m), or None where 2 m exceeds n
    """
    affine = [*(layer.inputs for layer in network.layers), network.logits]
    matrices = [one.weights[0].detach() for one in affine if 0 in one.weights]
    if not matrices or 2 * sum(map(len, matrices)) > len(scale):
        return None
    return torch.linalg.qr((torch.cat(matrices) * scale).T).Q


def axes_seen(scale: Tensor, directions: Tensor | None) -> Tensor:
    """Matrix that takes what moves in the ball to its place in x, (1, n, d): the axes, or what a network sees of them.

    The same for all rows.
    """
    return (torch.diag(scale) if directions is None else scale[:, None] * directions)[None]
