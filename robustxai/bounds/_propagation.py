r"""Bounds of a network's input gradient over a ball.

Forward, layer by layer: :math:`z_l = \sum_j W_{lj} a_j + b_l`, :math:`a_l = f(z_l)`, :math:`s_l = f'(z_l)`. Backward,
for an output ``w . z``: :math:`q_l = \sum_m W_{ml}^\top p_m`, :math:`p_l = s_l \odot q_l`, and the gradient is
:math:`\sum_l W_{l0}^\top p_l` plus the weight of a linear path from x to the output. Every quantity is a form of the
same delta.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustxai.activations import ActivationBounds
from robustxai.bounds._forms import AffineForm, Ball, IntervalRemainderForm, PathPoints, ZonotopeForm
from robustxai.bounds._network import Affine, Network

__all__ = ["METHODS", "Backward", "Forward", "backward", "forward", "relaxed_slope", "relaxed_value"]

#: Method -> class of forms, and True for secant relaxations of activations, False for constant ones.
METHODS: dict[str, tuple[type[IntervalRemainderForm] | type[ZonotopeForm], bool]] = {
    "interval": (IntervalRemainderForm, False),
    "affine": (IntervalRemainderForm, True),
    "zonotope": (ZonotopeForm, True),
}
#: Below this width the slope in the middle replaces the secant, which would be dominated by rounding. In float32 the
#: secant's gradient is decisive: rounding enters it divided by the width squared.
_NARROW = {torch.float64: 1e-9, torch.float32: 1e-3}


@dataclass(frozen=True)
class Forward:
    """Bounds of one forward pass: input, slopes of every layer, logits, and the ranges of every z."""

    x: AffineForm | PathPoints
    slopes: list[AffineForm]
    ranges: list[tuple[Tensor, Tensor]]
    logits: AffineForm


@dataclass(frozen=True)
class Backward:
    """Bounds of one backward pass.

    Attributes
    ----------
    gradient : AffineForm
        Gradient in x.
    units : list of (Tensor of shape (units, features), AffineForm of (rows, units))
        W_l0 and p_l of every layer that is fed by x: with interval remainders, a bound on the difference of two entries
        of the gradient is tighter before that matrix than after it.
    arriving : dict of int to AffineForm of (rows, units)
        q_l of every layer that the output depends on.
    """

    gradient: AffineForm
    units: list[tuple[Tensor, AffineForm]]
    arriving: dict[int, AffineForm]


def forward(network: Network, x: AffineForm | PathPoints, *, follow: bool) -> Forward:
    """Bound the network's units while the input is in the form `x`."""
    values: list[AffineForm | PathPoints] = [x]
    boxes: list[tuple[Tensor, Tensor]] = []  # of the layers' values
    slopes, ranges = [], []
    for layer in network.layers:
        parts = _parts(layer.inputs, values)
        z = _total(parts)
        lo, hi = z.bounds()
        if set(parts) != {0}:  # of x alone, plain intervals give the same
            plain_lo, plain_hi = _interval(layer.inputs, parts, boxes)
            # both are bounds, and so is their intersection; if rounding empties it, it becomes a point
            lo, hi = torch.maximum(lo, plain_lo), torch.minimum(hi, plain_hi)
            hi = torch.maximum(lo, hi)
        f = layer.activation
        ends = f.value(lo), f.value(hi)
        values.append(_relaxed_value(f, z, lo, hi, ends, follow))
        slopes.append(relaxed_slope(f, z, lo, hi, follow and not f.kinked))
        boxes.append(ends)
        ranges.append((lo, hi))
    return Forward(x, slopes, ranges, _total(_parts(network.logits, values)))


def backward(network: Network, passed: Forward, head: Tensor, *, copies: int = 1, ball: Ball | None = None) -> Backward:
    """Bound the gradient of ``head . logits``; head of shape (rows, n_classes).

    The rows may be `copies` of the same rows at several points, one point's rows after the other's. What is bounded is
    then the sum of the gradients over the points, over the `ball` of the rows themselves. It is taken before the
    matrices of the layers that are fed by x, which are the widest: they are the same for all points.
    """
    exact = passed.x.exact
    everything = passed.x.ball
    one = everything if ball is None else ball
    parts: list[AffineForm] = []
    if 0 in network.logits.weights:
        parts.append(exact(everything, head @ network.logits.weights[0]).summed(copies, one))
    arriving: dict[int, AffineForm] = {
        source: exact(everything, head @ weight) for source, weight in network.logits.weights.items() if source
    }
    units: list[tuple[Tensor, AffineForm]] = []
    for source in range(len(network.layers), 0, -1):
        if source not in arriving:
            continue  # a layer without readers
        p = passed.slopes[source - 1].times(arriving[source])
        for earlier, weight in network.layers[source - 1].inputs.weights.items():
            if earlier == 0:
                p_of_x = p.summed(copies, one)
                parts.append(p_of_x.linear(weight.T))
                units.append((weight, p_of_x))
            else:
                contribution = p.linear(weight.T)
                arriving[earlier] = arriving[earlier].plus(contribution) if earlier in arriving else contribution
    gradient = exact(one, passed.x.c.new_zeros(len(head) // copies, passed.x.c.shape[1]))
    for part in parts:
        gradient = gradient.plus(part)
    return Backward(gradient, units, arriving)


def _parts(inputs: Affine, values: list[AffineForm | PathPoints]) -> dict[int, AffineForm]:
    """Return what each source adds to an affine map, the first one with the bias."""
    parts: dict[int, AffineForm] = {}
    for source, weight in inputs.weights.items():
        parts[source] = values[source].linear(weight, None if parts else inputs.bias)
    return parts


def _total(parts: dict[int, AffineForm]) -> AffineForm:
    first, *others = parts.values()
    for part in others:
        first = first.plus(part)
    return first


def _interval(
    inputs: Affine, parts: dict[int, AffineForm], boxes: list[tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """Compute plain interval bounds of an affine map, where what x adds is in its form."""
    low = high = torch.zeros_like(inputs.bias)
    for source, weight in inputs.weights.items():
        if source == 0:
            lo, hi = parts[0].bounds()
        else:
            lower, upper = boxes[source - 1]
            middle, half = (lower + upper) / 2, (upper - lower) / 2
            center, width = middle @ weight.T, half @ weight.abs().T
            lo, hi = center - width, center + width
        low, high = low + lo, high + hi
    return (low, high) if next(iter(parts)) == 0 else (low + inputs.bias, high + inputs.bias)


def _secant(rise: Tensor, lo: Tensor, hi: Tensor, flat: Tensor) -> Tensor:
    narrow = hi - lo < _NARROW[lo.dtype]
    return torch.where(narrow, flat, rise / torch.where(narrow, 1.0, hi - lo))


def relaxed_value(f: ActivationBounds, z: AffineForm, lo: Tensor, hi: Tensor, follow: bool) -> AffineForm:
    """Relax ``f(z)`` for z in the form and in [lo, hi]: secant plus remainder, or without `follow` a constant range."""
    return _relaxed_value(f, z, lo, hi, (f.value(lo), f.value(hi)), follow)


def _relaxed_value(
    f: ActivationBounds, z: AffineForm, lo: Tensor, hi: Tensor, at: tuple[Tensor, Tensor], follow: bool
) -> AffineForm:
    """Relax ``f(z)``, where `at` has the values at the ends."""
    if not follow:
        return z.relaxed(torch.zeros_like(lo), *at, follow=False)
    m = _secant(at[1] - at[0], lo, hi, f.slope((lo + hi) / 2))
    inside = _inside(lo, hi, f.touching(m.detach()))
    return z.relaxed(m, *_extremes([at[0] - m * lo, at[1] - m * hi, *(f.value(p) - m * p for p in inside)]))


def relaxed_slope(f: ActivationBounds, z: AffineForm, lo: Tensor, hi: Tensor, follow: bool) -> AffineForm:
    """Relax ``f'(z)`` in the same way."""
    if not follow:
        return z.relaxed(torch.zeros_like(lo), *f.slope_range(lo, hi), follow=False)
    at_lo, at_hi = f.slope(lo), f.slope(hi)
    m = _secant(at_hi - at_lo, lo, hi, torch.zeros_like(lo))
    inside = _inside(lo, hi, f.slope_touching(m.detach()))
    return z.relaxed(m, *_extremes([at_lo - m * lo, at_hi - m * hi, *(f.slope(p) - m * p for p in inside)]))


def _inside(lo: Tensor, hi: Tensor, touching: list[Tensor]) -> list[Tensor]:
    """Return the points between the ends where an offset can be extreme, as it can be at the ends.

    An offset is stationary at a touching point, so that its gradient does not need that of the point, which can be
    infinite. A point outside is moved to the nearer end and follows it; clamp would have no gradient where lo = hi.
    """
    return [torch.minimum(torch.maximum(p, lo), hi) for p in touching]


def _extremes(offsets: list[Tensor]) -> tuple[Tensor, Tensor]:
    stacked = torch.stack(offsets)
    return stacked.amin(dim=0), stacked.amax(dim=0)
