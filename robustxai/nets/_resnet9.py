"""Residual network of nine layers for images."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from robustxai._arguments import COUNT, POSITIVE, checked
from robustxai.activations import ACTIVATION, make_activation
from robustxai.nets._conv import image_problem
from robustxai.nets._pool import POOL, make_pool
from robustxai.nets._shaped import SHAPE, ShapedNet
from robustxai.protocols import ActivationName, PoolName

__all__ = ["ResNet9"]


class ResNet9(ShapedNet):
    r"""Eight 3 x 3 convolutions with batch normalization, two residual blocks, and a linear layer.

    .. math:: h_1 = B_2(B_1(x)), \quad h_2 = h_1 + R_1(h_1), \quad h_3 = B_4(B_3(h_2)), \quad h_4 = h_3 + R_2(h_3),
        \quad z(x) = W\,\mathrm{pool}(h_4) + b

    with widths w, 2w (pooled) and 2w, 2w for :math:`R_1`, then 4w and 8w (both pooled) and 8w, 8w for :math:`R_2`.
    Each block is convolution, batch normalization, activation. The last pooling covers the whole remaining image: 4 x 4
    places for the 32 x 32 pixels of the published code.

    Parameters
    ----------
    in_shape : (channels, height, width)
        Shape of a sample; at least 8 x 8 pixels. If a side is not a multiple of 8, the three poolings drop the rest.
    n_classes : int
        Number of logits.
    width : int, default=64
        w, channels of the first convolution. 64 is the published network of 6.6 million weights; 4 is small enough for
        a CPU.
    activation : {"softplus", "relu", "sigmoid", "tanh", "gelu", "silu"} or subclass of nn.Module, default="softplus"
        As in :class:`MLP`.
    beta : float, default=1.0
        Sharpness of softplus; the published smooth variant has 0.5.
    pool : {"max", "average"}, default="max"
        As in :class:`ConvNet`, for all four poolings.

    Raises
    ------
    ValueError
        Samples are not images or too small for the poolings, or a name is unknown.

    Notes
    -----
    In training mode, batch normalization makes a row's logits depend on the other rows of its batch. Penalties use
    evaluation-mode batch normalization: :class:`robustxai.penalties.ExplainedBatch`.

    References
    ----------
    Chen et al., *Training for stable explanation for free*, 2024, published code for CIFAR-10.
    """

    takes = "images of at least 8 x 8 pixels, X of shape (n, channels, height, width)"

    @checked(in_shape=SHAPE, n_classes=COUNT, width=COUNT, activation=ACTIVATION, beta=POSITIVE, pool=POOL)
    def __init__(
        self,
        in_shape: Sequence[int],
        n_classes: int,
        width: int = 64,
        activation: ActivationName | type[nn.Module] = "softplus",
        beta: float = 1.0,
        pool: PoolName = "max",
    ) -> None:
        super().__init__(in_shape)

        def block(n_in: int, n_out: int, *more: nn.Module) -> nn.Sequential:
            convolution = nn.Conv2d(n_in, n_out, 3, padding=1)
            return nn.Sequential(convolution, nn.BatchNorm2d(n_out), make_activation(activation, beta), *more)

        n_channels, height, breadth = self.in_shape
        w = width
        self.first = nn.Sequential(block(n_channels, w), block(w, 2 * w, make_pool(pool, 2)))
        self.first_residual = nn.Sequential(block(2 * w, 2 * w), block(2 * w, 2 * w))
        self.second = nn.Sequential(block(2 * w, 4 * w, make_pool(pool, 2)), block(4 * w, 8 * w, make_pool(pool, 2)))
        self.second_residual = nn.Sequential(block(8 * w, 8 * w), block(8 * w, 8 * w))
        rest = make_pool(pool, (height // 8, breadth // 8))
        self.classifier = nn.Sequential(rest, nn.Flatten(), nn.Linear(8 * w, n_classes))

    @classmethod
    def _problem(cls, in_shape: tuple[int, ...]) -> str | None:
        problem = image_problem(in_shape)
        if problem is None and min(in_shape[1:]) < 8:
            return "Enlarge the images, or use ConvNet."
        return problem

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, shape (n, n_classes), of x of shape (n, channels, height, width)."""
        h = self.first(x)
        h = h + self.first_residual(h)
        h = self.second(h)
        h = h + self.second_residual(h)
        return self.classifier(h)
