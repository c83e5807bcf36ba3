"""Additive network for tables: a smooth function of every column, summed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from robustxai._arguments import COUNT, POSITIVE, Each, Number, checked, optional
from robustxai.activations import ACTIVATION, make_activation
from robustxai.nets._shaped import SHAPE, ShapedNet
from robustxai.protocols import ActivationName

__all__ = ["AdditiveNet"]


class AdditiveNet(ShapedNet):
    r"""Generalized additive model: the logits are a sum over columns of a function of that column alone.

    .. math:: z(x) = b + \sum_j f_j(x_{G_j}), \qquad
        f_j(u) = W_j\,\sigma(V_j u + v_j) + S_j u

    with :math:`G_j` the features that column j became. No column changes what another one contributes: the integrated
    gradients of column j are :math:`f_j(x_{G_j}) - f_j(b_{G_j})` whatever the other columns are, so that a change of
    one column moves one contribution. On tables whose columns interact little this costs no accuracy.

    Parameters
    ----------
    in_shape : (n_features,)
        Shape of a sample.
    n_classes : int
        Number of logits.
    groups : sequence of sequences of int, optional
        :math:`G_j`, every feature in exactly one of them; a classifier gives the one-hot groups of its training data,
        as for :class:`robustxai.explainers.ColumnContributions`. Every feature by itself by default.
    n_units : int, default=16
        Hidden units of every column, enough for the curves of amounts that the library's tables have.
    activation : {"softplus", "relu", "sigmoid", "tanh", "gelu", "silu"} or subclass of nn.Module, default="softplus"
        Activation of the hidden units.
    beta : float, default=1.0
        Sharpness of softplus.

    Raises
    ------
    ValueError
        Samples are not rows of a table, or `groups` does not have every feature once.

    Notes
    -----
    Bounds and certificates read it as a network of one hidden layer, most weights of which are zero.

    References
    ----------
    Hastie and Tibshirani, *Generalized additive models*, 1986; Agarwal et al., *Neural additive models*, 2021, which
    have a deep network for every column.

    Examples
    --------
    >>> import torch
    >>> net = AdditiveNet((3,), 2, groups=[[0], [1, 2]])
    >>> x, y = torch.rand(3), torch.rand(3)
    >>> swapped = torch.cat([x[:1], y[1:]]), torch.cat([y[:1], x[1:]])
    >>> torch.allclose(net(x) + net(y), net(swapped[0]) + net(swapped[1]), atol=1e-5)
    True
    """

    takes = "tables, X of shape (n, features)"
    mask: Tensor

    @checked(
        in_shape=SHAPE,
        n_classes=COUNT,
        groups=optional(Each(Each(Number(0, integer=True)), least=1)),
        n_units=COUNT,
        activation=ACTIVATION,
        beta=POSITIVE,
    )
    def __init__(
        self,
        in_shape: Sequence[int],
        n_classes: int,
        groups: Sequence[Sequence[int]] | Sequence[np.ndarray] | None = None,
        n_units: int = 16,
        activation: ActivationName | type[nn.Module] = "softplus",
        beta: float = 1.0,
    ) -> None:
        super().__init__(in_shape)
        (n_features,) = self.in_shape
        columns = [[j] for j in range(n_features)] if groups is None else [list(map(int, group)) for group in groups]
        if sorted(j for group in columns for j in group) != list(range(n_features)):
            raise ValueError(f"groups must have each of the features 0, ..., {n_features - 1} exactly once.")
        mask = torch.zeros(len(columns), n_features)
        for column, group in enumerate(columns):
            mask[column, group] = 1.0
        self.register_buffer("mask", mask.repeat_interleave(n_units, dim=0))
        self.hidden = nn.Linear(n_features, len(self.mask))
        self.activation = make_activation(activation, beta)
        self.out = nn.Linear(len(self.mask), n_classes)
        self.skip = nn.Linear(n_features, n_classes, bias=False)
        with torch.no_grad():  # as if every column had a layer of its own
            scale = (n_features / self.mask.sum(dim=1)).sqrt()
            self.hidden.weight.mul_(scale[:, None])
            self.hidden.bias.mul_(scale)

    @classmethod
    def _problem(cls, in_shape: tuple[int, ...]) -> str | None:
        return None if len(in_shape) == 1 else "Use X.reshape(len(X), -1)."

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, shape (*batch, n_classes), of x of shape (*batch, n_features)."""
        inside = nn.functional.linear(x, self.hidden.weight * self.mask, self.hidden.bias)
        return self.out(self.activation(inside)) + self.skip(x)
