"""Multi-layer perceptron for tables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn

from robustxai._arguments import COUNT, FLAG, POSITIVE, Each, checked
from robustxai.activations import ACTIVATION, make_activation
from robustxai.nets._recorded import RecordedNet
from robustxai.protocols import ActivationName

__all__ = ["MLP", "DenseLayers"]


class DenseLayers(NamedTuple):
    """Layers of a multi-layer perceptron, from the input to the logits.

    Attributes
    ----------
    linear : list of nn.Linear
        L + 1 affine layers, with bias.
    units : list of nn.Module
        The L activations between them.
    skip : nn.Linear or None
        Linear path from the input to the logits, without bias.
    """

    linear: list[nn.Linear]
    units: list[nn.Module]
    skip: nn.Linear | None


class MLP(RecordedNet):
    r"""Multi-layer perceptron with an optional linear path around the hidden layers.

    .. math:: z(x) = W_{L+1}\,\sigma(W_L \cdots \sigma(W_1 x + b_1) \cdots + b_L) + b_{L+1} \;[\, + W_0 x \,]

    Parameters
    ----------
    n_features, n_classes : int
        Width of the input and number of logits (two for a binary problem).
    hidden : sequence of int, default=(64, 32)
        Hidden widths; empty gives multinomial logistic regression.
    activation : {"softplus", "relu", "sigmoid", "tanh", "gelu", "silu"} or subclass of nn.Module, default="softplus"
        Activation of the hidden layers. Softplus is the default, because an explanation can be smooth only if the
        network has a second derivative. A class of modules may declare a record of itself
        (:class:`robustxai.activations.Activation`).
    beta : float, default=1.0
        Sharpness of softplus; ReLU in the limit.
    skip : bool, default=False
        Add ``W_0 x``. The gradient of this path does not depend on x, so that it can determine a stable ranking.
    """

    @checked(n_features=COUNT, n_classes=COUNT, hidden=Each(COUNT), activation=ACTIVATION, beta=POSITIVE, skip=FLAG)
    def __init__(
        self,
        n_features: int,
        n_classes: int,
        hidden: Sequence[int] = (64, 32),
        activation: ActivationName | type[nn.Module] = "softplus",
        beta: float = 1.0,
        skip: bool = False,
    ) -> None:
        super().__init__()
        widths = [n_features, *hidden]
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(widths):
            layers += [nn.Linear(n_in, n_out), make_activation(activation, beta)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], n_classes))
        self.skip = nn.Linear(n_features, n_classes, bias=False) if skip else None

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, shape (*batch, n_classes), of x of shape (*batch, n_features)."""
        logits = self.layers(x)
        return logits if self.skip is None else logits + self.skip(x)

    def dense_layers(self) -> DenseLayers:
        """Return the layers, by which trainings compute the derivatives of the network in written-out form.

        A network of another class that computes the equation above may declare this method too, and then trains as fast
        as an MLP. The method must be defined in the class itself, because a subclass may compute something else.
        """
        layers: list[Any] = list(self.layers)
        return DenseLayers(layers[::2], layers[1::2], self.skip)

    def check_shape(self, shape: Sequence[int]) -> None:
        """Raise ValueError unless X of this shape, batch axis included, is a table."""
        if len(shape) != 2:
            got = ", ".join(["n", *map(str, shape[1:])])
            raise ValueError(
                f"MLP takes tables, X of shape (n, features); got X of shape ({got}). Use X.reshape(len(X), -1), or "
                "module='auto' for images, pairs and graphs."
            )

    def check_inputs(self, X: np.ndarray) -> None:
        """Raise ValueError unless X is a table."""
        self.check_shape(X.shape)
