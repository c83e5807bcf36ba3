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
from robustxai.bounds._forms import AffineForm, IntervalRemainderForm, ZonotopeForm
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

    x: AffineForm
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


def forward(network: Network, x: AffineForm, *, follow: bool) -> Forward:
    """Bound the network's units while the input is in the form `x`."""
    values: list[AffineForm] = [x]
    boxes = [x.bounds()]
    slopes, ranges = [], []
    for layer in network.layers:
        z = _affine(layer.inputs, values)
        lo, hi = _interval(layer.inputs, x, boxes)
        form_lo, form_hi = z.bounds()
        # both are bounds, and so is their intersection; if rounding empties it, it becomes a point
        lo, hi = torch.maximum(lo, form_lo), torch.minimum(hi, form_hi)
        hi = torch.maximum(lo, hi)
        f = layer.activation
        values.append(relaxed_value(f, z, lo, hi, follow))
        slopes.append(relaxed_slope(f, z, lo, hi, follow and not f.kinked))
        boxes.append((f.value(lo), f.value(hi)))
        ranges.append((lo, hi))
    return Forward(x, slopes, ranges, _affine(network.logits, values))


def backward(network: Network, passed: Forward, head: Tensor) -> Backward:
    """Bound the gradient of ``head . logits``; head of shape (rows, n_classes)."""
    exact = type(passed.x).exact
    ball = passed.x.ball
    parts: list[AffineForm] = [exact(ball, head @ network.logits.weights[0])] if 0 in network.logits.weights else []
    arriving: dict[int, AffineForm] = {
        source: exact(ball, head @ weight) for source, weight in network.logits.weights.items() if source
    }
    units: list[tuple[Tensor, AffineForm]] = []
    for source in range(len(network.layers), 0, -1):
        if source not in arriving:
            continue  # a layer without readers
        p = passed.slopes[source - 1].times(arriving[source])
        for earlier, weight in network.layers[source - 1].inputs.weights.items():
            contribution = p.linear(weight.T)
            if earlier == 0:
                parts.append(contribution)
                units.append((weight, p))
            else:
                arriving[earlier] = arriving[earlier].plus(contribution) if earlier in arriving else contribution
    gradient = exact(ball, torch.zeros_like(passed.x.c))
    for part in parts:
        gradient = gradient.plus(part)
    return Backward(gradient, units, arriving)


def _affine(inputs: Affine, values: list[AffineForm]) -> AffineForm:
    result: AffineForm | None = None
    for source, weight in inputs.weights.items():
        part = values[source].linear(weight, inputs.bias if result is None else None)
        result = part if result is None else result.plus(part)
    assert result is not None
    return result


def _interval(inputs: Affine, x: AffineForm, boxes: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Compute plain interval bounds; exact for layers that depend on x alone."""
    low = high = inputs.bias
    for source, weight in inputs.weights.items():
        if source == 0:
            lo, hi = x.linear(weight).bounds()
        else:
            middle, half = (boxes[source][0] + boxes[source][1]) / 2, (boxes[source][1] - boxes[source][0]) / 2
            center, width = middle @ weight.T, half @ weight.abs().T
            lo, hi = center - width, center + width
        low, high = low + lo, high + hi
    return low, high


def _secant(rise: Tensor, lo: Tensor, hi: Tensor, flat: Tensor) -> Tensor:
    narrow = hi - lo < _NARROW[lo.dtype]
    return torch.where(narrow, flat, rise / torch.where(narrow, 1.0, hi - lo))


def relaxed_value(f: ActivationBounds, z: AffineForm, lo: Tensor, hi: Tensor, follow: bool) -> AffineForm:
    """Relax ``f(z)`` for z in the form and in [lo, hi]: secant plus remainder, or without `follow` a constant range."""
    at_lo, at_hi = f.value(lo), f.value(hi)
    if not follow:
        return z.relaxed(torch.zeros_like(lo), at_lo, at_hi, follow=False)
    m = _secant(at_hi - at_lo, lo, hi, f.slope((lo + hi) / 2))
    points = _points(lo, hi, f.touching(m.detach()))
    return z.relaxed(m, *_extremes([f.value(p) - m * p for p in points]))


def relaxed_slope(f: ActivationBounds, z: AffineForm, lo: Tensor, hi: Tensor, follow: bool) -> AffineForm:
    """Relax ``f'(z)`` in the same way."""
    if not follow:
        return z.relaxed(torch.zeros_like(lo), *f.slope_range(lo, hi), follow=False)
    m = _secant(f.slope(hi) - f.slope(lo), lo, hi, torch.zeros_like(lo))
    points = _points(lo, hi, f.slope_touching(m.detach()))
    return z.relaxed(m, *_extremes([f.slope(p) - m * p for p in points]))


def _points(lo: Tensor, hi: Tensor, touching: list[Tensor]) -> list[Tensor]:
    """Return the points where an offset can be extreme: the ends, and the touching points between them.

    An offset is stationary at a touching point, so that its gradient does not need that of the point, which can be
    infinite. A point outside is moved to the nearer end and follows it; clamp would have no gradient where lo = hi.
    """
    return [lo, hi, *(torch.minimum(torch.maximum(p, lo), hi) for p in touching)]


def _extremes(offsets: list[Tensor]) -> tuple[Tensor, Tensor]:
    stacked = torch.stack(offsets)
    return stacked.amin(dim=0), stacked.amax(dim=0)
