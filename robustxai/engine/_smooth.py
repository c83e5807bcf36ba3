"""Smooth surrogates of piecewise linear modules; each approaches the module that it replaces as beta grows."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from robustxai.activations import ACTIVATIONS
from robustxai.engine._windows import Windows, pool_pairs

__all__ = ["SmoothClamp", "SmoothLeaky", "SmoothMaxPool", "SmoothReLU", "SmoothUnit"]


class SmoothReLU(nn.Softplus):
    """Softplus as the surrogate of a ReLU; a separate class, because a network may have softplus units of its own."""

    def forward(self, z: Tensor) -> Tensor:
        """Return the values at z, shaped like z."""
        forward = ACTIVATIONS["softplus"].forward_in_input
        assert forward is not None
        return forward(self, z)


class SmoothUnit(nn.Module):
    """Smooth surrogate that the record of an activation declares.

    Parameters
    ----------
    surrogate : callable
        ``(z, beta) -> values``.
    beta : float
        Sharpness.
    """

    def __init__(self, surrogate: Callable[[Tensor, float], Tensor], beta: float) -> None:
        super().__init__()
        self.surrogate, self.beta = surrogate, beta

    def forward(self, z: Tensor) -> Tensor:
        """Return the values at z, shaped like z."""
        return self.surrogate(z, self.beta)


class SmoothLeaky(nn.Module):
    r"""Surrogate of a leaky ReLU, with softplus in place of the kink: :math:`a z + (1 - a)\,\mathrm{softplus}(z)`.

    Parameters
    ----------
    slope : float or Parameter
        a, the slope below zero; a Parameter has one entry per channel (axis 1) or a single entry.
    beta : float
        Sharpness.
    """

    def __init__(self, slope: float | nn.Parameter, beta: float) -> None:
        super().__init__()
        self.slope = slope
        self.kink = SmoothReLU(beta=beta)

    def forward(self, z: Tensor) -> Tensor:
        """Return the values at z, shaped like z."""
        slope: float | Tensor = self.slope
        if isinstance(slope, Tensor) and slope.numel() > 1:
            slope = slope.reshape(-1, *(1,) * (z.ndim - 2))
        return slope * z + (1 - slope) * self.kink(z)


class SmoothClamp(nn.Module):
    r"""Surrogate of a clamp to [low, high]: :math:`l + \mathrm{softplus}(z - l) - \mathrm{softplus}(z - h)`.

    Parameters
    ----------
    low, high : float
        Limits of the clamp (0 and 6 for ReLU6).
    beta : float
        Sharpness.
    """

    def __init__(self, low: float, high: float, beta: float) -> None:
        super().__init__()
        self.low, self.high = low, high
        self.kink = SmoothReLU(beta=beta)

    def forward(self, z: Tensor) -> Tensor:
        """Return the values at z, shaped like z."""
        return self.low + self.kink(z - self.low) - self.kink(z - self.high)


class SmoothMaxPool(nn.Module):
    r"""Surrogate of a max-pooling, with the log of a sum of exponentials in place of the maximum.

    .. math:: \frac{1}{\beta} \log \sum_{p \in \text{window}} e^{\beta z_p}

    Softplus, the surrogate of ReLU, is the same expression of 0 and z. The value is above the maximum by at most
    :math:`\log(n) / \beta` for windows of n places. Windows are those of torch (stride, padding, dilation, ceil_mode,
    adaptive output sizes). The axes are pooled one after the other, with the same result.

    Parameters
    ----------
    pool : MaxPool1d, 2d, 3d or AdaptiveMaxPool1d, 2d, 3d
        Replaced pooling.
    beta : float
        Sharpness.
    """

    def __init__(self, pool: nn.Module, beta: float) -> None:
        super().__init__()
        self.windows = Windows(pool)
        self.beta = beta

    def forward(self, z: Tensor) -> Tensor:
        """Return the pooled values of z of shape ([n,] channels, *places)."""
        for axis in reversed(range(self.windows.n_axes)):
            dim = z.ndim - self.windows.n_axes + axis
            width = self.windows.side_by_side(z.shape[dim], axis)
            z = self._pool(z, dim, axis) if width is None else pool_pairs(z, dim, width, self.beta)
        return z

    def _pool(self, z: Tensor, dim: int, axis: int) -> Tensor:
        size = z.shape[dim]
        windows = list(self.windows.places(size, axis))
        longest = max(len(window) for window in windows)
        # one more place of value -inf, which adds nothing to a sum, stands for padding and for the end of the axis
        index = torch.tensor([window + [size] * (longest - len(window)) for window in windows], device=z.device)
        nothing = torch.full_like(z.narrow(dim, 0, 1), -torch.inf)
        places = torch.cat([z * self.beta, nothing], dim=dim).index_select(dim, index.flatten())
        return places.unflatten(dim, index.shape).logsumexp(dim=dim + 1) / self.beta

    def extra_repr(self) -> str:
        """Return the windows and beta, for ``print``."""
        return ", ".join(f"{name}={value}" for name, value in self.windows.options.items()) + f", beta={self.beta}"
