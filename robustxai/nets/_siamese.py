"""Siamese network, which classifies pairs by one encoder of both inputs."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from robustxai._arguments import COUNT, POSITIVE, Choice, Either, Instance, checked, optional
from robustxai._validation import nearest_name
from robustxai.activations import ACTIVATION
from robustxai.nets._conv import ConvNet
from robustxai.nets._graph import GraphNet
from robustxai.nets._mlp import MLP
from robustxai.nets._resnet9 import ResNet9
from robustxai.nets._shaped import SHAPE, ShapedNet, accepted_arguments, check_inputs
from robustxai.protocols import ActivationName, EncoderName

__all__ = ["ENCODERS", "Siamese"]

#: Encoder names. An encoder is a classification network whose logits are the embedding.
ENCODERS: dict[str, type[nn.Module]] = {"conv": ConvNet, "resnet9": ResNet9, "graph": GraphNet, "mlp": MLP}

_ENCODER = Either((Choice(ENCODERS), Instance((nn.Module, type))), words="a name, a module class or a module")


class Siamese(ShapedNet):
    r"""Network on pairs, with one encoder for both inputs and a symmetric head.

    .. math:: e_m = g(x_m), \qquad z(x_1, x_2) = W_1\,(e_1 - e_2)^2 + W_2\,(e_1 \odot e_2) + b

    The result does not depend on the order of the pair. Squares replace the usual :math:`|e_1 - e_2|`, which has its
    kink at pairs of equal embeddings, to which training moves half of the pairs. With squares and products, the network
    is as smooth as its encoder. Together they span the symmetric quadratic forms without mixed terms, including the
    weighted distance and the weighted inner product.

    Parameters
    ----------
    in_shape : (2, channels, height, width) or (2, features)
        Shape of a sample. Pairs of graphs are (2, 1, nodes, nodes).
    n_classes : int
        Number of logits.
    encoder : {"conv", "resnet9", "graph", "mlp"}, module class or module, default="conv"
        g. A class is called with those of these arguments that it has: ``in_shape`` or ``n_features`` of one input,
        ``n_classes`` (the width of the embedding), ``activation`` and ``beta``. A module is copied, with its weights,
        and keeps its own activation.
    embedding : int, default=64
        Requested width of the embedding; a module as `encoder` has its own.
    activation : {"softplus", "relu", "sigmoid", "tanh", "gelu", "silu"} or subclass of nn.Module, default="softplus"
        Activation of the encoder.
    beta : float, default=1.0
        Sharpness of the encoder's softplus.
    encoder_params : dict, optional
        More arguments for the encoder's class, such as ``{"width": 8}`` for "resnet9".

    Raises
    ------
    ValueError
        Samples are not pairs, the encoder does not take them, or a name is unknown.

    References
    ----------
    Bromley et al., *Signature verification using a "siamese" time delay neural network*, 1993; Koch et al., *Siamese
    neural networks for one-shot image recognition*, 2015.
    """

    takes = "pairs, X of shape (n, 2, channels, height, width), (n, 2, 1, nodes, nodes) or (n, 2, features)"

    @checked(
        in_shape=SHAPE,
        n_classes=COUNT,
        encoder=_ENCODER,
        embedding=COUNT,
        activation=ACTIVATION,
        beta=POSITIVE,
        encoder_params=optional(Instance(Mapping)),
    )
    def __init__(
        self,
        in_shape: Sequence[int],
        n_classes: int,
        encoder: EncoderName | type[nn.Module] | nn.Module = "conv",
        embedding: int = 64,
        activation: ActivationName | type[nn.Module] = "softplus",
        beta: float = 1.0,
        encoder_params: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(in_shape)
        single = self.in_shape[1:]
        wanted = {
            "in_shape": single,
            "n_features": int(np.prod(single)),
            "n_classes": embedding,
            "activation": activation,
            "beta": beta,
        }
        self.encoder = _make_encoder(encoder, wanted, dict(encoder_params or {}))
        self.head = nn.Linear(2 * _width(self.encoder, single), n_classes)

    @classmethod
    def _problem(cls, in_shape: tuple[int, ...]) -> str | None:
        if len(in_shape) in (2, 4) and in_shape[0] == 2:
            return None
        if len(in_shape) == 3 and in_shape[0] == 2:
            return "The images or graphs of a pair need a channel axis: X[:, :, None]."
        return "Stack the two inputs of a pair along axis 1: np.stack([first, second], axis=1)."

    def check_inputs(self, X: np.ndarray) -> None:
        """Raise ValueError unless X has the network's shape and the encoder takes both inputs of the pairs."""
        super().check_inputs(X)
        check_inputs(self.encoder, X.reshape(-1, *X.shape[2:]))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, shape (*batch, n_classes), of x of shape (*batch, *in_shape)."""
        batch = x.shape[: x.ndim - len(self.in_shape)]
        # one call, so that batch normalization in the encoder uses the same statistics for both inputs
        embedded = self.encoder(x.reshape(-1, *self.in_shape[1:])).reshape(*batch, 2, -1)
        first, second = embedded.unbind(dim=-2)
        return self.head(torch.cat([(first - second).square(), first * second], dim=-1))


def _make_encoder(
    encoder: EncoderName | type[nn.Module] | nn.Module, wanted: dict[str, Any], params: dict[str, Any]
) -> nn.Module:
    """Return the encoder by its name or class, or a copy of a module."""
    if isinstance(encoder, nn.Module):
        if params:
            raise ValueError("encoder_params need an encoder by name or class. Leave them out for a module.")
        return copy.deepcopy(encoder)  # a second fit must not start from the weights of the first one
    kind: Any = encoder
    if isinstance(encoder, str):
        kind = ENCODERS[encoder]
        names = set(inspect.signature(kind.__init__).parameters) - {"self"}
        for name in params:
            if name not in names:
                raise ValueError(f"{kind.__name__} has no parameter {name!r}.{nearest_name(name, names)}")
    if not (inspect.isclass(kind) and issubclass(kind, nn.Module)):
        raise TypeError(f"encoder must be a name, a module class or a module, got {encoder!r}.")
    if kind is MLP and len(wanted["in_shape"]) != 1:
        raise ValueError("The encoder 'mlp' takes pairs of table rows, X of shape (n, 2, features).")
    return kind(**{**accepted_arguments(kind, wanted), **params})


def _width(encoder: nn.Module, in_shape: tuple[int, ...]) -> int:
    """Return the number of outputs of the encoder, which may differ from the requested one for a user's module."""
    trial = copy.deepcopy(encoder).eval()  # the trial must not change batch statistics
    parameter = next(trial.parameters(), torch.empty(0))
    with torch.no_grad():
        return int(trial(parameter.new_zeros(1, *in_shape)).shape[-1])
