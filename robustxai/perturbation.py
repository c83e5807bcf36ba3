"""Threat models: perturbations that an attacker may use, and the projections, steps and draws that stay inside."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import Tensor

from robustxai._arguments import (
    COUNT,
    FLAG,
    NORM,
    NOT_NEGATIVE,
    SEED,
    Choice,
    Constraint,
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
from robustxai._fingerprint import content_key
from robustxai._random import like_normal, like_uniform
from robustxai._short_repr import short_repr
from robustxai.protocols import Distribution, Norm, Seed

__all__ = ["PerturbationSet", "ThreatModel", "as_threat", "ascend", "input_gradient", "tangent_noise"]


#: Largest relative excess over a bound that counts as rounding.
_ROUNDING = 1e-6

_TENSOR = Instance(Tensor)
_X = Has(("shape", "ndim", "dtype"), words="an array of shape (n_samples, *features)")
_NAMES = Either((Rows(), Nothing()), words="a sequence of names or None")
_SIDE = optional(Numbers(finite=False))
_SCALE = Numbers(finite=False, words="a number, an array or a mapping of features to numbers")


def canonical_norm(norm: Norm) -> float:
    """Return the norm of a threat model as a number: 2 for l2, ``math.inf`` for l-infinity.

    Parameters
    ----------
    norm : {2, 2.0, "2", inf, "inf"}
        Numbers of Python or NumPy, or strings.

    Raises
    ------
    TypeError, ValueError
        Another norm.
    """
    NORM.check("norm", norm)
    return 2 if norm in (2, "2") else math.inf


@dataclass(frozen=True, eq=False)
class ThreatModel:
    r"""Set of perturbations :math:`\delta` that an attacker may add to an input x.

    .. math:: \|\delta / s\|_p \le \epsilon, \qquad x + \delta \in [\text{low}, \text{high}], \qquad
        \delta_i = 0 \text{ for frozen } i

    Parameters
    ----------
    epsilon : float, default=0.5
        Radius of the ball, in units of X as the classifier sees it (of `scale` where that is given). 0.5 is half the
        range of one feature scaled to [0, 1].
    norm : {2, inf, "2", "inf"}, default=2
        p. The attribute is a number, 2 or ``math.inf``, however the norm was given.
    bounds : (low, high) or mapping, optional
        Box that x + delta must stay in; each side a number or an array of shape (*features,). For single features, by
        name or index: ``{"age": (18, 90), "debt": (0, None)}``; all others are free.
    frozen : sequence of int, of str, or a boolean mask, optional
        Features that may not be changed, by index, name or mask (age, sex, ...).
    scale : float, array of shape (*features,) or mapping, optional
        s, the unit of each feature, for data that is not standardized. For single features, by name or index:
        ``{"age": 10}``; the unit of all others is 1.

    Raises
    ------
    ValueError
        Negative or infinite epsilon, another norm, a low above its high, a scale that is not positive.
    TypeError
        An epsilon that is not a number, a frozen feature that is not in a sequence.

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
        object.__setattr__(self, "norm", 2 if self.norm in (2, "2") else math.inf)
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

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ThreatModel):
            return NotImplemented
        return self._content() == other._content()

    def __hash__(self) -> int:
        return hash((float(self.epsilon), self.norm))

    def _content(self) -> tuple[Any, ...]:
        sets = (self.bounds, self.frozen, self.scale)
        return float(self.epsilon), self.norm, *(None if value is None else content_key(value) for value in sets)

    @checked(X=_X, feature_names=_NAMES)
    def resolve(self, X: np.ndarray, feature_names: Sequence[str] | None = None) -> ThreatModel:
        """Return the same threat model for inputs like `X` of shape (n, *features), without names.

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
        return replace(self, **changed) if changed else self

    @checked(X=_X, feature_names=_NAMES)
    def bind(
        self, X: np.ndarray, feature_names: Sequence[str] | None = None, device: torch.device | str = "cpu"
    ) -> PerturbationSet:
        """Return the set of perturbations for inputs like `X` of shape (n, *features).

        Raises
        ------
        ValueError, TypeError
            A row of X outside `bounds`, an unknown or ambiguous name, or an array of the wrong shape.
        """
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
        unit = threat._axes(X.shape[1:])
        return PerturbationSet(
            epsilon=float(self.epsilon),
            norm=float(threat.norm),
            n_free=max(int((unit > 0).sum()), 1),
            low=torch.tensor(low, dtype=torch.float32, device=device),
            high=torch.tensor(high, dtype=torch.float32, device=device),
            unit=torch.tensor(unit, dtype=torch.float32, device=device),
        )

    @checked(X=_X, feature_names=_NAMES)
    def units(self, X: np.ndarray, feature_names: Sequence[str] | None = None) -> np.ndarray:
        """Return the lengths of the ball's axes, shape (*features,): `scale`, and 0 for frozen features.

        `bounds` are not used.
        """
        return replace(self, bounds=None).resolve(X, feature_names)._axes(X.shape[1:])

    def _axes(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return `units` of a resolved threat model."""
        unit = np.ones(shape) if self.scale is None else np.asarray(self.scale)
        return unit if self.frozen is None else np.where(self.frozen, 0.0, unit)

    def lengths(self, delta: np.ndarray) -> np.ndarray:
        """Return the length of each perturbation of shape (n, *features), in `norm` and `scale`; shape (n,).

        The threat model must be resolved: `scale` holds no names.
        """
        steps = delta if self.scale is None else delta / np.asarray(self.scale)
        return np.asarray(np.linalg.norm(steps.reshape(len(steps), -1), ord=2 if self.norm == 2 else np.inf, axis=1))

    def in_words(self) -> str:
        """Describe the ball: "l2 ball of radius 0.5"."""
        name = "l2" if self.norm == 2 else "l-infinity"
        return f"{name} ball of radius {self.epsilon:g}" + (" in units of `scale`" if self.scale is not None else "")

    @checked(X=_X, feature_names=_NAMES)
    def clip(self, X: np.ndarray, feature_names: Sequence[str] | None = None) -> np.ndarray:
        """Move X into `bounds`, in its own dtype (float32 arithmetic can leave the box by one rounding)."""
        low, high = self.box(X, feature_names)
        return np.clip(X, low.astype(X.dtype), high.astype(X.dtype))

    @checked(X=_X, feature_names=_NAMES)
    def box(self, X: np.ndarray, feature_names: Sequence[str] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return lowest and highest values, each of shape (*features,), for inputs like `X` of shape (n, *features)."""
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
        """Return a mask that is True for frozen features."""
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
    """Return low and high; None is no bound."""
    low, high = pair
    return (-np.inf if low is None else low), (np.inf if high is None else high)


class _OfFeatures(Either):
    """A threat model of features; one of raw tables is refused by a sentence of its own."""

    def sentence(self, name: str, value: Any) -> str:
        """Implement `Constraint.sentence`."""
        said = super().sentence(name, value)
        if type(value).__name__ != "TableThreat":
            return said
        return (
            f"{said} A TableThreat says how raw rows change and is for attacks on them, such as "
            "AutoExplanationAttack(pipeline, threat=...). Here a perturbation is one of features: give its size by "
            "epsilon, and the unit of each feature by scale."
        )


#: Constraint of an argument `threat`.
THREAT = _OfFeatures((Instance(ThreatModel), Nothing()), words="a ThreatModel, for instance ThreatModel(epsilon=0.5)")
#: Constraints of `threat` and of the shorthand beside it.
THREAT_ARGUMENTS: dict[str, Constraint] = {
    "threat": THREAT,
    "epsilon": optional(NOT_NEGATIVE),
    "norm": optional(NORM),
}


@checked(**THREAT_ARGUMENTS, default=Instance(ThreatModel))
def as_threat(
    threat: ThreatModel | None = None,
    *,
    epsilon: float | None = None,
    norm: Norm | None = None,
    default: ThreatModel = ThreatModel(),
) -> ThreatModel:
    """Return the threat model that ``threat=``, or the shorthand ``epsilon=`` and ``norm=``, describes.

    Parameters
    ----------
    threat : ThreatModel, optional
        The whole description.
    epsilon : float, optional
        Radius; shorthand for ``ThreatModel(epsilon)``.
    norm : {2, inf, "2", "inf"}, optional
        Norm; shorthand for ``ThreatModel(norm=norm)``.
    default : ThreatModel, default=ThreatModel()
        Threat model where `threat` is None; `epsilon` and `norm` replace its own.

    Raises
    ------
    ValueError
        `threat` and the shorthand differ.

    Examples
    --------
    >>> as_threat(epsilon=0.1, norm="inf")
    ThreatModel(epsilon=0.1, norm=inf)
    >>> as_threat(ThreatModel(0.2), epsilon=0.1)
    Traceback (most recent call last):
    ValueError: epsilon=0.1 contradicts threat=ThreatModel(epsilon=0.2); give epsilon in the threat model alone.
    """
    given: dict[str, float] = {} if epsilon is None else {"epsilon": epsilon}
    if norm is not None:
        given["norm"] = canonical_norm(norm)
    if threat is None:
        return replace(default, **given) if given else default  # type: ignore[arg-type]
    for name, value in given.items():
        if value != getattr(threat, name):
            raise ValueError(f"{name}={value!r} contradicts threat={threat!r}; give {name} in the threat model alone.")
    return threat


@dataclass(frozen=True, eq=False)
class PerturbationSet:
    """A threat model on a device, for inputs of one shape. Tensors have shape (*features,); x and delta (n, *features).

    A frozen feature is a feature of unit 0, so that no method needs a case for it. `n_free` counts the others, and is
    at least 1. All rows share the set; :class:`RowSets` has one for each.
    """

    epsilon: float
    norm: float
    n_free: int
    low: Tensor
    high: Tensor
    unit: Tensor

    def project(self, delta: Tensor, x: Tensor) -> Tensor:
        """Return a feasible perturbation near `delta`: into the ball, then x + delta into the box.

        Clipping to a box that holds x shrinks every coordinate, so the second projection cannot undo the first.
        """
        # x is inside the box up to float32 rounding; min/max keep 0 feasible when it is not
        return self._into_ball(delta).clamp((self.low - x).clamp_max(0.0), (self.high - x).clamp_min(0.0))

    def _into_ball(self, delta: Tensor) -> Tensor:
        steps = torch.where(self.unit > 0, delta / self.unit.clamp_min(torch.finfo(delta.dtype).tiny), 0.0)
        if self.norm == 2:
            length = _length(steps)
            steps = steps * (self.epsilon / length.clamp_min(torch.finfo(delta.dtype).tiny)).clamp_max(1.0)
        else:
            steps = steps.clamp(-self.epsilon, self.epsilon)
        return steps * self.unit

    def select(self, rows: Tensor) -> PerturbationSet:
        """Return the set of some of the rows: itself, because all rows share it."""
        return self

    @property
    def feature_shape(self) -> torch.Size:
        """Shape of one input."""
        return self.unit.shape

    def normalize(self, gradient: Tensor) -> Tensor:
        """Divide `gradient` row by row by its length over the free features; zero where that is zero."""
        length = _length(gradient * self.unit)
        return torch.where(length > torch.finfo(gradient.dtype).tiny, gradient / length, 0.0)

    def ascent(self, gradient: Tensor) -> Tensor:
        """Return the steepest-ascent step of length one in the norm of the ball; zero where the gradient is zero."""
        slope = gradient * self.unit
        if self.norm == 2:
            return slope / _length(slope).clamp_min(torch.finfo(slope.dtype).tiny) * self.unit
        return slope.sign() * self.unit

    def random_direction(self, generator: torch.Generator) -> Tensor:
        """Draw a step of length one, shape (1, *features): uniform on the sphere, or in the cube up to its surface.

        One direction serves all rows, so that a row's result does not depend on the rows beside it. (Where every row
        has a set of its own, each gets the same draw in its own units: shape (n, *features).)
        """
        shape = (1, *self.feature_shape)
        if self.norm == 2:
            draw = torch.randn(shape, generator=generator).to(self.unit.device) * (self.unit > 0)
            return draw / _length(draw).clamp_min(torch.finfo(draw.dtype).tiny) * self.unit
        draw = (2 * torch.rand(shape, generator=generator) - 1).to(self.unit.device) * (self.unit > 0)
        largest = draw.abs().amax(dim=tuple(range(1, draw.ndim)), keepdim=True)
        return draw / largest.clamp_min(torch.finfo(draw.dtype).tiny) * self.unit

    def random_point(self, generator: torch.Generator) -> Tensor:
        """Draw one point of the ball for all rows, shape (1, *features), at a radius that is uniform in volume."""
        surface = self.random_direction(generator)
        return self.epsilon * float(torch.rand((), generator=generator)) ** (1 / self.n_free) * surface

    def random_points(self, like: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw a point of the ball for each row of `like`, shaped like it; the box is left to a projection.

        Without a `generator` from torch's global one.
        """
        draw = (2 * like_uniform(like, generator) - 1) * (self.unit > 0)
        if self.norm == 2:
            draw = like_normal(like, generator) * (self.unit > 0)
            length = _length(draw)
            draw = torch.where(length > torch.finfo(draw.dtype).tiny, draw / length, 0.0)
            share = torch.rand(len(like), generator=generator, dtype=like.dtype, device=like.device)
            draw = draw * (share ** (1 / self.n_free)).view(-1, *(1,) * (like.ndim - 1))
        return self.epsilon * draw * self.unit


@dataclass(frozen=True, eq=False)
class RowSets(PerturbationSet):
    """A set of perturbations for every row: `low`, `high` and `unit` have shape (n, *features).

    A set need not hold 0. Features of unit 0 are what `low` and `high` say, both the same, wherever x is: so a category
    switches. In all other features the ball is around x.
    """

    def project(self, delta: Tensor, x: Tensor) -> Tensor:
        """Return a feasible perturbation near `delta`: into the ball of each row, then x + delta into its box."""
        return self._into_ball(delta).clamp(self.low - x, self.high - x)

    def select(self, rows: Tensor) -> RowSets:
        """Return the sets of some of the rows."""
        return replace(self, low=self.low[rows], high=self.high[rows], unit=self.unit[rows])

    @property
    def feature_shape(self) -> torch.Size:
        """Shape of one input."""
        return self.unit.shape[1:]


#: Laws of random displacements.
DISTRIBUTIONS: tuple[Distribution, ...] = ("uniform", "gaussian")
#: Constraint of an argument `distribution`.
DISTRIBUTION = Choice(DISTRIBUTIONS)


@checked(distribution=DISTRIBUTION, random_state=SEED)
def displacement_sampler(
    n_features: int,
    epsilon: float,
    distribution: Distribution,
    random_state: Seed,
    *,
    norm: Norm = 2,
    units: np.ndarray | None = None,
) -> Callable[[int], np.ndarray]:
    r"""Return a function that draws the next n displacements, float64 of shape (n, n_features).

    ``"uniform"`` is the ball of radius epsilon: :math:`\epsilon u^{1/d} g / \|g\|_2` for l2, the cube for
    l-infinity. ``"gaussian"`` is :math:`\epsilon g` with :math:`g \sim N(0, I)`, :math:`u \sim U(0, 1)`. A request for
    2 and then 3 gives the rows of a request for 5, however many rows a caller takes at a time. Hence NumPy's
    generators: the normals of a ``torch.Generator`` depend on the size of the request.

    Parameters
    ----------
    n_features : int
        d.
    epsilon : float
        Radius of the ball, or standard deviation of each coordinate.
    distribution : {"uniform", "gaussian"}
        Law of the displacements.
    random_state : int, RandomState or None
        Seed.
    norm : {2, inf, "2", "inf"}, default=2
        Norm of the ball; "gaussian" has none.
    units : ndarray of shape (n_features,), optional
        Lengths of the ball's axes, 0 for frozen features, as `ThreatModel.units` returns them; 1 by default.
    """
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    normal, uniform = (np.random.default_rng([seed, stream]) for stream in range(2))
    cube = canonical_norm(norm) == math.inf
    free = None if units is None else units > 0
    n_free = n_features if free is None else max(int(free.sum()), 1)

    def draw(n: int) -> np.ndarray:
        if distribution == "uniform" and cube:
            return epsilon * (2 * uniform.random((n, n_features)) - 1)
        direction = normal.standard_normal((n, n_features))
        if distribution == "gaussian":
            return epsilon * direction
        if free is not None:
            direction = direction * free
        radius = epsilon * uniform.random((n, 1)) ** (1 / n_free)
        length = np.linalg.norm(direction, axis=1, keepdims=True)
        return radius * direction / (length if free is None else np.where(length > 0, length, 1.0))

    return draw if units is None else lambda n: draw(n) * units


@checked(outputs=_TENSOR, points=_TENSOR, weights=optional(_TENSOR), create_graph=FLAG, retain_graph=FLAG, batched=FLAG)
def input_gradient(
    outputs: Tensor,
    points: Tensor,
    weights: Tensor | None = None,
    *,
    create_graph: bool = False,
    retain_graph: bool = False,
    batched: bool = False,
) -> Tensor:
    """Return the weighted derivative of `outputs` in `points`; zeros where nothing depends on them.

    Autograd raises an error there: the explanation of a linear network is a constant.

    Parameters
    ----------
    outputs : Tensor
        Values with a graph back to `points`.
    points : Tensor
        Inputs that require grad.
    weights : Tensor of the shape of `outputs`, optional
        Weights of the sum that is differentiated; 1 by default, which gives each row of `points` the gradient of its
        own outputs.
    create_graph : bool, default=False
        Return a gradient that can be differentiated.
    retain_graph : bool, default=False
        Keep the graph for another derivative; `create_graph` keeps it too.
    batched : bool, default=False
        `weights` has a leading axis, and so has the result: one gradient for each vector of weights.

    Returns
    -------
    Tensor of the shape of `points`, with the leading axis of `weights` where `batched`
    """
    one = weights is not None and batched and len(weights) == 1  # a single vector needs no vmap
    several = weights is not None and batched and not one
    lead = (len(weights),) if weights is not None and batched else ()
    if not outputs.requires_grad:
        return points.new_zeros((*lead, *points.shape))
    (gradient,) = torch.autograd.grad(
        outputs.sum() if weights is None else outputs,
        points,
        weights[0] if weights is not None and one else weights,
        create_graph=create_graph,
        retain_graph=retain_graph or create_graph,
        allow_unused=True,
        is_grads_batched=several,
    )
    if gradient is None:
        return points.new_zeros((*lead, *points.shape))
    return gradient[None] if one else gradient


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
    r"""Run plain projected gradient ascent, :math:`\delta \leftarrow \Pi(\delta + \eta\, d)`.

    Parameters
    ----------
    objective : callable
        Points of shape (n, *features) to values of shape (n,).
    x : Tensor of shape (n, *features)
        Centers of the balls.
    space : PerturbationSet
        Set in which delta must stay.
    max_iter : int
        Number of steps.
    step_size : float
        Length of a step in the norm of `space`.
    start : Tensor that broadcasts to x, optional
        First perturbation; 0 by default.

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
    """Return the Euclidean length of each row, shape (n, 1, ...); squares may under- or overflow float32."""
    flat = rows.flatten(start_dim=1)
    largest = flat.abs().amax(dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
    length = largest * (flat / largest).square().sum(dim=1, keepdim=True).sqrt()
    return length.reshape(-1, *(1,) * (rows.ndim - 1))


@checked(direction=_TENSOR, batch_ndim=COUNT, noise=optional(_TENSOR))
def tangent_noise(direction: Tensor, *, batch_ndim: int = 1, noise: Tensor | None = None) -> Tensor:
    r"""Draw vectors of length one perpendicular to `direction`, sample by sample.

    .. math:: \phi_\perp = u - \phi\, \frac{\langle u, \phi\rangle}{\|\phi\|_2^2}, \quad u_i \sim U(-1, 1),
        \qquad \text{returned: } \phi_\perp / \|\phi_\perp\|_2

    Parameters
    ----------
    direction : Tensor of shape (*batch, *features)
        :math:`\phi`; where it is zero, nothing is subtracted from u.
    batch_ndim : int, default=1
        Number of leading batch axes.
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
    for _ in range(2):  # the second pass removes the rounding of the first
        noise = noise - unit * (noise * unit).sum(dim=1, keepdim=True)
    length = _length(noise)
    perpendicular = length > 1e-5 * size  # less is rounding: there is one feature, or all others are frozen
    return torch.where(perpendicular, noise / length.clamp_min(tiny), 0.0).reshape(direction.shape)
