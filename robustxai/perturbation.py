"""Threat models: which perturbations an attacker may use, and the projections, steps and draws that stay inside."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustxai._arguments import (
    COUNT,
    NORM,
    NOT_NEGATIVE,
    Either,
    Function,
    Has,
    Instance,
    Nothing,
    Number,
    Numbers,
    Rows,
    check_arguments,
    checked,
    optional,
)
from robustxai._columns import by_feature, indices_of
from robustxai._short_repr import short_repr
from robustxai.protocols import Norm

__all__ = ["PerturbationSet", "ThreatModel", "ascend", "input_gradient", "tangent_noise"]


#: By how much, relative to a bound, a value may lie beyond it.
_ROUNDING = 1e-6

_TENSOR = Instance(Tensor)
_X = Has(("shape", "ndim", "dtype"), words="an array of shape (n_samples, *features)")
_NAMES = Either((Rows(), Nothing()), words="a sequence of names or None")
_SIDE = optional(Numbers(finite=False))
_SCALE = Numbers(finite=False, words="a number, an array or a mapping of features to numbers")


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
    bounds : (low, high) or mapping, optional
        Box that x + delta must stay in; each side a number or an array of shape (*features,). Of single features, by
        name or index: ``{"age": (18, 90), "debt": (0, None)}``; all others are free then.
    frozen : sequence of int, of str, or a boolean mask, optional
        Features that may not be changed, by index, name or mask (age, sex, ...).
    scale : float, array of shape (*features,) or mapping, optional
        s, one unit of every feature, for data that is not standardized. Of single features, by name or index:
        ``{"age": 10}``; the unit of all others is 1 then.

    Raises
    ------
    ValueError
        Negative or infinite epsilon, another norm, a low above its high, a scale that is not positive.
    TypeError
        An epsilon that is no number, a frozen feature that is not in a sequence.

    Notes
    -----
    A name means the feature of that name. Where there is none it means the column of a table that a preprocessor made
    into several features, as scikit-learn names them: "purpose" means "purpose_car", "purpose_radio", ..., with or
    without the step of a ColumnTransformer before them ("levels__purpose_car"), and "age" means "numbers__age". "age"
    never means "age_group" where there is a feature "age". Names that may mean several columns, by the names or by the
    rows of X, are refused. A frozen column keeps the indicator of its missing values too.

    Examples
    --------
    >>> threat = ThreatModel(0.5, frozen=["sex"], scale={"age": 10.0}, bounds={"age": (18, 90)})
    >>> space = threat.bind(np.array([[30.0, 0.0, 1.0]]), ["age", "sex_female", "sex_male"])
    >>> space.unit.tolist(), space.low.tolist()
    ([10.0, 0.0, 0.0], [18.0, -inf, -inf])
    """

    epsilon: float = 0.5
    norm: Norm = 2
    bounds: tuple[Any, Any] | Mapping[Any, tuple[Any, Any]] | None = None
    frozen: Sequence[int] | Sequence[str] | np.ndarray | None = None
    scale: float | np.ndarray | Mapping[Any, float] | None = None

    _constraints = {"epsilon": NOT_NEGATIVE, "norm": NORM}

    __repr__ = short_repr

    def __post_init__(self) -> None:
        check_arguments(self)
        if self.bounds is not None:
            pairs = self.bounds.values() if isinstance(self.bounds, Mapping) else [self.bounds]
            for pair in pairs:
                if not isinstance(pair, (tuple, list, np.ndarray)) or getattr(pair, "ndim", 1) == 0 or len(pair) != 2:
                    raise ValueError(f"bounds must be a pair (low, high), or such pairs by feature, got {pair!r}.")
                for side in pair:
                    _SIDE.check("bounds", side, "ThreatModel")
                low, high = (np.asarray(side, dtype=float) for side in _sides(pair))
                if np.isnan(low).any() or np.isnan(high).any() or (low > high).any():
                    raise ValueError("bounds must be (low, high) with low <= high everywhere and no NaN.")
        if self.frozen is not None and (Rows().fault(self.frozen) or isinstance(self.frozen, Mapping)):
            raise TypeError(f"frozen must be a sequence of features or a mask, got {self.frozen!r}; put it in a list.")
        if self.scale is not None:
            values = list(self.scale.values()) if isinstance(self.scale, Mapping) else self.scale
            _SCALE.check("scale", values, "ThreatModel")
            scale = np.asarray(values, dtype=float)
            if not (np.isfinite(scale).all() and (scale > 0).all()):
                raise ValueError("scale must be positive and finite; freeze a feature instead of scaling it to 0.")

    @checked(X=_X, feature_names=_NAMES)
    def resolve(self, X: np.ndarray, feature_names: Sequence[str] | None = None) -> ThreatModel:
        """The same threat model for inputs like `X` of shape (n, *features), without names.

        Bounds and units are arrays of shape (*features,), frozen features a mask.

        Raises
        ------
        ValueError, TypeError
            An unknown or ambiguous name, or an array of the wrong shape.
        """
        shape = X.shape[1:]
        names = None if feature_names is None else [str(name) for name in feature_names]
        changed: dict[str, Any] = {}
        if isinstance(self.scale, Mapping):
            changed["scale"] = by_feature(self.scale, 1.0, names, math.prod(shape), X, what="scale").reshape(shape)
        elif self.scale is not None:
            changed["scale"] = self._per_feature("scale", self.scale, shape)
        if isinstance(self.bounds, Mapping):
            pairs = {name: _sides(pair) for name, pair in self.bounds.items()}
            changed["bounds"] = tuple(
                by_feature(
                    {name: pair[side] for name, pair in pairs.items()}, free, names, math.prod(shape), X, what="bounds"
                ).reshape(shape)
                for side, free in enumerate((-np.inf, np.inf))
            )
        elif self.bounds is not None:
            changed["bounds"] = tuple(self._per_feature("bounds", side, shape) for side in _sides(self.bounds))
        if self.frozen is not None:
            changed["frozen"] = self._mask(X, names)
        return replace(self, **changed)

    @checked(X=_X, feature_names=_NAMES)
    def bind(
        self, X: np.ndarray, feature_names: Sequence[str] | None = None, device: torch.device | str = "cpu"
    ) -> PerturbationSet:
        """The set for inputs like `X` of shape (n, *features).

        Raises
        ------
        ValueError, TypeError
            A row of X outside `bounds`, an unknown or ambiguous name, or an array of the wrong shape.
        """
        shape = X.shape[1:]
        threat = self.resolve(X, feature_names)
        low, high = threat.box(X)
        # up to the rounding of float32, in which a network sees it: MinMaxScaler may leave a 1 at 1 + 2e-16
        beyond = [(low - X, low), (X - high, high)]
        outside = np.logical_or(*(gap > _ROUNDING * np.maximum(1.0, np.abs(edge)) for gap, edge in beyond))
        outside = outside.any(axis=tuple(range(1, X.ndim)))
        if outside.any():
            raise ValueError(
                f"{outside.sum()} of {len(X)} rows lie outside the bounds of the threat model (the first is row "
                f"{int(outside.argmax())}). Clip X, for instance by MinMaxScaler(clip=True), or widen the bounds."
            )
        unit = np.ones(shape) if threat.scale is None else np.asarray(threat.scale)
        if threat.frozen is not None:
            unit = np.where(threat.frozen, 0.0, unit)
        return PerturbationSet(
            epsilon=float(self.epsilon),
            norm=2.0 if self.norm == 2 else math.inf,
            low=torch.tensor(low, dtype=torch.float32, device=device),
            high=torch.tensor(high, dtype=torch.float32, device=device),
            unit=torch.tensor(unit, dtype=torch.float32, device=device),
        )

    @checked(X=_X, feature_names=_NAMES)
    def clip(self, X: np.ndarray, feature_names: Sequence[str] | None = None) -> np.ndarray:
        """X moved into `bounds`, in its own dtype (float32 arithmetic can leave the box by one rounding)."""
        low, high = self.box(X, feature_names)
        return np.clip(X, low.astype(X.dtype), high.astype(X.dtype))

    @checked(X=_X, feature_names=_NAMES)
    def box(self, X: np.ndarray, feature_names: Sequence[str] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest values, each of shape (*features,), for inputs like `X` of shape (n, *features)."""
        low, high = replace(self, frozen=None, scale=None).resolve(X, feature_names).bounds or (-np.inf, np.inf)
        return self._per_feature("bounds", low, X.shape[1:]), self._per_feature("bounds", high, X.shape[1:])

    @staticmethod
    def _per_feature(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
        array = np.asarray(value, dtype=float)
        fits = array.ndim != 1 or array.shape[0] == shape[-1]  # a list of one is no number
        try:
            if fits:
                return np.broadcast_to(array, shape)
        except ValueError:
            pass
        raise ValueError(f"{name} has shape {array.shape}, which does not fit inputs of shape {shape}.")

    def _mask(self, X: np.ndarray, names: Sequence[str] | None) -> np.ndarray:
        """True for frozen features."""
        assert self.frozen is not None
        shape = X.shape[1:]
        mask = np.zeros(shape, dtype=bool)
        given = list(self.frozen)
        if not given:
            return mask
        if np.asarray(self.frozen).dtype == bool:
            return self._per_feature("frozen", self.frozen, shape) != 0
        if any(isinstance(one, (bool, np.bool_)) or not isinstance(one, (str, int, np.integer)) for one in given):
            raise ValueError(f"frozen={self.frozen!r} must be feature names, a mask, or indices below {mask.size}.")
        columns = indices_of(given, names, mask.size, X, what="frozen", indicators=True)
        mask.reshape(-1)[[column for part in columns for column in part]] = True
        return mask


def _sides(pair: Any) -> tuple[Any, Any]:
    """Low and high, where None is no bound."""
    low, high = pair
    return (-np.inf if low is None else low), (np.inf if high is None else high)


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

    def normalize(self, gradient: Tensor) -> Tensor:
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


@checked(objective=_TENSOR, points=_TENSOR)
def input_gradient(objective: Tensor, points: Tensor) -> Tensor:
    """Gradient of every row's objective, shape (n,), in `points`; zero where it does not depend on them.

    The explanation of a linear network is a constant, which autograd answers with an error.
    """
    if not objective.requires_grad:
        return torch.zeros_like(points)
    (gradient,) = torch.autograd.grad(objective.sum(), points, allow_unused=True, materialize_grads=True)
    return gradient


@checked(
    objective=Function(), x=_TENSOR, max_iter=Number(0, integer=True), step_size=NOT_NEGATIVE, start=optional(_TENSOR)
)
def ascend(
    objective: Callable[[Tensor], Tensor],
    x: Tensor,
    space: PerturbationSet,
    *,
    max_iter: int,
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
    max_iter : int
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
    for _ in range(max_iter):
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


@checked(direction=_TENSOR, batch_ndim=COUNT, noise=optional(_TENSOR))
def tangent_noise(direction: Tensor, *, batch_ndim: int = 1, noise: Tensor | None = None) -> Tensor:
    r"""Random vectors of length one perpendicular to `direction`, sample by sample.

    .. math:: \phi_\perp = u - \phi\, \frac{\langle u, \phi\rangle}{\|\phi\|_2^2}, \quad u_i \sim U(-1, 1),
        \qquad \text{returned: } \phi_\perp / \|\phi_\perp\|_2

    Parameters
    ----------
    direction : Tensor of shape (*batch, *features)
        :math:`\phi`; where it is zero, nothing is taken away from u.
    batch_ndim : int, default=1
        How many leading axes are batch axes.
    noise : Tensor, optional
        u, shaped like `direction`; by default drawn from torch's global generator.

    Returns
    -------
    Tensor shaped like `direction`; zero where a single feature leaves no perpendicular direction
    """
    rows = direction.flatten(start_dim=batch_ndim).flatten(end_dim=-2)
    tiny = torch.finfo(rows.dtype).tiny
    unit = rows / _length(rows).clamp_min(tiny)
    noise = 2 * torch.rand_like(rows) - 1 if noise is None else noise.reshape(rows.shape)
    size = _length(noise)
    for _ in range(2):  # the second pass takes away what rounding left of the first
        noise = noise - unit * (noise * unit).sum(dim=1, keepdim=True)
    length = _length(noise)
    perpendicular = length > 1e-5 * size  # less is rounding: there is one feature, or all others are frozen
    return torch.where(perpendicular, noise / length.clamp_min(tiny), 0.0).reshape(direction.shape)
