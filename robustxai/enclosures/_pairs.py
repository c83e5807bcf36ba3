"""From enclosures to lower bounds on the differences of scores."""

from __future__ import annotations

import torch
from torch import Tensor

from robustxai.enclosures._attribution import Enclosure
from robustxai.enclosures._forms import Box, Zonotope

__all__ = ["pair_bounds"]


def pair_bounds(terms: list[Enclosure], top: Tensor, rest: Tensor, sign: Tensor, ranking: str) -> Tensor:
    r"""Lower bounds of ``score_r - score_a`` over the ball, for all r in `top` and a in `rest`.

    Of magnitudes, :math:`|\phi_r| > |\phi_a|` follows from :math:`s \phi_r - \phi_a > 0` and
    :math:`s \phi_r + \phi_a > 0` with the sign s that :math:`\phi_r` has at x; the bound is the lower of the two.

    Parameters
    ----------
    terms : list of Enclosure
        Of the attribution.
    top : Tensor of shape (rows, k)
        Indices of the members.
    rest : Tensor of shape (rows, n - k)
        Indices of the others.
    sign : Tensor of shape (rows, n)
        Of the attribution at x; read for magnitudes only.
    ranking : {"magnitude", "signed"}
        What is ranked.

    Returns
    -------
    Tensor of shape (rows, k, n - k)
    """
    pairs = [_Pairs(term, top, rest) for term in terms]
    bounds = []
    for number in range(top.shape[1]):
        if ranking == "signed":
            bounds.append(_mixed(pairs, number, torch.ones_like(top[:, :1]), 1.0))
        else:
            s = sign.gather(1, top[:, number : number + 1])
            above, below = (_mixed(pairs, number, s, side) for side in (1.0, -1.0))
            bounds.append(torch.minimum(above, below))
    return torch.stack(bounds, dim=1)


def _mixed(pairs: list[_Pairs], number: int, sign: Tensor, side: float) -> Tensor:
    """Lower bound of ``sum_j rho_j (sign phi_r - side phi_a)_j``: every rho at the end that hurts."""
    total: Tensor | None = None
    for term in pairs:
        bound = term.difference(number, sign, side)
        low, high = term.mixing
        bound = bound * torch.where(bound > 0, low, high)
        total = bound if total is None else total + bound
    assert total is not None
    return total


class _Pairs:
    """One term of an attribution, taken apart into the members of the top set and the others."""

    def __init__(self, term: Enclosure, top: Tensor, rest: Tensor) -> None:
        phi = term.phi
        self.ball = phi.ball
        self.mixing = [m.squeeze(-1) for m in term.mixing]
        self.centre = phi.c.gather(1, top), phi.c.gather(1, rest)
        self.linear = None if phi.A is None else (_rows(phi.A, top), _rows(phi.A, rest))
        blocks = phi.blocks.values() if isinstance(phi, Zonotope) else ()
        self.symbols = [(_rows(block, top), _rows(block, rest)) for block in blocks]
        self.errors: list[tuple[Tensor, Tensor, Tensor]] = []
        self.box: tuple[Tensor, Tensor] | None = None
        if isinstance(phi, Box) and term.errors:
            self.errors = [(weight.T[top], weight.T[rest], error[:, None, :]) for weight, error in term.errors]
        elif isinstance(phi, Box):
            self.box = phi.e.gather(1, top), phi.e.gather(1, rest)

    def difference(self, number: int, sign: Tensor, side: float) -> Tensor:
        """Lower bound of ``sign phi_r - side phi_a`` for the member of that number and all a, (rows, n - k)."""

        def combine(top: Tensor, rest: Tensor) -> Tensor:
            member = top[:, number : number + 1]
            return sign.reshape(-1, *(1,) * (top.ndim - 1)) * member - side * rest

        bound = combine(*self.centre)
        if self.linear is not None:
            bound = bound - self.ball.width(combine(*self.linear))
        for top, rest in self.symbols:
            bound = bound - combine(top, rest).abs().sum(dim=-1)
        for top, rest, error in self.errors:
            bound = bound - (combine(top, rest).abs() * error).sum(dim=-1)
        if self.box is not None:
            bound = bound - self.box[0][:, number : number + 1] - self.box[1]
        return bound


def _rows(matrix: Tensor, index: Tensor) -> Tensor:
    """The rows of every matrix of (rows, n, m) that its line of `index` names, (rows, indices, m)."""
    return matrix.expand(len(index), -1, -1).gather(1, index[..., None].expand(-1, -1, matrix.shape[2]))
