"""Small convolutional network for images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from robustxai._arguments import COUNT, POSITIVE, Each, checked
from robustxai.activations import ACTIVATION, make_activation
from robustxai.nets._pool import POOL, make_pool
from robustxai.nets._shaped import SHAPE, ShapedNet
from robustxai.protocols import ActivationName, PoolName

__all__ = ["ConvNet"]


class ConvNet(ShapedNet):
    r"""3 x 3 convolutions, each with an activation and a pooling that halves the image, and a perceptron.

    For images of 28 x 28 pixels the default is the network of the ATEX paper, with 1568 features before the perceptron.
    The paper's code has ReLU after the convolutions and tanh in the perceptron. This network uses one activation
    everywhere, as in the paper's text.

    Parameters
    ----------
    in_shape : (channels, height, width)
        Shape of a sample; at least 4 x 4 pixels. If a side is not a multiple of 4, the poolings drop the rest, as in
        torch.
    n_classes : int
        Number of logits.
    channels : sequence of int, default=(32, 32)
        Channels of the convolutions. Each convolution is followed by a pooling that halves the sides.
    hidden : sequence of int, default=(120,)
        Hidden widths of the perceptron.
    activation : {"softplus", "relu", "sigmoid", "tanh", "gelu", "silu"} or subclass of nn.Module, default="softplus"
        As in :class:`MLP`.
    beta : float, default=1.0
        Sharpness of softplus; ReLU in the limit.
    pool : {"max", "average"}, default="max"
        Pooling. The average is linear. The gradient of the maximum jumps from pixel to pixel, with any activation.

    Raises
    ------
    ValueError
        Samples are not images or too small for the poolings, or a name is unknown.

    References
    ----------
    Tang et al., *Defense against explanation manipulation*, 2021.
    """

    takes = "images, X of shape (n, channels, height, width)"

    @checked(
        in_shape=SHAPE,
        n_classes=COUNT,
        channels=Each(COUNT),
        hidden=Each(COUNT),
        activation=ACTIVATION,
        beta=POSITIVE,
        pool=POOL,
    )
    def __init__(
        self,
        in_shape: Sequence[int],
        n_classes: int,
        channels: Sequence[int] = (32, 32),
        hidden: Sequence[int] = (120,),
        activation: ActivationName | type[nn.Module] = "softplus",
        beta: float = 1.0,
        pool: PoolName = "max",
    ) -> None:
        super().__init__(in_shape)
        n_channels, height, width = self.in_shape
        shrink = 2 ** len(channels)
        if min(height, width) < shrink:
            raise ValueError(
                f"ConvNet halves the image {len(channels)} times and needs sides of at least {shrink} pixels, "
                f"got {height} x {width}. Give fewer channels or larger images."
            )
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise([n_channels, *channels]):
            layers += [nn.Conv2d(n_in, n_out, 3, padding=1), make_activation(activation, beta), make_pool(pool, 2)]
        n_last = channels[-1] if len(channels) else n_channels
        widths = [n_last * (height // shrink) * (width // shrink), *hidden]
        layers.append(nn.Flatten())
        for n_in, n_out in pairwise(widths):
            layers += [nn.Linear(n_in, n_out), make_activation(activation, beta)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], n_classes))

    @classmethod
    def _problem(cls, in_shape: tuple[int, ...]) -> str | None:
        return image_problem(in_shape)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, shape (n, n_classes), of x of shape (n, channels, height, width)."""
        return self.layers(x)


def image_problem(in_shape: tuple[int, ...]) -> str | None:
    """Return advice for samples that are not images with a channel axis; None for such images."""
    if len(in_shape) == 3 and min(in_shape) > 0:
        return None
    if len(in_shape) == 1:
        return "Use module='auto' or MLP for a table."
    return "Images without a channel axis need one: X[:, None]." if len(in_shape) == 2 else ""
