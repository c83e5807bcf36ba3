"""Graph convolutions on dense adjacency matrices."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from robustxai._arguments import COUNT, POSITIVE, Choice, Each, checked
from robustxai.activations import ACTIVATION, make_activation
from robustxai.nets._shaped import SHAPE, ShapedNet
from robustxai.protocols import ActivationName, GraphFeatures

__all__ = ["GraphNet", "check_adjacency"]

_FEATURES = ("profile", "identity")
#: Largest difference by rounding between an entry and its mirror entry, as a share of the largest entry.
_ASYMMETRY = 1e-5


class GraphNet(ShapedNet):
    r"""Graph convolutions on a weighted graph, followed by a mean over nodes and a linear layer.

    .. math::
        S = \tfrac{1}{2}(A + A^\top), \qquad
        \hat S_{ij} = \frac{S_{ij}}{\sqrt{d_i d_j}}, \quad d_i = \sum_j \sqrt{S_{ij}^2 + \tau^2}, \qquad
        H_{l+1} = \sigma\bigl(\hat S H_l V_l + H_l U_l + b_l\bigr), \qquad
        z(A) = W\,\tfrac{1}{N} \sum_i H_{L,i} + c

    with :math:`H_0 = S`: the features of a node are its weights to all other nodes (its connectivity profile). Graphs
    are fully described by A, have the same nodes in the same order, and no mask. The layers are PyTorch Geometric's
    ``DenseGraphConv``, except that features are projected before the sum over neighbors: the same result with fewer
    products.

    The network reads the symmetric part of A. Therefore its input gradients are symmetric, and an edge has one
    attribution in both of its entries, even if an attack has changed one of them only.

    Parameters
    ----------
    in_shape : (nodes, nodes) or (1, nodes, nodes)
        Shape of a sample.
    n_classes : int
        Number of logits.
    hidden : sequence of int, default=(64, 32)
        Widths of the convolutions, at least one.
    activation : {"softplus", "relu", "sigmoid", "tanh", "gelu", "silu"} or subclass of nn.Module, default="softplus"
        As in :class:`MLP`.
    beta : float, default=1.0
        Sharpness of softplus; ReLU in the limit.
    features : {"profile", "identity"}, default="profile"
        :math:`H_0`: the rows of S, or the one-hot indices of the nodes.
    smoothing : float, default=0.05
        :math:`\tau`, in units of the edge weights. It makes the length of an edge smooth at 0; a graph without edges
        has degrees of :math:`N \tau` instead of 0.

    Raises
    ------
    ImportError
        PyTorch Geometric is not installed.
    ValueError
        Samples are not square matrices, or a name is unknown.

    Notes
    -----
    Edge weights may be negative (correlations). The sum of a row can then be zero or negative, and its inverse square
    root does not exist. ``DenseGCNConv`` clips such degrees at 1, so that the degree of these nodes has no effect. Here
    a degree is the sum of the *lengths* of weights, the degree of a signed graph (Kunegis et al., 2010). Signs stay in
    :math:`\hat S`, whose eigenvalues lie in [-1, 1] for any weights. The length is :math:`\sqrt{s^2 + \tau^2} \ge |s|`
    rather than :math:`|s|`, and the readout is a mean rather than a maximum, because attacks and penalties
    differentiate twice. Self-loops are not needed, because :math:`U_l` acts on the node itself.

    References
    ----------
    Morris et al., *Weisfeiler and Leman go neural*, 2019; Kunegis et al., *Spectral analysis of signed graphs for
    clustering, prediction and visualization*, 2010.
    """

    takes = "graphs as adjacency matrices, X of shape (n, nodes, nodes) or (n, 1, nodes, nodes)"

    @checked(
        in_shape=SHAPE,
        n_classes=COUNT,
        hidden=Each(COUNT),
        activation=ACTIVATION,
        beta=POSITIVE,
        features=Choice(_FEATURES),
        smoothing=POSITIVE,
    )
    def __init__(
        self,
        in_shape: Sequence[int],
        n_classes: int,
        hidden: Sequence[int] = (64, 32),
        activation: ActivationName | type[nn.Module] = "softplus",
        beta: float = 1.0,
        features: GraphFeatures = "profile",
        smoothing: float = 0.05,
    ) -> None:
        super().__init__(in_shape)
        if not len(hidden):
            raise ValueError("hidden must name at least one width, because a graph network needs a convolution.")
        convolution = _dense_graph_convolution()
        widths = [self.in_shape[-1], *hidden]
        self.features = features
        self.smoothing = smoothing
        self.convolutions = nn.ModuleList(convolution(n_in, n_out) for n_in, n_out in pairwise(widths))
        self.activations = nn.ModuleList(make_activation(activation, beta) for _ in hidden)
        self.readout = nn.Linear(widths[-1], n_classes)

    @classmethod
    def _problem(cls, in_shape: tuple[int, ...]) -> str | None:
        if len(in_shape) == 3 and in_shape[0] > 1:
            return "Graphs have one channel."
        if len(in_shape) not in (2, 3):
            return ""
        return None if in_shape[-1] == in_shape[-2] > 0 else _no_graph("The matrices are not square")

    def check_inputs(self, X: np.ndarray) -> None:
        """Raise ValueError unless X holds symmetric matrices of the network's shape."""
        super().check_inputs(X)
        check_adjacency(X)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, shape (*batch, n_classes), of x of shape (*batch, *in_shape)."""
        batch, n_nodes = x.shape[: x.ndim - len(self.in_shape)], self.in_shape[-1]
        weights = x.reshape(-1, n_nodes, n_nodes)
        weights = 0.5 * (weights + weights.mT)
        scale = self.scale(weights)
        h = weights if self.features == "profile" else torch.eye(n_nodes, dtype=x.dtype, device=x.device)
        for convolution, activation in zip(self.convolutions, self.activations):
            h = activation(_convolve(convolution, h, weights, scale))
        logits = self.readout(h.mean(dim=1))
        return logits.reshape(*batch, logits.shape[-1])

    def scale(self, weights: Tensor) -> Tensor:
        r"""Return :math:`d_i^{-1/2}`, shape (n, nodes, 1), for symmetric matrices of shape (n, nodes, nodes)."""
        lengths = torch.hypot(weights, weights.new_tensor(self.smoothing))
        return lengths.sum(dim=-1, keepdim=True).rsqrt()


def check_adjacency(X: np.ndarray) -> None:
    """Raise ValueError unless the last two axes of X are symmetric matrices, up to rounding.

    Training data are checked, inputs of ``forward`` are not, because attacks and random perturbations change entries
    one by one.
    """
    if X.ndim < 3 or X.shape[-1] != X.shape[-2]:
        raise ValueError(_no_graph(f"X of shape {X.shape} does not hold square matrices"))
    matrices = X.reshape(-1, *X.shape[-2:])
    tolerance = _ASYMMETRY * np.abs(matrices).max(axis=(1, 2), initial=0.0)
    asymmetric = np.abs(matrices - matrices.swapaxes(1, 2)).max(axis=(1, 2), initial=0.0) > tolerance
    if asymmetric.any():
        row = int(asymmetric.argmax()) // (len(matrices) // len(X))
        raise ValueError(_no_graph(f"The adjacency matrices are not symmetric (row {row} of X is not)"))


def _convolve(convolution: Any, h: Tensor, weights: Tensor, scale: Tensor) -> Tensor:
    r"""Compute ``convolution(h, adjacency)`` for the adjacency :math:`S_{ij} / \sqrt{d_i d_j}` without forming it."""
    messages = scale * (weights @ (scale * nn.functional.linear(h, convolution.lin_rel.weight)))
    return messages + convolution.lin_rel.bias + convolution.lin_root(h)


def _no_graph(problem: str) -> str:
    return (
        f"{problem}. Undirected graphs have equal entries (i, j) and (j, i): use the symmetric part, "
        "(X + X.swapaxes(-1, -2)) / 2. Images need a channel axis: X[:, None]."
    )


def _dense_graph_convolution() -> Any:
    try:
        from torch_geometric.nn import DenseGraphConv
    except ImportError as error:
        raise ImportError(
            "GraphNet needs PyTorch Geometric, which is not installed: pip install robustxai[graph]"
        ) from error
    return DenseGraphConv
