"""Threat models: which perturbations an attacker may use, and the projections, steps and draws that stay inside."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustxai._validation import check_number, nearest_name

__all__ = ["PerturbationSet", "ThreatModel", "ascend", "input_gradient", "tangent_noise"]


#: By how much, relative to a bound, a value may lie beyond it.
_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class ThreatModel:
    r"""The perturbations :math:`\delta` that an attacker may add to an input x.

    .. math:: \|\delta / s\|_p \le \epsilon, \qquad x + \delta \in [\text{low}, \text{high}], \qquad
        \delta_i = 0 \text{ for frozen } i

    Parameters
    ----------
    epsilon : float, default=0.5
        Radius of the ball, in units of X as the classifier sees it (of `scale` where that is given). 0.5 is half the
        range of one feature scaled to [0, 1].
    norm : {2, inf, "inf"}, default=2
        p.
    bounds : (low, high), optional
        Box that x + delta must stay in; each side a number or an array of shape (*features,).
    frozen : sequence of int, of str, or a boolean mask, optional
        Features that may not be changed, by index, name or mask (age, sex, ...).
    scale : float or array of shape (*features,), optional
        s, one unit of every feature, for data that is not standardised.

    Raises
    ------
    ValueError
        Negative or infinite epsilon, another norm, a low above its high, a scale that is not positive.
    TypeError
        An epsilon that is no number, a frozen feature that is not in a sequence.
    """

    epsilon: float = 0.5
    norm: float | str = 2
    bounds: tuple[Any, Any] | None = None
    frozen: Sequence[int] | Sequence[str] | np.ndarray | None = None
    scale: float | np.ndarray | None = None

    def __post_init__(self) -> None:
        check_number("epsilon", self.epsilon, minimum=0.0)
        if self.norm not in (2, math.inf, "inf"):
            raise ValueError(f"norm={self.norm!r} is not supported; use 2 or inf.")
        if self.bounds is not None:
            if not hasattr(self.bounds, "__len__") or len(self.bounds) != 2:
                raise ValueError(f"bounds must be a pair (low, high), got {self.bounds!r}.")
            low, high = (np.asarray(side, dtype=float) for side in self.bounds)
            if np.isnan(low).any() or np.isnan(high).any() or (low > high).any():
                raise ValueError("bounds must be (low, high) with low <= high everywhere and no NaN.")
        if self.frozen is not None and np.ndim(self.frozen) == 0:
            raise TypeError(f"frozen must be a sequence of features or a mask, got {self.frozen!r}; put it in a list.")
        if self.scale is not None:
            scale = np.asarray(self.scale, dtype=float)
            if not (np.isfinite(scale).all() and (scale > 0).all()):
                raise ValueError("scale must be positive and finite; freeze a feature instead of scaling it to 0.")

    def bind(
        self, X: np.ndarray, feature_names: Sequence[str] | None = None, device: torch.device | str = "cpu"
    ) -> PerturbationSet:
        """The set for inputs like `X` of shape (n, *features).

        Raises
        ------
        ValueError
            A row of X outside `bounds`, an unknown frozen feature, or an array of the wrong shape.
        """
        shape = X.shape[1:]
        low, high = self._box(shape)
        # up to the rounding of float32, in which a network sees it: MinMaxScaler may leave a 1 at 1 + 2e-16
        beyond = [(low - X, low), (X - high, high)]
        outside = np.logical_or(*(gap > _ROUNDING * np.maximum(1.0, np.abs(edge)) for gap, edge in beyond))
        outside = outside.any(axis=tuple(range(1, X.ndim)))
        if outside.any():
            raise ValueError(
                f"{outside.sum()} of {len(X)} rows lie outside the bounds of the threat model (the first is row "
                f"{int(outside.argmax())}). Clip X, for instance by MinMaxScaler(clip=True), or widen the bounds."
            )
        return PerturbationSet(
            epsilon=float(self.epsilon),
            norm=2.0 if self.norm == 2 else math.inf,
            low=torch.tensor(low, dtype=torch.float32, device=device),
            high=torch.tensor(high, dtype=torch.float32, device=device),
            unit=torch.as_tensor(
                self._per_feature("scale", 1.0 if self.scale is None else self.scale, shape)
                * self._free(shape, feature_names),
                dtype=torch.float32,
                device=device,
            ),
        )

    def clip(self, X: np.ndarray) -> np.ndarray:
        """X moved into `bounds`, in its own dtype (float32 arithmetic can leave the box by one rounding)."""
        low, high = self._box(X.shape[1:])
        return np.clip(X, low.astype(X.dtype), high.astype(X.dtype))

    def _box(self, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        low, high = self.bounds if self.bounds is not None else (-np.inf, np.inf)
        return self._per_feature("bounds", low, shape), self._per_feature("bounds", high, shape)

    @staticmethod
    def _per_feature(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
        try:
            return np.broadcast_to(np.asarray(value, dtype=float), shape)
        except ValueError as error:
            raise ValueError(
                f"{name} has shape {np.shape(value)}, which does not fit inputs of shape {shape}."
            ) from error

    def _free(self, shape: tuple[int, ...], feature_names: Sequence[str] | None) -> np.ndarray:
        """1 for features that may change, 0 for frozen ones."""
        free = np.ones(shape)
        if self.frozen is None or len(self.frozen) == 0:
            return free
        frozen = np.asarray(self.frozen)
        if frozen.dtype == bool:
            return np.where(self._per_feature("frozen", frozen, shape) != 0, 0.0, 1.0)
        if frozen.dtype.kind in "UO":
            names = list(feature_names) if feature_names is not None else []
            unknown = [str(name) for name in frozen if name not in names]
            if not names:
                raise ValueError("frozen names features, but the data has no feature names; give indices or a mask.")
            if unknown:
                raise ValueError(f"frozen feature {unknown[0]!r} is not in the data.{nearest_name(unknown[0], names)}")
            frozen = np.array([names.index(name) for name in frozen])
        flat = free.reshape(-1)
        if frozen.dtype.kind not in "iu" or frozen.min() < -flat.size or frozen.max() >= flat.size:
            raise ValueError(f"frozen={self.frozen!r} must be feature names, a mask, or indices below {flat.size}.")
        flat[frozen] = 0.0
        return flat.reshape(shape)


@dataclass(frozen=True, eq=False)
class PerturbationSet:
    """A threat model on a device, for inputs of one shape. Tensors have shape (*features,); x and delta (n, *features).

    A frozen feature is a feature of unit 0: every method then leaves it alone without a case of its own.
    """

    epsilon: float
    norm: float
    low: Tensor
    high: Tensor
    unit: Tensor

    def project(self, delta: Tensor, x: Tensor) -> Tensor:
        """A feasible perturbation near `delta`: into the ball, then x + delta into the box.

        Clipping to a box that holds x shrinks every coordinate, so the second projection cannot undo the first.
        """
        steps = torch.where(self.unit > 0, delta / self.unit.clamp_min(torch.finfo(delta.dtype).tiny), 0.0)
        if self.norm == 2:
            length = _length(steps)
            steps = steps * (self.epsilon / length.clamp_min(torch.finfo(delta.dtype).tiny)).clamp_max(1.0)
        else:
            steps = steps.clamp(-self.epsilon, self.epsilon)
        # x is inside the box up to float32 rounding; min/max keep 0 feasible when it is not
        return (steps * self.unit).clamp((self.low - x).clamp_max(0.0), (self.high - x).clamp_min(0.0))

    def normalise(self, gradient: Tensor) -> Tensor:
        """`gradient` divided row by row by its length over the free features; zero where that is zero."""
        length = _length(gradient * self.unit)
        return torch.where(length > torch.finfo(gradient.dtype).tiny, gradient / length, 0.0)

    def ascent(self, gradient: Tensor) -> Tensor:
        """Steepest-ascent step of length one in the norm of the ball; zero where the gradient is zero."""
        slope = gradient * self.unit
        if self.norm == 2:
            return slope / _length(slope).clamp_min(torch.finfo(slope.dtype).tiny) * self.unit
        return slope.sign() * self.unit

    def random_direction(self, generator: torch.Generator) -> Tensor:
        """A random step of length one, shape (1, *features): uniform on the sphere, or in the cube up to its surface.

        One direction serves all rows, so that a row's result does not depend on the rows beside it.
        """
        shape = (1, *self.unit.shape)
        if self.norm == 2:
            draw = torch.randn(shape, generator=generator).to(self.unit.device) * (self.unit > 0)
            return draw / _length(draw).clamp_min(torch.finfo(draw.dtype).tiny) * self.unit
        draw = (2 * torch.rand(shape, generator=generator) - 1).to(self.unit.device) * (self.unit > 0)
        largest = draw.abs().amax().clamp_min(torch.finfo(draw.dtype).tiny)
        return draw / largest * self.unit


def input_gradient(objective: Tensor, points: Tensor) -> Tensor:
    """Gradient of every row's objective, shape (n,), in `points`; zero where it does not depend on them.

    The explanation of a linear network is a constant, which autograd answers with an error.
    """
    if not objective.requires_grad:
        return torch.zeros_like(points)
    (gradient,) = torch.autograd.grad(objective.sum(), points, allow_unused=True, materialize_grads=True)
    return gradient


def ascend(
    objective: Callable[[Tensor], Tensor],
    x: Tensor,
    space: PerturbationSet,
    *,
    n_steps: int,
    step_size: float,
    start: Tensor | None = None,
) -> Tensor:
    r"""Plain projected gradient ascent, :math:`\delta \leftarrow \Pi(\delta + \eta\, d)`.

    Parameters
    ----------
    objective : callable
        Points of shape (n, *features) to values of shape (n,).
    x : Tensor of shape (n, *features)
        What the ball is around.
    space : PerturbationSet
        Where x + delta must stay.
    n_steps : int
        How many steps.
    step_size : float
        Length of a step in the norm of `space`.
    start : Tensor that broadcasts to x, optional
        First perturbation; none by default.

    Returns
    -------
    Tensor of shape (n, *features)
        The perturbation delta, without a graph.
    """
    x = x.detach()
    delta = torch.zeros_like(x) if start is None else space.project(start.expand_as(x), x)
    for _ in range(n_steps):
        points = (x + delta).requires_grad_()
        with torch.enable_grad():
            gradient = input_gradient(objective(points), points)
        delta = space.project(delta + step_size * space.ascent(gradient), x)
    return delta


def _length(rows: Tensor) -> Tensor:
    """Euclidean length of every row, shape (n, 1, ...), safe against squares that under- or overflow float32."""
    flat = rows.flatten(start_dim=1)
    largest = flat.abs().amax(dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
    length = largest * (flat / largest).square().sum(dim=1, keepdim=True).sqrt()
    return length.reshape(-1, *(1,) * (rows.ndim - 1))


def tangent_noise(direction: Tensor, *, batch_ndim: int = 1) -> Tensor:
    r"""Random vectors of length one perpendicular to `direction`, sample by sample.

    .. math:: \phi_\perp = u - \phi\, \frac{\langle u, \phi\rangle}{\|\phi\|_2^2}, \quad u_i \sim U(-1, 1),
        \qquad \text{returned: } \phi_\perp / \|\phi_\perp\|_2

    Parameters
    ----------
    direction : Tensor of shape (*batch, *features)
        :math:`\phi`; where it is zero, nothing is taken away from u.
    batch_ndim : int, default=1
        How many leading axes are batch axes.

    Returns
    -------
    Tensor shaped like `direction`; zero where a single feature leaves no perpendicular direction

    Notes
    -----
    From torch's global generator, as everything that is drawn inside a training step.
    """
    rows = direction.flatten(start_dim=batch_ndim).flatten(end_dim=-2)
    tiny = torch.finfo(rows.dtype).tiny
    unit = rows / _length(rows).clamp_min(tiny)
    noise = 2 * torch.rand_like(rows) - 1
    size = _length(noise)
    for _ in range(2):  # the second pass takes away what rounding left of the first
        noise = noise - unit * (noise * unit).sum(dim=1, keepdim=True)
    length = _length(noise)
    perpendicular = length > 1e-5 * size  # less is rounding: there is one feature, or all others are frozen
    return torch.where(perpendicular, noise / length.clamp_min(tiny), 0.0).reshape(direction.shape)
