r"""Bounds on how fast a difference of two entries of the gradient can change, by interval Hessian-vector products.

Forward along a direction v, with the slopes s and the units z of :mod:`robustxai.bounds._propagation`:
:math:`\dot z_l = \sum_j W_{lj} \dot a_j`, :math:`\dot a_0 = v`, :math:`\dot a_l = s_l \odot \dot z_l`. Backward, with
q what arrives at a layer and t = f'' its bend: :math:`\dot q_l = \sum_m W_{ml}^\top \dot p_m`,
:math:`\dot p_l = s_l \odot \dot q_l + t_l \odot q_l \odot \dot z_l`, and :math:`H v = \sum_l W_{l0}^\top \dot p_l`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from robustxai.bounds._attribution import heads_of, mixing
from robustxai.bounds._axes import axes_seen, directions_seen
from robustxai.bounds._forms import Ball, IntervalRemainderForm
from robustxai.bounds._network import Network
from robustxai.bounds._propagation import backward, forward

__all__ = ["Curvature", "Directions"]

#: The radius is cut into 2^4 steps where fewer do not decide.
_HALVINGS = 4
#: Entries of the largest array of a part of the directions: a few of them fit into a processor's cache.
_MAX_ENTRIES = 2**17
#: With more features the 1-norm of a Hessian-vector product is bounded by its length.
_MOST_FEATURES = 1024


@dataclass(frozen=True)
class Directions:
    """Sparse directions, and the rows that they belong to.

    Attributes
    ----------
    row : Tensor of int of shape (n,)
    feature : Tensor of int of shape (n, m)
        Where the entries of a direction are.
    weight : Tensor of shape (n, m)
        What they are.
    """

    row: Tensor
    feature: Tensor
    weight: Tensor

    def __getitem__(self, index: Tensor) -> Directions:
        return Directions(self.row[index], self.feature[index], self.weight[index])

    def __len__(self) -> int:
        return len(self.row)

    def dot(self, matrix: Tensor) -> Tensor:
        """``M v`` for M of shape (m, features), (n, m)."""
        return F.embedding_bag(self.feature, matrix.T.contiguous(), per_sample_weights=self.weight, mode="sum")


@dataclass(frozen=True)
class _Derivatives:
    """What slopes and bends of every layer can be within a radius; lower and upper ends of shape (rows, units)."""

    slopes: list[tuple[Tensor, Tensor]]
    #: For each head and layer, middle and half of the range of t q, and where it is unbounded.
    bends: list[dict[int, tuple[Tensor, Tensor, Tensor]]]


class Curvature:
    r"""Lower bounds on :math:`v \cdot \nabla f` over a ball from bounds on :math:`\|H v\|_*` in balls within it.

    .. math::
        v \cdot g(x') \ge v \cdot g(x) - \sum_k (r_k - r_{k-1})\, G(r_k), \qquad
        G(r) \ge \max_{\|x' - x\| \le r} \|H(x')\, v\|_*, \quad 0 < r_1 < \dots < r_K = \epsilon

    Every direction has an interval of its own, which the errors of a form, made for all directions at once, do not
    have; and what lies near x is bounded with the small intervals that are true there.

    Parameters
    ----------
    network : Network
    output : str
        What is differentiated, as in :class:`robustxai.explainers.Gradient`.
    x : Tensor of shape (rows, features)
        Centers.
    target : Tensor of shape (rows,)
        Index of the class that is explained.
    scale : Tensor of shape (features,)
        Lengths of the ball's axes.
    ball : Ball
        Where ``(x' - x) / scale`` moves.

    Attributes
    ----------
    sizes : Tensor of shape (rows,)
        Largest entry of the attribution at x, in the units of the bounds.

    References
    ----------
    Hein and Andriushchenko, *Formal guarantees on the robustness of a classifier against adversarial manipulation*,
    2017 (a bound that grows with the radius); Singla and Feizi, *Second-order provable defenses against adversarial
    attacks*, 2020 (bounds by curvature).
    """

    def __init__(self, network: Network, output: str, x: Tensor, target: Tensor, scale: Tensor, ball: Ball) -> None:
        self.network, self.x, self.scale, self.ball = network, x, scale, ball
        self.heads, sign = heads_of(network, output, target)
        self.absolute = [{source: w.abs() for source, w in layer.inputs.weights.items()} for layer in network.layers]
        point = forward(network, IntervalRemainderForm.exact(ball, x), follow=True)
        backs = [backward(network, point, head) for head in self.heads]
        self.gradients = [back.gradient.c for back in backs]
        #: Layers between x and the output; their matrices, in the units of the ball.
        self.fed = [number for number in backs[0].arriving if 0 in network.layers[number - 1].inputs.weights]
        matrices = [network.layers[number - 1].inputs.weights[0] for number in self.fed]
        self.entry = torch.cat(matrices or [x.new_zeros(0, len(scale))]) * scale
        self.gram = (self.entry @ self.entry.T).abs()
        directions = directions_seen(network, scale)
        self.axes, self.seen = axes_seen(scale, directions), ball.seen_through(directions)
        #: Row sums of |W|, and what a length in the units of `entry` is multiplied by to exceed the norm.
        self.row_norms, self.factor = self.entry.abs().sum(dim=1), None
        if directions is not None and (ball.norm == 2 or len(scale) > _MOST_FEATURES):
            self.entry = self.entry @ directions  # of the same length along any mixture of its rows
            self.factor = None if ball.norm == 2 else len(scale) ** 0.5
        # one head stands alone, and the factor before it is none of a bound's business
        whole = (
            point
            if len(self.heads) == 1
            else forward(network, IntervalRemainderForm.exact(self.seen, x, self.axes), follow=True)
        )
        self.mixing = [mixing(whole, head, sign, mixed=len(self.heads) > 1) for head in self.heads]
        self.sizes = torch.stack(
            [high.flatten() * g.abs().amax(dim=1) for g, (_, high) in zip(self.gradients, self.mixing)]
        ).sum(dim=0)

    def bounds(
        self,
        directions: Directions,
        threshold: Tensor,
        worth: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Lower bounds on the attribution along the directions, in ever finer steps of the radius.

        The sums over the steps from their outer and from their inner ends bracket what finer steps can reach: a
        direction whose bracket leaves no doubt is finished.

        Parameters
        ----------
        directions : Directions
            Of length n.
        threshold : Tensor of shape (n,)
            What a bound has to exceed: once it does, or no finer steps could help it, it is left as it is.
        worth : callable, optional
            Of two boolean tensors of shape (n,), which directions are proven and which are open, makes a third: which
            of the open ones are worth going on with.

        Returns
        -------
        Tensor of shape (n,)
        """
        row = directions.row
        start = torch.stack([(g[row].gather(1, directions.feature) * directions.weight).sum(1) for g in self.gradients])
        rate = start.new_full((len(start), len(row), 2**_HALVINGS + 1), float("nan"))
        result = start.new_full((len(row),), -float("inf"))
        live = torch.arange(len(row))
        for level in range(-1, _HALVINGS + 1):
            # 0, then 1, then odd multiples of 1/2, of 1/4, ...
            steps = 2 ** max(level, 0)
            stride = 2**_HALVINGS // steps
            for number in (0,) if level < 0 else range(1, steps + 1, 2):
                rate[:, live, number * stride] = self._rates(directions[live], number / steps)
            known = rate[:, live, ::stride]
            radius = self.ball.radius[row[live], 0]
            # the bound of steps of this length, and what no shorter ones can exceed
            best = self._mixed(start[:, live] - _cost(radius, known[..., :-1].mean(dim=-1)), row[live])
            if level >= 0:
                certain = self._mixed(start[:, live] - _cost(radius, known[..., 1:].mean(dim=-1)), row[live])
                result[live] = certain
            hopeful = best > threshold[live]
            if level == 0:
                hopeful &= result[live] > -float("inf")  # an infinite rate at the end stays there
            open_ = torch.zeros_like(result, dtype=torch.bool)
            open_[live] = hopeful & ~(result[live] > threshold[live])
            if worth is not None:
                open_ &= worth(result > threshold, open_)
            live = open_.nonzero().squeeze(1)
            if not len(live):
                break
        return result

    def _mixed(self, values: Tensor, row: Tensor) -> Tensor:
        """Sum over the heads, (heads, n) -> (n,), with every factor at the end that hurts."""
        total = torch.zeros_like(values[0])
        for value, (low, high) in zip(values, self.mixing):
            total = total + value * torch.where(value > 0, low.flatten()[row], high.flatten()[row])
        return total

    def _rates(self, directions: Directions, share: float) -> Tensor:
        """G of every head and direction within that share of the radius, (heads, n)."""
        rows, row = directions.row.unique(return_inverse=True)
        known = self._derivatives(rows, share)
        widest = max([self.entry.shape[1], *(len(layer.inputs.bias) for layer in self.network.layers)])
        size = max(1, _MAX_ENTRIES // widest)
        parts = [
            self._part(Directions(row[i], directions.feature[i], directions.weight[i]), known)
            for i in torch.arange(len(row)).split(size)
        ]
        return torch.cat(parts, dim=1)

    def _derivatives(self, rows: Tensor, share: float) -> _Derivatives:
        passed = forward(
            self.network,
            IntervalRemainderForm.exact(self.seen.of_rows(rows, share), self.x[rows], self.axes),
            follow=True,
        )
        activations = [layer.activation for layer in self.network.layers]
        slopes = [f.slope_range(*ends) for f, ends in zip(activations, passed.ranges)]
        bends = [f.bend_range(*ends) for f, ends in zip(activations, passed.ranges)]
        arriving = [backward(self.network, passed, head[rows]).arriving for head in self.heads]
        return _Derivatives(
            slopes, [{number: _bends(bends[number - 1], q.bounds()) for number, q in qs.items()} for qs in arriving]
        )

    def _part(self, directions: Directions, known: _Derivatives) -> Tensor:
        """The same for as many directions as are computed at once; pairs of tensors are middles and halves."""
        slopes = [(low[directions.row], high[directions.row]) for low, high in known.slopes]
        moving: list[tuple[Tensor, Tensor]] = []  # z dot
        units: list[tuple[Tensor, Tensor]] = []  # a dot
        for number, layer in enumerate(self.network.layers):
            middle = half = torch.zeros((), dtype=self.x.dtype)
            for source, weight in layer.inputs.weights.items():
                if source == 0:
                    middle = middle + directions.dot(weight)
                else:
                    middle = middle + units[source - 1][0] @ weight.T
                    half = half + units[source - 1][1] @ self.absolute[number][source].T
            middle, half = torch.broadcast_tensors(middle, half)
            moving.append((middle, half))
            units.append(_times(*slopes[number], middle, half))
        if not self.fed:  # a linear model
            return self.x.new_zeros(len(self.heads), len(directions))
        rates = []
        for bends in known.bends:
            chosen = {
                number: (t[directions.row], dt[directions.row], jump[directions.row])
                for number, (t, dt, jump) in bends.items()
            }
            rates.append(self._backward(moving, slopes, chosen))
        return torch.stack(rates)

    def _backward(
        self,
        moving: list[tuple[Tensor, Tensor]],
        slopes: list[tuple[Tensor, Tensor]],
        bends: dict[int, tuple[Tensor, Tensor, Tensor]],
    ) -> Tensor:
        arriving: dict[int, tuple[Tensor, Tensor]] = {}
        leaving: dict[int, tuple[Tensor, Tensor]] = {}
        jumps = torch.zeros(len(moving[0][0]), dtype=torch.bool)
        for number in range(len(moving), 0, -1):
            if number not in bends:
                continue  # a layer that nothing reads
            z, dz = moving[number - 1]
            t, dt, jump = bends[number]
            # where a slope jumps, the gradient along v does, unless the unit does not move along v
            jumps |= (jump & ((z != 0) | (dz > 0))).any(dim=1)
            middle, half = t * z, t.abs() * dz + dt * (z.abs() + dz)
            if number in arriving:
                q, dq = _times(*slopes[number - 1], *arriving.pop(number))
                middle, half = middle + q, half + dq
            for source, weight in self.network.layers[number - 1].inputs.weights.items():
                if source == 0:
                    leaving[number] = middle, half
                    continue
                q, dq = middle @ weight, half @ self.absolute[number - 1][source]
                if source in arriving:
                    q, dq = q + arriving[source][0], dq + arriving[source][1]
                arriving[source] = q, dq
        middle, half = (torch.cat([leaving[number][end] for number in self.fed], dim=1) for end in (0, 1))
        return torch.where(jumps, float("inf"), self._norm(middle, half))

    def _norm(self, middle: Tensor, half: Tensor) -> Tensor:
        r"""Bound on ``|W^T (middle + e)|_*`` for all :math:`|e| \le` half, with W the matrix of the units that x feeds.

        The 1-norm of a sum is at most the sum of the 1-norms; with m = W^T middle, the 2-norm squared is
        :math:`\|m\|^2 + 2 (W m) \cdot e + e^\top W W^\top e`. Of more than 1,024 features the 1-norm of m is taken to
        be :math:`\sqrt n\, \|m\|`, a quarter too much for what is spread evenly, because m itself costs as much for
        each of the k (n - k) pairs as there are features.
        """
        m = middle @ self.entry
        if self.ball.norm != 2:
            rest = half @ self.row_norms
            if self.factor is None:
                return m.abs().sum(dim=1) + rest
            return torch.minimum(self.factor * m.norm(dim=1), middle.abs() @ self.row_norms) + rest
        cross = ((m @ self.entry.T).abs() * half).sum(dim=1)
        return (m.square().sum(dim=1) + 2 * cross + ((half @ self.gram) * half).sum(dim=1)).sqrt()


def _bends(bend: tuple[Tensor, Tensor], q: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Middle and half of the range of t q; 0 and 0 where it is unbounded, which is the third."""
    products = torch.stack([t * end for t in bend for end in q])
    products = products.masked_fill(products.isnan(), 0.0)  # 0 * inf: what is nothing makes no jump
    low, high = products.amin(dim=0), products.amax(dim=0)
    jump = torch.isinf(low) | torch.isinf(high)
    low, high = low.masked_fill(jump, 0.0), high.masked_fill(jump, 0.0)
    return (low + high) / 2, (high - low) / 2, jump


def _times(low: Tensor, high: Tensor, middle: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
    """``[low, high] * (middle +- half)`` as middle and half, for low >= 0."""
    below, above = middle - half, middle + half
    below = below * torch.where(below >= 0, low, high)
    above = above * torch.where(above >= 0, high, low)
    return (below + above) / 2, (above - below) / 2


def _cost(radius: Tensor, rate: Tensor) -> Tensor:
    """``radius * rate``; an infinite rate costs everything, even within no radius."""
    return torch.where(rate == float("inf"), rate, radius * rate)
