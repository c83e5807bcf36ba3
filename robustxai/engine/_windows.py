"""Windows of a max-pooling, and a fast pooling for adjacent windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from robustxai.engine._maximum import maximum_of_pairs

__all__ = ["Windows", "pool_pairs"]


class Windows:
    """Places in the windows of a max-pooling of torch, axis by axis.

    Parameters
    ----------
    pool : MaxPool1d, 2d, 3d or AdaptiveMaxPool1d, 2d, 3d
        Pooling; its stride, padding, dilation and ceil_mode, or its output size, are read.
    """

    def __init__(self, pool: nn.Module) -> None:
        self.n_axes = next(n for kind, n in _N_POOLED.items() if isinstance(pool, kind))
        self.adaptive = isinstance(pool, _ADAPTIVE)
        names = ("output_size",) if self.adaptive else ("kernel_size", "stride", "padding", "dilation")
        self.options = {name: _each(getattr(pool, name), self.n_axes) for name in names}
        self.ceil_mode = bool(getattr(pool, "ceil_mode", False))

    def side_by_side(self, size: int, axis: int) -> int | None:
        """Return the width of the windows along an axis of `size` places; None unless the fast pooling applies.

        It applies to windows that are adjacent, do not overlap and have a power of two as width.
        """
        options: dict[str, Any] = {name: values[axis] for name, values in self.options.items()}
        if self.adaptive:
            n = size if options["output_size"] is None else options["output_size"]
            width, rest = divmod(size, n)
            return None if rest or width.bit_count() != 1 else width
        kernel, stride, padding, dilation = options.values()
        plain = stride == kernel and not padding and dilation == 1 and not (self.ceil_mode and size % kernel)
        return kernel if plain and kernel.bit_count() == 1 and size >= kernel else None

    def places(self, size: int, axis: int) -> Iterator[list[int]]:
        """Yield the places of every window along an axis of `size` places."""
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
            n -= 1  # as in torch: no window starts in the padding on the right
        for i in range(n):
            start = i * stride - padding
            yield [place for place in range(start, start + reach, dilation) if 0 <= place < size]


def pool_pairs(z: Tensor, dim: int, width: int, beta: float | None = None) -> Tensor:
    """Pool adjacent windows, whose width is a power of two, by repeated maxima of two neighbors.

    Parameters
    ----------
    z : Tensor
        Values.
    dim : int
        Pooled axis; places after the last whole window are ignored.
    width : int
        Width of the windows.
    beta : float, optional
        Sharpness of the smooth surrogate; the maximum itself by default.
    """
    if rest := z.shape[dim] % width:
        z = z.narrow(dim, 0, z.shape[dim] - rest)
    for _ in range(width.bit_length() - 1):
        z = maximum_of_pairs(z, dim, beta)
    return z


_ADAPTIVE = (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)
_N_POOLED: dict[type[nn.Module], int] = {
    nn.MaxPool1d: 1, nn.MaxPool2d: 2, nn.MaxPool3d: 3,
    nn.AdaptiveMaxPool1d: 1, nn.AdaptiveMaxPool2d: 2, nn.AdaptiveMaxPool3d: 3,
}  # fmt: skip


def _each(value: Any, n_axes: int) -> tuple[Any, ...]:
    """Return an option of a pooling as one value per axis."""
    return tuple(value) if isinstance(value, Sequence) else (value,) * n_axes
