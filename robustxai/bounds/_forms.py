r"""Affine forms: sets that contain all values of a quantity over a ball of inputs.

A form of a vector y, for each row of a batch, is the statement

.. math:: y(\delta) \in c + A \delta + Z [-1, 1]^m + [-e, e] \quad \text{for all } \|\delta\| \le r

with the *same* delta in every form of a computation, so that the common part of two quantities cancels in their
difference. A :class:`ZonotopeForm` keeps every remainder as a column of Z, a named symbol, so that remainders cancel
too. An :class:`IntervalRemainderForm` sums them up in e, at a fraction of the cost. Interval arithmetic is the latter
with constant relaxations of activations. All operations preserve the statement; the slack of the final bound covers
float64 rounding.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from itertools import count

import torch
from torch import Tensor
from typing_extensions import Self

from robustxai.perturbation import canonical_norm
from robustxai.protocols import Norm

__all__ = ["AffineForm", "Ball", "IntervalRemainderForm", "PathPoints", "ZonotopeForm"]

_names = count()
#: Entries of the largest array that is computed at once if a ball has a basis.
_MAX_ENTRIES = 2**21


@dataclass(frozen=True)
class Ball:
    r"""``{delta : ||delta||_p <= radius}`` for p = 2 or infinity, delta of length d; radius of shape (rows, 1).

    With an orthonormal `basis` Q of shape (d, m), linear parts are matrices of :math:`\delta' = Q^\top \delta`. For the
    2-norm the range of :math:`\delta'` is the ball in m dimensions; for the other, widths are
    :math:`\max A Q^\top \delta`.
    """

    radius: Tensor
    norm: Norm
    d: int
    basis: Tensor | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "norm", canonical_norm(self.norm))

    def in_basis(self, basis: Tensor | None) -> Ball:
        """Return the same ball for linear parts in the coordinates of the basis."""
        return self if basis is None else replace(self, basis=basis)

    def repeated(self, n: int) -> Ball:
        """Return the balls of n copies of all rows, one after the other."""
        return self if n == 1 else replace(self, radius=self.radius.repeat(n, 1))

    def of_rows(self, rows: Tensor, share: float = 1.0) -> Ball:
        """Return the balls of some of the rows, with a share of the radius."""
        return replace(self, radius=share * self.radius[rows])

    def width(self, A: Tensor) -> Tensor:
        """Compute ``max A delta`` over the ball for every row of A, radius times the dual norm: (..., d) -> (...)."""
        return self.radius * self._dual(A)

    def widths(self, A: Tensor, B: Tensor) -> Tensor:
        """Compute ``max (A_i - B_j) delta`` over the ball: (rows, k, m) and (rows, l, m) -> (rows, k, l)."""
        if self.basis is None or self.norm == 2:
            return torch.stack([self.width(A[:, i : i + 1] - B) for i in range(A.shape[1])], dim=1)
        mine = (A @ self.basis.T).expand(len(B), -1, -1)
        size = max(1, _MAX_ENTRIES // (len(B) * len(self.basis)))
        parts = [torch.cdist(mine, part @ self.basis.T, p=1.0) for part in B.split(size, dim=1)]
        return self.radius[..., None] * torch.cat(parts, dim=2)

    def _dual(self, A: Tensor) -> Tensor:
        if self.norm == 2:
            return A.norm(dim=-1)
        if self.basis is None:
            return A.abs().sum(dim=-1)
        rows = A.reshape(-1, A.shape[-1])
        size = max(1, _MAX_ENTRIES // len(self.basis))
        return torch.cat([(part @ self.basis.T).abs().sum(dim=-1) for part in rows.split(size)]).reshape(A.shape[:-1])

    def product(self, A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
        """Bound ``(A delta)(B delta)`` from below and above, row by row.

        For the 2-norm the eigenvalues of the symmetric part of A^T B are (A.B -+ |A||B|) / 2. For the cube both the
        2-ball through its corners and the product of the two widths give a bound.
        """
        radius = self.radius if self.norm == 2 else self.radius * self.d**0.5
        inner, outer = radius**2 * (A * B).sum(dim=-1), radius**2 * A.norm(dim=-1) * B.norm(dim=-1)
        low, high = (inner - outer) / 2, (inner + outer) / 2
        if self.norm != 2:
            crude = self.width(A) * self.width(B)
            low, high = torch.maximum(low, -crude), torch.minimum(high, crude)
        return low, high


@dataclass(frozen=True)
class AffineForm:
    """Center c of shape (rows, n) and linear part A of shape (rows, n, d); subclasses add the remainder.

    A has shape (1, n, d) if it is the same for all rows, and is None for a quantity without linear part.
    """

    ball: Ball
    c: Tensor
    A: Tensor | None

    @classmethod
    def exact(cls, ball: Ball, c: Tensor, A: Tensor | None = None) -> Self:
        """Return ``c + A delta``, without remainder."""
        raise NotImplementedError

    def bounds(self) -> tuple[Tensor, Tensor]:
        """Return lower and upper bounds of every entry, shape (rows, n)."""
        half = self._reach() + self.error()
        return self.c - half, self.c + half

    def error(self) -> Tensor:
        """Return half the width of the remainder, shape (rows, n)."""
        raise NotImplementedError

    def linear(self, W: Tensor, bias: Tensor | None = None) -> Self:
        """Return ``W y + bias`` for W of shape (m, n)."""
        raise NotImplementedError

    def plus(self, other: Self) -> Self:
        """Return ``y + y'``."""
        raise NotImplementedError

    def relaxed(self, slope: Tensor, low: Tensor, high: Tensor, *, follow: bool = True) -> Self:
        """Return ``slope * y + [low, high]``; without `follow` the slope is zero."""
        raise NotImplementedError

    def times(self, other: Self) -> Self:
        """Return ``y * y'``, entry by entry."""
        raise NotImplementedError

    def summed(self, n: int, ball: Ball) -> Self:
        """Return the sum over n copies of the rows, which follow each other, as a form over the `ball` of one copy."""
        raise NotImplementedError

    def scaled(self, factor: Tensor) -> Self:
        """Return ``factor * y``, entry by entry, for a factor of shape (rows, n) or (rows, 1)."""
        zero = torch.zeros_like(self.c)
        return self.relaxed(factor, zero, zero)

    def _reach(self) -> Tensor:
        return torch.zeros_like(self.c) if self.A is None else self.ball.width(self.A)

    def _product(self, other: AffineForm) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return center, linear part and remainder of ``y * y'``, from c, A and the total remainders."""
        a, b = self.c, other.c
        e_a, e_b = self.error(), other.error()
        error = self._reach() * e_b + other._reach() * e_a + e_a * e_b
        center = a * b
        A: Tensor | None = None
        if self.A is not None and other.A is not None:
            low, high = self.ball.product(self.A, other.A)
            center, error = center + (low + high) / 2, error + (high - low) / 2
            A = a[..., None] * other.A + b[..., None] * self.A
        elif other.A is not None:
            A = a[..., None] * other.A
        elif self.A is not None:
            A = b[..., None] * self.A
        return center, A, error


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a + b


@dataclass(frozen=True)
class IntervalRemainderForm(AffineForm):
    """Affine form with one remainder interval per entry, `e` of shape (rows, n)."""

    e: Tensor

    @classmethod
    def exact(cls, ball: Ball, c: Tensor, A: Tensor | None = None) -> Self:
        return cls(ball, c, A, torch.zeros_like(c))

    def error(self) -> Tensor:
        return self.e

    def linear(self, W: Tensor, bias: Tensor | None = None) -> Self:
        c = self.c @ W.T
        A = None if self.A is None else W @ self.A
        return type(self)(self.ball, c if bias is None else c + bias, A, self.e @ W.abs().T)

    def plus(self, other: Self) -> Self:
        return type(self)(self.ball, self.c + other.c, _sum(self.A, other.A), self.e + other.e)

    def summed(self, n: int, ball: Ball) -> Self:
        if n == 1:
            return self
        return type(self)(ball, _over_copies(self.c, n), _linear_over_copies(self.A, n), _over_copies(self.e, n))

    def relaxed(self, slope: Tensor, low: Tensor, high: Tensor, *, follow: bool = True) -> Self:
        middle, half = (low + high) / 2, (high - low) / 2
        if not follow:
            return type(self)(self.ball, middle, None, half)
        A = None if self.A is None else slope[..., None] * self.A
        return type(self)(self.ball, slope * self.c + middle, A, slope.abs() * self.e + half)

    def times(self, other: Self) -> Self:
        # intervals do not record that two remainders are related: their products with the centers add up
        center, A, error = self._product(other)
        return type(self)(self.ball, center, A, error + self.c.abs() * other.e + other.c.abs() * self.e)


@dataclass(frozen=True)
class ZonotopeForm(AffineForm):
    """Affine form with named symbols as remainder: `blocks` maps a name to columns of Z, (rows, n, symbols)."""

    blocks: dict[Hashable, Tensor] = field(default_factory=dict)

    @classmethod
    def exact(cls, ball: Ball, c: Tensor, A: Tensor | None = None) -> Self:
        return cls(ball, c, A, {})

    def error(self) -> Tensor:
        return sum((block.abs().sum(dim=-1) for block in self.blocks.values()), torch.zeros_like(self.c))

    def linear(self, W: Tensor, bias: Tensor | None = None) -> Self:
        c = self.c @ W.T
        A = None if self.A is None else W @ self.A
        blocks = {name: W @ block for name, block in self.blocks.items()}
        return type(self)(self.ball, c if bias is None else c + bias, A, blocks)

    def plus(self, other: Self) -> Self:
        return type(self)(self.ball, self.c + other.c, _sum(self.A, other.A), _merged(self.blocks, other.blocks))

    def summed(self, n: int, ball: Ball) -> Self:
        if n == 1:
            return self
        # the symbols of the copies are different ones, but those of two sums of the same copies are the same
        blocks: dict[Hashable, Tensor] = {
            ("summed", name): block.unflatten(0, (n, -1)).permute(1, 2, 0, 3).flatten(2)
            for name, block in self.blocks.items()
        }
        return type(self)(ball, _over_copies(self.c, n), _linear_over_copies(self.A, n), blocks)

    def relaxed(self, slope: Tensor, low: Tensor, high: Tensor, *, follow: bool = True) -> Self:
        middle, half = (low + high) / 2, (high - low) / 2
        if not follow:
            return type(self)(self.ball, middle, None, _fresh(half))
        A = None if self.A is None else slope[..., None] * self.A
        blocks = {name: slope[..., None] * block for name, block in self.blocks.items()}
        return type(self)(self.ball, slope * self.c + middle, A, blocks | _fresh(half))

    def times(self, other: Self) -> Self:
        center, A, error = self._product(other)
        mine = {name: other.c[..., None] * block for name, block in self.blocks.items()}
        theirs = {name: self.c[..., None] * block for name, block in other.blocks.items()}
        return type(self)(self.ball, center, A, _merged(mine, theirs) | _fresh(error))


@dataclass(frozen=True)
class PathPoints:
    """Inputs ``c + share * axes @ delta``: several points of the same rows, one point's rows after the other's.

    Attributes
    ----------
    form : type of AffineForm
        Class of the forms that are made of the points.
    ball : Ball
        Of all points, the rows of which it repeats.
    c : Tensor of shape (points * rows, n)
        Centers.
    axes : Tensor of shape (rows, n, d) or (1, n, d), or None
        Matrices from delta to the change of the rows; None if they do not change.
    shares : Tensor of shape (points,)
        Share of that change at each point.
    """

    form: type[IntervalRemainderForm] | type[ZonotopeForm]
    ball: Ball
    c: Tensor
    axes: Tensor | None
    shares: Tensor

    def exact(self, ball: Ball, c: Tensor, A: Tensor | None = None) -> AffineForm:
        """Return ``c + A delta`` in the class of forms."""
        return self.form.exact(ball, c, A)

    def linear(self, W: Tensor, bias: Tensor | None = None) -> AffineForm:
        """Return ``W x + bias``: the matrix meets the axes of a row once, not once for each of its points."""
        c = self.c @ W.T
        A = None
        if self.axes is not None:
            image = (W @ self.axes).expand(len(c) // len(self.shares), -1, -1)
            A = (self.shares[:, None, None, None] * image).flatten(0, 1)
        return self.exact(self.ball, c if bias is None else c + bias, A)


def _over_copies(values: Tensor, n: int) -> Tensor:
    return values.unflatten(0, (n, -1)).sum(dim=0)


def _linear_over_copies(A: Tensor | None, n: int) -> Tensor | None:
    """Return the sum of the linear parts; one that is the same for all rows counts n times."""
    if A is None:
        return None
    return n * A if len(A) == 1 else _over_copies(A, n)


def _fresh(half: Tensor) -> dict[Hashable, Tensor]:
    """Make one new symbol per entry; none if all are zero."""
    return {next(_names): torch.diag_embed(half)} if bool((half != 0).any()) else {}


def _merged(a: dict[Hashable, Tensor], b: dict[Hashable, Tensor]) -> dict[Hashable, Tensor]:
    return a | {name: a[name] + block if name in a else block for name, block in b.items()}
