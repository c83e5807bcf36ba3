"""Same or different: two members of a pair through one encoder."""

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
    r"""A network on pairs: one encoder for both members, and a head that does not know which is which.

    .. math:: e_m = g(x_m), \qquad z(x_1, x_2) = W_1\,(e_1 - e_2)^2 + W_2\,(e_1 \odot e_2) + b

    The head is symmetric in the pair. The squares stand in the place of the usual :math:`|e_1 - e_2|`, whose kink lies
    where the members are alike, which is where half of the pairs are trained to be: with squares and products all
    derivatives of the network are those of its encoder. Together they span the symmetric quadratic forms without
    mixed terms, the weighted distance and the weighted inner product among them.

    Parameters
    ----------
    in_shape : (2, channels, height, width) or (2, features)
        Shape of a sample. Pairs of graphs are (2, 1, nodes, nodes).
    n_classes : int
        Number of logits.
    encoder : {"conv", "resnet9", "graph", "mlp"}, module class or module, default="conv"
        g. A class gets what it names of ``in_shape`` or ``n_features`` of a member, ``n_classes`` (the width of the
        embedding), ``activation`` and ``beta``. A module is copied, with its weights, and has its own activation.
    embedding : int, default=64
        Width of the embedding that is asked for.
    activation : {"softplus", "relu", "sigmoid", "tanh", "gelu", "silu"} or subclass of nn.Module, default="softplus"
        Of the encoder.
    beta : float, default=1.0
        Sharpness of the encoder's softplus.
    encoder_params : dict, optional
        More arguments for the encoder's class, such as ``{"width": 8}`` for "resnet9".

    Raises
    ------
    ValueError
        Samples that are no pairs, or pairs that the encoder does not take; unknown names.

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
        member = self.in_shape[1:]
        wanted = {
            "in_shape": member,
            "n_features": int(np.prod(member)),
            "n_classes": embedding,
            "activation": activation,
            "beta": beta,
        }
        self.encoder = _make_encoder(encoder, wanted, dict(encoder_params or {}))
        self.head = nn.Linear(2 * _width(self.encoder, member), n_classes)

    @classmethod
    def _problem(cls, in_shape: tuple[int, ...]) -> str | None:
        if len(in_shape) in (2, 4) and in_shape[0] == 2:
            return None
        if len(in_shape) == 3 and in_shape[0] == 2:
            return "The members need a channel axis: X[:, :, None]."
        return "Two members are stacked along axis 1: np.stack([first, second], axis=1)."

    def check_inputs(self, X: np.ndarray) -> None:
        """ValueError unless X has the shape that the network was built for and its members are fit for the encoder."""
        super().check_inputs(X)
        check_inputs(self.encoder, X.reshape(-1, *X.shape[2:]))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape (*batch, n_classes) for x of shape (*batch, *in_shape)."""
        batch = x.shape[: x.ndim - len(self.in_shape)]
        # one call: batch normalization in the encoder sees both members with the same statistics
        embedded = self.encoder(x.reshape(-1, *self.in_shape[1:])).reshape(*batch, 2, -1)
        first, second = embedded.unbind(dim=-2)
        return self.head(torch.cat([(first - second).square(), first * second], dim=-1))


def _make_encoder(
    encoder: EncoderName | type[nn.Module] | nn.Module, wanted: dict[str, Any], params: dict[str, Any]
) -> nn.Module:
    """The encoder by name, from its class, or as a copy of a module."""
    if isinstance(encoder, nn.Module):
        if params:
            raise ValueError("encoder_params are for an encoder by name or class; this one is made already.")
        return copy.deepcopy(encoder)  # a second fit must not begin where the first one ended
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


def _width(encoder: nn.Module, member: tuple[int, ...]) -> int:
    """Number of outputs of the encoder: a module of the user's own need not have what was asked for."""
    trial = copy.deepcopy(encoder).eval()  # a look at it must not count for batch normalization
    parameter = next(trial.parameters(), torch.empty(0))
    with torch.no_grad():
        return int(trial(parameter.new_zeros(1, *member)).shape[-1])
