"""Lower bounds on the differences of scores."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from robustxai.bounds._attribution import GradientBounds
from robustxai.bounds._curvature import SparseDirections
from robustxai.bounds._forms import IntervalRemainderForm, ZonotopeForm
from robustxai.protocols import Ranking

__all__ = ["MAX_CHANNELS", "RankPairs", "pair_bounds"]

#: Up to this number of channels, every pattern of their signs is bounded separately (at most 16 patterns).
MAX_CHANNELS = 4


@dataclass(frozen=True)
class RankPairs:
    r"""Pairs of a member r of the top set and another unit a, with scores as weighted sums of attribution entries.

    A unit's score is the sum of its channels' magnitudes; most inputs have one channel. With the signs s of the
    attribution at x,

    .. math:: \sum_c |\phi_{rc}| - \sum_c |\phi_{ac}| \ge \min_{t \in \{-1, 1\}^C}
        \sum_c s_{rc} \phi_{rc} - \sum_c t_c \phi_{ac},

    so that a pair keeps its order if the right-hand side is positive for every pattern t. Signed scores are the sums
    of the channels: one pattern, of ones.

    Attributes
    ----------
    member, other : Tensors of int of shape (rows, channels, k) and (rows, channels, n - k)
        Indices of the members' and of the others' entries in the attribution.
    member_sign : Tensor of shape (rows, channels, k)
        s.
    other_signs : list of Tensor of shape (rows, channels, n - k)
        The patterns t.
    complete : bool
        True if these are all patterns. For more than `MAX_CHANNELS` channels there is one, the signs at x, and a bound
        subtracts the contribution of entries that may change their sign.
    """

    member: Tensor
    other: Tensor
    member_sign: Tensor
    other_signs: list[Tensor]
    complete: bool

    @classmethod
    def of(cls, top: Tensor, rest: Tensor, sign: Tensor, ranking: Ranking, channels: int = 1) -> RankPairs:
        """Pair every unit of `top` (rows, k) with every one of `rest` (rows, n - k); parameters as in `pair_bounds`."""
        # a row holds an image channel by channel
        first = torch.arange(channels, device=sign.device)[:, None] * (sign.shape[1] // channels)
        member, other = top[:, None] + first, rest[:, None] + first
        if ranking == "signed":
            ones = [torch.ones(index.shape, dtype=sign.dtype, device=sign.device) for index in (member, other)]
            return cls(member, other, ones[0], ones[1:], complete=True)
        member_sign = sign.gather(1, member.flatten(1)).reshape(member.shape)
        if channels > MAX_CHANNELS:
            other_sign = sign.gather(1, other.flatten(1)).reshape(other.shape)
            return cls(member, other, member_sign, [torch.where(other_sign < 0, -1.0, 1.0).to(sign)], complete=False)
        patterns = itertools.product((1.0, -1.0), repeat=channels)
        other_signs = [sign.new_tensor(pattern)[:, None].expand(other.shape) for pattern in patterns]
        return cls(member, other, member_sign, other_signs, complete=True)

    def directions(self, where: Tensor) -> SparseDirections:
        """Return vectors v such that ``v . phi`` is the difference of scores.

        Parameters
        ----------
        where : Tensor of int of shape (n, 4)
            Row, pattern, member and other unit of each vector.
        """
        row, pattern, member, other = where.T
        feature = torch.cat([self.member[row, :, member], self.other[row, :, other]], dim=1)
        other_sign = torch.stack(self.other_signs)[pattern, row, :, other]
        return SparseDirections(row, feature, torch.cat([self.member_sign[row, :, member], -other_sign], dim=1))

    def bounds(self, terms: list[GradientBounds]) -> Tensor:
        """Return lower bounds over the ball for every pattern, shape (rows, patterns, k, n - k)."""
        mixing = [[end.squeeze(-1) for end in term.mixing] for term in terms]
        members = [_Scores(term, self.member, self.member_sign) for term in terms]
        bounds = []
        for sign in self.other_signs:
            others = [_Scores(term, self.other, sign) for term in terms]
            widths = [a.widths(b) for a, b in zip(members, others)]
            rows = [
                _mixed([a.above(b, number, w) for a, b, w in zip(members, others, widths)], mixing)
                for number in range(self.member.shape[2])
            ]
            bounds.append(torch.stack(rows, dim=1))
        result = torch.stack(bounds, dim=1)
        return result if self.complete else result - self._turning(terms, mixing)

    def _turning(self, terms: list[GradientBounds], mixing: list[list[Tensor]]) -> Tensor:
        """Bound the part ``2 max(0, -t phi)`` of ``|phi| = t phi + 2 max(0, -t phi)``, shape (rows, 1, 1, n - k)."""
        (sign,) = self.other_signs
        index = self.other.flatten(1)
        lowest = []
        for term in terms:
            low, high = (end.gather(1, index).reshape(self.other.shape) for end in term.phi.bounds())
            lowest.append(torch.where(sign > 0, low, -high).flatten(1))
        against = _mixed(lowest, mixing).reshape(self.other.shape)
        return 2 * (-against).clamp_min(0).sum(dim=1)[:, None, None]


def pair_bounds(
    terms: list[GradientBounds], top: Tensor, rest: Tensor, sign: Tensor, ranking: Ranking, channels: int = 1
) -> Tensor:
    r"""Compute lower bounds of ``score_r - score_a`` over the ball, for all r in `top` and a in `rest`.

    For magnitudes, :math:`|\phi_r| > |\phi_a|` follows from :math:`s \phi_r - \phi_a > 0` and
    :math:`s \phi_r + \phi_a > 0` with the sign s of :math:`\phi_r` at x; the bound is the lower of the two. For
    images with C channels, :class:`RankPairs` has the 2^C patterns.

    Parameters
    ----------
    terms : list of GradientBounds
        Bounds of the attribution.
    top : Tensor of shape (rows, k)
        Indices of the members.
    rest : Tensor of shape (rows, n - k)
        Indices of the others.
    sign : Tensor of shape (rows, channels * n)
        Signs of the attribution at x, channel by channel; used for magnitudes only.
    ranking : {"magnitude", "signed"}
        Scores that are ranked.
    channels : int, default=1
        Number of entries of a unit, which are n apart.

    Returns
    -------
    Tensor of shape (rows, k, n - k)
    """
    return RankPairs.of(top, rest, sign, ranking, channels).bounds(terms).amin(dim=1)


def _mixed(bounds: list[Tensor], mixing: list[list[Tensor]]) -> Tensor:
    """Bound ``sum_j rho_j y_j`` from below by bounds of the y_j, with each rho at its worst-case endpoint."""
    total = torch.zeros_like(bounds[0])
    for bound, (low, high) in zip(bounds, mixing):
        total = total + bound * torch.where(bound > 0, low, high)
    return total


class _Scores:
    """Forms of ``sum_c sign_c phi_c`` for every unit; entries and signs have shape (rows, channels, units)."""

    def __init__(self, term: GradientBounds, entries: Tensor, sign: Tensor) -> None:
        phi = term.phi
        self.ball = phi.ball

        def summed(matrix: Tensor, weight: Tensor = sign) -> Tensor:
            parts = [
                weight[:, channel, :, None] * _rows(matrix, entries[:, channel]) for channel in range(entries.shape[1])
            ]
            return parts[0] if len(parts) == 1 else torch.stack(parts).sum(dim=0)

        self.center = summed(phi.c[..., None]).squeeze(-1)
        self.linear = None if phi.A is None else summed(phi.A)
        blocks = phi.blocks.values() if isinstance(phi, ZonotopeForm) else ()
        self.symbols = [summed(block) for block in blocks]
        self.errors: list[tuple[Tensor, Tensor]] = []
        self.remainder: Tensor | None = None
        if isinstance(phi, IntervalRemainderForm) and term.errors:
            self.errors = [(summed(weight.T[None]), error[:, None, :]) for weight, error in term.errors]
        elif isinstance(phi, IntervalRemainderForm):
            self.remainder = summed(phi.e[..., None], sign.abs()).squeeze(-1)

    def widths(self, others: _Scores) -> Tensor | None:
        """Return the maxima over the ball of the linear parts of all differences of scores, shape (rows, k, n - k)."""
        if self.linear is None or others.linear is None:
            return None
        return self.ball.widths(self.linear, others.linear)

    def above(self, others: _Scores, number: int, widths: Tensor | None) -> Tensor:
        """Bound the score with index `number` minus each of the other scores from below, shape (rows, n - k)."""

        def gap(mine: Tensor, theirs: Tensor) -> Tensor:
            return mine[:, number : number + 1] - theirs

        bound = gap(self.center, others.center)
        if widths is not None:
            bound = bound - widths[:, number]
        for mine, theirs in zip(self.symbols, others.symbols):
            bound = bound - gap(mine, theirs).abs().sum(dim=-1)
        for (mine, error), (theirs, _) in zip(self.errors, others.errors):
            bound = bound - (gap(mine, theirs).abs() * error).sum(dim=-1)
        if self.remainder is not None and others.remainder is not None:
            bound = bound - self.remainder[:, number : number + 1] - others.remainder
        return bound


def _rows(matrix: Tensor, index: Tensor) -> Tensor:
    """Select rows of every matrix: (rows, n, m) and an index of shape (rows, indices) to (rows, indices, m)."""
    return matrix.expand(len(index), -1, -1).gather(1, index[..., None].expand(-1, -1, matrix.shape[2]))
