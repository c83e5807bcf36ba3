"""The subspace of a ball that a network depends on."""

from __future__ import annotations

import torch
from torch import Tensor

from robustxai.bounds._network import Network

__all__ = ["basis_axes", "subspace_basis"]


def subspace_basis(network: Network, scale: Tensor) -> Tensor | None:
    r"""Return an orthonormal basis Q of the subspace of delta on which the network at ``x + scale * delta`` depends.

    The network depends on x only through matrices W, whose rows together are E = W diag(scale). With
    :math:`E^\top = Q R`, it holds that :math:`E \delta = R^\top (Q^\top \delta)`: any function of W x depends on delta
    only through :math:`\delta' = Q^\top \delta`, whose range is the l2 ball in m dimensions.

    Parameters
    ----------
    network : Network
        A network with m units that are fed by x.
    scale : Tensor of shape (n,)
        Lengths of the ball's axes.

    Returns
    -------
    Tensor of shape (n, m), or None if 2 m exceeds n, where a basis does not pay
    """
    affine = [*(layer.inputs for layer in network.layers), network.logits]
    matrices = [one.weights[0].detach() for one in affine if 0 in one.weights]
    if not matrices or 2 * sum(map(len, matrices)) > len(scale):
        return None
    return torch.linalg.qr((torch.cat(matrices) * scale).T).Q


def basis_axes(scale: Tensor, basis: Tensor | None) -> Tensor:
    """Return the matrix from delta, or from its coordinates in the basis, to the change of x, shape (1, n, d)."""
    return (torch.diag(scale) if basis is None else scale[:, None] * basis)[None]
