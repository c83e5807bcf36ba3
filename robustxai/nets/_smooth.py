"""Smooth stand-ins for what is piecewise linear; each approaches the module it stands for as beta grows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from robustxai.nets._softplus import pairs, softplus

__all__ = ["SmoothClamp", "SmoothLeaky", "SmoothMaxPool", "SmoothReLU"]


class SmoothReLU(nn.Softplus):
    """Softplus in the place of a ReLU: a class of its own, because a network may have softplus units of its own too."""

    def forward(self, z: Tensor) -> Tensor:
        """Values at z, shaped like z."""
        return softplus(z, self.beta)


class SmoothLeaky(nn.Module):
    r"""Leaky ReLU with softplus as its kink, :math:`a z + (1 - a)\,\mathrm{softplus}(z)`.

    Parameters
    ----------
    slope : float or Parameter
        a, the slope below zero; a Parameter with one entry per channel (axis 1) or a single one.
    beta : float
        Sharpness.
    """

    def __init__(self, slope: float | nn.Parameter, beta: float) -> None:
        super().__init__()
        self.slope = slope
        self.kink = SmoothReLU(beta=beta)

    def forward(self, z: Tensor) -> Tensor:
        """Values at z, shaped like z."""
        slope: float | Tensor = self.slope
        if isinstance(slope, Tensor) and slope.numel() > 1:
            slope = slope.reshape(-1, *(1,) * (z.ndim - 2))
        return slope * z + (1 - slope) * self.kink(z)


class SmoothClamp(nn.Module):
    r"""Clamp to [low, high] by two kinks of softplus, :math:`l + \mathrm{softplus}(z - l) - \mathrm{softplus}(z - h)`.

    Parameters
    ----------
    low, high : float
        Where the module that it stands for is cut off (0 and 6 for ReLU6).
    beta : float
        Sharpness.
    """

    def __init__(self, low: float, high: float, beta: float) -> None:
        super().__init__()
        self.low, self.high = low, high
        self.kink = SmoothReLU(beta=beta)

    def forward(self, z: Tensor) -> Tensor:
        """Values at z, shaped like z."""
        return self.low + self.kink(z - self.low) - self.kink(z - self.high)


class SmoothMaxPool(nn.Module):
    r"""Max-pooling with the log of a sum of exponentials in the place of the maximum.

    .. math:: \frac{1}{\beta} \log \sum_{p \in \text{window}} e^{\beta z_p}

    It is to the maximum what softplus, the same expression of 0 and z, is to ReLU; too high by at most
    :math:`\log(n) / \beta` for windows of n places. Windows are those of torch (stride, padding, dilation, ceil_mode,
    adaptive output sizes); one axis after the other is pooled, which comes to the same.

    Parameters
    ----------
    pool : MaxPool1d, 2d, 3d or AdaptiveMaxPool1d, 2d, 3d
        What it stands for.
    beta : float
        Sharpness.
    """

    def __init__(self, pool: nn.Module, beta: float) -> None:
        super().__init__()
        self.n_axes = next(n for kind, n in _N_POOLED.items() if isinstance(pool, kind))
        self.adaptive = isinstance(pool, _ADAPTIVE)
        names = ("output_size",) if self.adaptive else ("kernel_size", "stride", "padding", "dilation")
        self.options = {name: _each(getattr(pool, name), self.n_axes) for name in names}
        self.ceil_mode = bool(getattr(pool, "ceil_mode", False))
        self.beta = beta

    def forward(self, z: Tensor) -> Tensor:
        """Pooled values of z of shape ([n,] channels, *places)."""
        for axis in range(self.n_axes):
            dim = z.ndim - self.n_axes + axis
            width = self._side_by_side(z.shape[dim], axis)
            z = self._pool(z, dim, axis) if width is None else self._pool_pairs(z, dim, width)
        return z

    def _pool_pairs(self, z: Tensor, dim: int, width: int) -> Tensor:
        """Windows side by side, of a width that is a power of two: neighbours with each other, until one is left."""
        if rest := z.shape[dim] % width:
            z = z.narrow(dim, 0, z.shape[dim] - rest)
        for _ in range(width.bit_length() - 1):
            one, other = pairs(z, dim)
            z = other + softplus(one - other, self.beta)
        return z

    def _pool(self, z: Tensor, dim: int, axis: int) -> Tensor:
        size = z.shape[dim]
        windows = list(self._windows(size, axis))
        longest = max(len(window) for window in windows)
        # what is not in a window, be it padding or the end of the axis, is one more place that adds nothing to a sum
        index = torch.tensor([window + [size] * (longest - len(window)) for window in windows], device=z.device)
        nothing = torch.full_like(z.narrow(dim, 0, 1), -torch.inf)
        places = torch.cat([z * self.beta, nothing], dim=dim).index_select(dim, index.flatten())
        return places.unflatten(dim, index.shape).logsumexp(dim=dim + 1) / self.beta

    def _side_by_side(self, size: int, axis: int) -> int | None:
        """Width of the windows along an axis of `size` places if they lie side by side and are a power of two wide."""
        options: dict[str, Any] = {name: values[axis] for name, values in self.options.items()}
        if self.adaptive:
            n = size if options["output_size"] is None else options["output_size"]
            width, rest = divmod(size, n)
            return None if rest or width.bit_count() > 1 else width
        kernel, stride, padding, dilation = options.values()
        plain = stride == kernel and not padding and dilation == 1 and not (self.ceil_mode and size % kernel)
        return kernel if plain and kernel.bit_count() == 1 else None

    def _windows(self, size: int, axis: int) -> Iterator[list[int]]:
        """The places of every window along an axis of `size` places."""
        options: dict[str, Any] = {name: values[axis] for name, values in self.options.items()}
        if self.adaptive:
            n = size if options["output_size"] is None else options["output_size"]
            yield from (list(range(i * size // n, -(-(i + 1) * size // n))) for i in range(n))
            return
        kernel, stride, padding, dilation = options.values()
        reach = dilation * (kernel - 1) + 1
        rest = size + 2 * padding - reach
        n = (-(-rest // stride) if self.ceil_mode else rest // stride) + 1
        if self.ceil_mode and (n - 1) * stride >= size + padding:
            n -= 1  # as in torch: no window begins in the padding on the right
        for i in range(n):
            start = i * stride - padding
            yield [place for place in range(start, start + reach, dilation) if 0 <= place < size]

    def extra_repr(self) -> str:
        """What it pools, for ``print``."""
        return ", ".join(f"{name}={value}" for name, value in self.options.items()) + f", beta={self.beta}"


_ADAPTIVE = (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)
_N_POOLED: dict[type[nn.Module], int] = {
    nn.MaxPool1d: 1, nn.MaxPool2d: 2, nn.MaxPool3d: 3,
    nn.AdaptiveMaxPool1d: 1, nn.AdaptiveMaxPool2d: 2, nn.AdaptiveMaxPool3d: 3,
}  # fmt: skip


def _each(value: Any, n_axes: int) -> tuple[Any, ...]:
    """An option of a pooling as one value per axis."""
    return tuple(value) if isinstance(value, Sequence) else (value,) * n_axes
