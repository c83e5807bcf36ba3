"""Choose a network by the shape of the data."""

from __future__ import annotations

import numpy as np
from torch import nn

from robustxai._arguments import Instance, checked
from robustxai.nets._additive import AdditiveNet
from robustxai.nets._conv import ConvNet
from robustxai.nets._graph import GraphNet, check_adjacency
from robustxai.nets._mlp import MLP
from robustxai.nets._resnet9 import ResNet9
from robustxai.nets._siamese import Siamese

__all__ = ["AUTO_NETS", "NETS", "choose_net"]

#: Networks by name.
NETS: dict[str, type[nn.Module]] = {
    "mlp": MLP,
    "additive": AdditiveNet,
    "conv": ConvNet,
    "resnet9": ResNet9,
    "graph": GraphNet,
    "siamese": Siamese,
}
#: Networks from which :func:`choose_net` chooses.
AUTO_NETS: tuple[type[nn.Module], ...] = (MLP, ConvNet, GraphNet, Siamese)


@checked(X=Instance(np.ndarray))
def choose_net(X: np.ndarray) -> type[nn.Module]:
    """Return the class of network for X, by its shape.

    ====================================  ==========================================
    X                                     network
    ====================================  ==========================================
    (n, features)                         :class:`MLP`
    (n, nodes, nodes), symmetric          :class:`GraphNet`
    (n, channels, height, width)          :class:`ConvNet`
    (n, 2, channels, height, width)       :class:`Siamese`, for pairs of images
    ====================================  ==========================================

    Pairs of graphs have the shape of pairs of images of one channel and need ``encoder="graph"``.

    Raises
    ------
    ValueError
        X has another shape, or matrices in X are not symmetric.
    """
    if X.ndim == 2:
        return MLP
    if X.ndim == 3:
        check_adjacency(X)  # reports a missing channel axis before GraphNet imports PyTorch Geometric
        return GraphNet
    if X.ndim == 4:
        return ConvNet
    if X.ndim == 5 and X.shape[1] == 2:
        return Siamese
    raise ValueError(
        f"module='auto' has no network for X of shape {X.shape}. It takes tables (n, features), graphs "
        "(n, nodes, nodes), images (n, channels, height, width) and pairs (n, 2, channels, height, width). For other "
        "shapes give a torch module class as module."
    )
