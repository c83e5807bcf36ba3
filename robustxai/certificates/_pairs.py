"""From enclosures to proven pairs, and from proven pairs to a proven P@k."""

from __future__ import annotations

import torch
from torch import Tensor

from robustxai.certificates._attribution import Enclosure
from robustxai.certificates._forms import Zonotope

__all__ = ["pair_bounds", "proven_overlap"]


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
    bounds = []
    for number in range(top.shape[1]):
        index = top[:, number : number + 1]
        if ranking == "signed":
            bounds.append(_mixed(terms, index, torch.ones_like(index), rest, 1.0))
        else:
            s = sign.gather(1, index)
            above, below = (_mixed(terms, index, s, rest, side) for side in (1.0, -1.0))
            bounds.append(torch.minimum(above, below))
    return torch.stack(bounds, dim=1)


def _mixed(terms: list[Enclosure], index: Tensor, sign: Tensor, rest: Tensor, side: float) -> Tensor:
    """Lower bound of ``sum_j rho_j (sign phi_r - side phi_a)_j``: every rho at the end that hurts."""
    total: Tensor | None = None
    for term in terms:
        bound = _difference(term, index, sign, rest, side)
        low, high = (m.squeeze(-1) for m in term.mixing)
        bound = bound * torch.where(bound > 0, low, high)
        total = bound if total is None else total + bound
    assert total is not None
    return total


def _difference(term: Enclosure, index: Tensor, sign: Tensor, rest: Tensor, side: float) -> Tensor:
    """Lower bound of ``sign phi_r - side phi_a``, (rows, n - k)."""
    phi = term.phi
    bound = sign * phi.c.gather(1, index) - side * phi.c.gather(1, rest)
    if phi.A is not None:
        bound = bound - phi.ball.width(_rows(phi.A, index, sign, rest, side))
    if isinstance(phi, Zonotope):
        for block in phi.blocks.values():
            bound = bound - _rows(block, index, sign, rest, side).abs().sum(dim=-1)
        return bound
    if not term.errors:
        return bound - phi.error().gather(1, index) - phi.error().gather(1, rest)
    for weight, error in term.errors:
        columns = weight.T.expand(len(bound), -1, -1)
        bound = bound - (_rows(columns, index, sign, rest, side).abs() * error[:, None, :]).sum(dim=-1)
    return bound


def _rows(matrix: Tensor, index: Tensor, sign: Tensor, rest: Tensor, side: float) -> Tensor:
    """``sign M_r - side M_a`` of a matrix (rows, n, m) for all a, (rows, n - k, m)."""
    row = torch.arange(len(matrix))[:, None]
    return sign[..., None] * matrix[row, index] - side * matrix[row, rest]


def proven_overlap(proven: Tensor) -> Tensor:
    """How many members of the top set must stay, from the pairs that are proven to keep their order.

    If m members R are out and m others A are in, no pair of R x A can be proven. So in the graph of the unproven pairs
    each of these 2 m units has at least m neighbours: it survives when units with fewer are taken away one after the
    other. The largest m that leaves m units on either side bounds the number of members that can be lost.

    Parameters
    ----------
    proven : bool Tensor of shape (rows, k, n - k)
        Which pairs keep their order.

    Returns
    -------
    Tensor of int of shape (rows,)
    """
    k = proven.shape[1]
    kept = torch.full((len(proven),), k)
    for m in range(1, min(proven.shape[1:]) + 1):
        kept = torch.where(_has_core(~proven, m), k - m, kept)
    return kept


def _has_core(unproven: Tensor, m: int) -> Tensor:
    inside = unproven.any(dim=2)
    outside = unproven.any(dim=1)
    while True:
        edges = unproven & inside[:, :, None] & outside[:, None, :]
        inside_left, outside_left = edges.sum(dim=2) >= m, edges.sum(dim=1) >= m
        if torch.equal(inside_left, inside) and torch.equal(outside_left, outside):
            return (inside.sum(dim=1) >= m) & (outside.sum(dim=1) >= m)
        inside, outside = inside_left, outside_left
