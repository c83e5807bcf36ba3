r"""Bounds on the change of a difference of two gradient entries, by interval Hessian-vector products.

Forward along a direction v, with the slopes s and the units z of :mod:`robustxai.bounds._propagation`:
:math:`\dot z_l = \sum_j W_{lj} \dot a_j`, :math:`\dot a_0 = v`, :math:`\dot a_l = s_l \odot \dot z_l`. Backward, with
q the gradient in the layer's output and t = f'' its bend: :math:`\dot q_l = \sum_m W_{ml}^\top \dot p_m`,
:math:`\dot p_l = s_l \odot \dot q_l + t_l \odot q_l \odot \dot z_l`, and :math:`H v = \sum_l W_{l0}^\top \dot p_l`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from robustxai.bounds._attribution import heads_of, mixing
from robustxai.bounds._forms import Ball, IntervalRemainderForm
from robustxai.bounds._network import Network
from robustxai.bounds._propagation import backward, forward
from robustxai.bounds._subspace import basis_axes, subspace_basis
from robustxai.protocols import Output

__all__ = ["CurvatureBounds", "SparseDirections"]

#: The radius is divided into up to 2^4 steps, as long as fewer do not decide.
_HALVINGS = 4
#: Entries of the largest array of a part of the directions; a few such arrays fit into a processor's cache.
_MAX_ENTRIES = 2**17
#: With more features the 1-norm of a Hessian-vector product is bounded by its length.
_MOST_FEATURES = 1024


@dataclass(frozen=True)
class SparseDirections:
    """Sparse directions, each for one row.

    Attributes
    ----------
    row : Tensor of int of shape (n,)
        Index of the row.
    feature : Tensor of int of shape (n, m)
        Indices of the nonzero entries.
    weight : Tensor of shape (n, m)
        Nonzero entries.
    """

    row: Tensor
    feature: Tensor
    weight: Tensor

    def __getitem__(self, index: Tensor) -> SparseDirections:
        return SparseDirections(self.row[index], self.feature[index], self.weight[index])

    def __len__(self) -> int:
        return len(self.row)

    def dot(self, matrix: Tensor) -> Tensor:
        """Compute ``M v`` for M of shape (m, features); the result has shape (n, m)."""
        return F.embedding_bag(self.feature, matrix.T.contiguous(), per_sample_weights=self.weight, mode="sum")


@dataclass(frozen=True)
class _Derivatives:
    """Ranges of slopes and bends of every layer within a radius, of shape (rows, units)."""

    #: Lower and upper ends.
    slopes: list[tuple[Tensor, Tensor]]
    #: For each head and layer: middle and half width of the range of t q, and a mask of unbounded ranges.
    bends: list[dict[int, tuple[Tensor, Tensor, Tensor]]]


class CurvatureBounds:
    r"""Lower bounds on :math:`v \cdot \nabla f` over a ball from bounds on :math:`\|H v\|_*` in balls within it.

    .. math::
        v \cdot g(x') \ge v \cdot g(x) - \sum_k (r_k - r_{k-1})\, G(r_k), \qquad
        G(r) \ge \max_{\|x' - x\| \le r} \|H(x')\, v\|_*, \quad 0 < r_1 < \dots < r_K = \epsilon

    Intervals are computed for each direction, tighter than the remainder of a form for all directions; and points near
    x are bounded by the narrow intervals that hold there.

    Parameters
    ----------
    network : Network
        Result of :func:`read_network`.
    output : str
        Output that is differentiated, as in :class:`robustxai.explainers.Gradient`.
    x : Tensor of shape (rows, features)
        Centers.
    target : Tensor of shape (rows,)
        Index of the explained class.
    scale : Tensor of shape (features,)
        Lengths of the ball's axes.
    ball : Ball
        Range of ``(x' - x) / scale``.

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

    def __init__(self, network: Network, output: Output, x: Tensor, target: Tensor, scale: Tensor, ball: Ball) -> None:
        self.network, self.x, self.scale, self.ball = network, x, scale, ball
        self.heads, sign = heads_of(network, output, target)
        self.absolute = [{source: w.abs() for source, w in layer.inputs.weights.items()} for layer in network.layers]
        point = forward(network, IntervalRemainderForm.exact(ball, x), follow=True)
        backs = [backward(network, point, head) for head in self.heads]
        self.gradients = [back.gradient.c for back in backs]
        #: Layers between x and the output that are fed by x; their matrices, in the units of the ball.
        self.first_layers = [number for number in backs[0].arriving if 0 in network.layers[number - 1].inputs.weights]
        matrices = [network.layers[number - 1].inputs.weights[0] for number in self.first_layers]
        self.first_weights = torch.cat(matrices or [x.new_zeros(0, len(scale))]) * scale
        self.gram = (self.first_weights @ self.first_weights.T).abs()
        basis = subspace_basis(network, scale)
        self.axes, self.reduced_ball = basis_axes(scale, basis), ball.in_basis(basis)
        #: Row sums of |W|, and the factor by which a Euclidean length bounds the norm.
        self.first_row_norms, self.factor = self.first_weights.abs().sum(dim=1), None
        if basis is not None and (ball.norm == 2 or len(scale) > _MOST_FEATURES):
            self.first_weights = self.first_weights @ basis  # linear combinations of its rows keep their length
            self.factor = None if ball.norm == 2 else len(scale) ** 0.5
        # with one head the positive factor does not affect the sign of a bound
        whole = (
            point
            if len(self.heads) == 1
            else forward(network, IntervalRemainderForm.exact(self.reduced_ball, x, self.axes), follow=True)
        )
        self.mixing = [mixing(whole, head, sign, mixed=len(self.heads) > 1) for head in self.heads]
        self.sizes = torch.stack(
            [high.flatten() * g.abs().amax(dim=1) for g, (_, high) in zip(self.gradients, self.mixing)]
        ).sum(dim=0)

    def bounds(
        self,
        directions: SparseDirections,
        threshold: Tensor,
        worth: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Compute lower bounds on the attribution along the directions, in successively finer steps of the radius.

        The sums over the steps with the rates at their outer and at their inner ends bracket the result of finer steps.
        A direction is finished once its bracket lies on one side of the threshold.

        Parameters
        ----------
        directions : SparseDirections
            n directions.
        threshold : Tensor of shape (n,)
            A bound is refined until it exceeds this value or finer steps cannot make it do so.
        worth : callable, optional
            ``(proven, open) -> selected`` for boolean tensors of shape (n,): selects the open directions that are
            refined further; all of them by default.

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
            # an upper limit of the bounds of shorter steps, and the bound of steps of this length
            best = self._mixed(start[:, live] - _cost(radius, known[..., :-1].mean(dim=-1)), row[live])
            if level >= 0:
                certain = self._mixed(start[:, live] - _cost(radius, known[..., 1:].mean(dim=-1)), row[live])
                result[live] = certain
            hopeful = best > threshold[live]
            if level == 0:
                hopeful &= result[live] > -float("inf")  # finer steps do not remove an infinite rate at the end
            open_ = torch.zeros_like(result, dtype=torch.bool)
            open_[live] = hopeful & ~(result[live] > threshold[live])
            if worth is not None:
                open_ &= worth(result > threshold, open_)
            live = open_.nonzero().squeeze(1)
            if not len(live):
                break
        return result

    def _mixed(self, values: Tensor, row: Tensor) -> Tensor:
        """Sum over the heads, (heads, n) -> (n,), with each factor at its worst-case endpoint."""
        total = torch.zeros_like(values[0])
        for value, (low, high) in zip(values, self.mixing):
            total = total + value * torch.where(value > 0, low.flatten()[row], high.flatten()[row])
        return total

    def _rates(self, directions: SparseDirections, share: float) -> Tensor:
        """Compute G of every head and direction within that share of the radius, shape (heads, n)."""
        rows, row = directions.row.unique(return_inverse=True)
        known = self._derivatives(rows, share)
        widest = max([self.first_weights.shape[1], *(len(layer.inputs.bias) for layer in self.network.layers)])
        size = max(1, _MAX_ENTRIES // widest)
        parts = [
            self._part(SparseDirections(row[i], directions.feature[i], directions.weight[i]), known)
            for i in torch.arange(len(row)).split(size)
        ]
        return torch.cat(parts, dim=1)

    def _derivatives(self, rows: Tensor, share: float) -> _Derivatives:
        passed = forward(
            self.network,
            IntervalRemainderForm.exact(self.reduced_ball.of_rows(rows, share), self.x[rows], self.axes),
            follow=True,
        )
        activations = [layer.activation for layer in self.network.layers]
        slopes = [f.slope_range(*ends) for f, ends in zip(activations, passed.ranges)]
        bends = [f.bend_range(*ends) for f, ends in zip(activations, passed.ranges)]
        arriving = [backward(self.network, passed, head[rows]).arriving for head in self.heads]
        return _Derivatives(
            slopes, [{number: _bends(bends[number - 1], q.bounds()) for number, q in qs.items()} for qs in arriving]
        )

    def _part(self, directions: SparseDirections, known: _Derivatives) -> Tensor:
        """Compute the rates of a part of the directions; pairs of tensors are middles and half widths."""
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
        if not self.first_layers:  # the model is linear
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
                continue  # a layer without readers
            z, dz = moving[number - 1]
            t, dt, jump = bends[number]
            # the gradient along v jumps where a slope jumps, unless the unit is constant along v
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
        middle, half = (torch.cat([leaving[number][end] for number in self.first_layers], dim=1) for end in (0, 1))
        return torch.where(jumps, float("inf"), self._norm(middle, half))

    def _norm(self, middle: Tensor, half: Tensor) -> Tensor:
        r"""Bound ``|W^T (middle + e)|_*`` for all :math:`|e| \le` half, with W the matrices that multiply x.

        The 1-norm of a sum is at most the sum of the 1-norms; with m = W^T middle, the 2-norm squared is
        :math:`\|m\|^2 + 2 (W m) \cdot e + e^\top W W^\top e`. For more than 1,024 features the 1-norm of m is bounded
        by :math:`\sqrt n\, \|m\|`, a quarter too much if its entries are evenly spread, because the cost of m itself is
        proportional to the number of features for each of the k (n - k) pairs.
        """
        m = middle @ self.first_weights
        if self.ball.norm != 2:
            rest = half @ self.first_row_norms
            if self.factor is None:
                return m.abs().sum(dim=1) + rest
            return torch.minimum(self.factor * m.norm(dim=1), middle.abs() @ self.first_row_norms) + rest
        cross = ((m @ self.first_weights.T).abs() * half).sum(dim=1)
        return (m.square().sum(dim=1) + 2 * cross + ((half @ self.gram) * half).sum(dim=1)).sqrt()


def _bends(bend: tuple[Tensor, Tensor], q: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Return middle and half width of the range of t q, 0 where it is unbounded, and a mask of unbounded ranges."""
    products = torch.stack([t * end for t in bend for end in q])
    products = products.masked_fill(products.isnan(), 0.0)  # 0 * inf: a zero factor makes no jump
    low, high = products.amin(dim=0), products.amax(dim=0)
    jump = torch.isinf(low) | torch.isinf(high)
    low, high = low.masked_fill(jump, 0.0), high.masked_fill(jump, 0.0)
    return (low + high) / 2, (high - low) / 2, jump


def _times(low: Tensor, high: Tensor, middle: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
    """Compute ``[low, high] * (middle +- half)`` as middle and half width, for low >= 0."""
    below, above = middle - half, middle + half
    below = below * torch.where(below >= 0, low, high)
    above = above * torch.where(above >= 0, high, low)
    return (below + above) / 2, (above - below) / 2


def _cost(radius: Tensor, rate: Tensor) -> Tensor:
    """Compute ``radius * rate``; an infinite rate stays infinite even at radius 0."""
    return torch.where(rate == float("inf"), rate, radius * rate)
