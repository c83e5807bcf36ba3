"""What is known of one feature of a transformed table: a function of one raw column."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np

__all__ = ["Feature", "Kind", "is_gap", "plain"]

#: What a feature tells of its raw column.
Kind: TypeAlias = Literal["numeric", "category", "missing", "bin"]

_NO_AMOUNT = {
    "category": "a category is no amount",
    "missing": "a mark of gaps is no amount",
    "bin": "a bin is an interval of amounts",
}


def is_gap(value: Any) -> bool:
    """Return whether a value of a table is missing: None, NaN, NaT or NA."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return bool(np.isscalar(value) and value != value)


def plain(value: Any) -> Any:
    """Return a value of NumPy as Python's."""
    return value.item() if isinstance(value, np.generic) else value


@dataclass(frozen=True, eq=False)
class Feature:
    r"""One feature, a function of one raw column.

    Its value is :math:`\text{shift} + \text{scale} \cdot b` unless `reason` says why it is not, where b depends on
    `source`: the raw amount; 1 for the `categories` and 0 for all others (a mark of gaps: 1 where there is a gap); or
    the entry of `values` at the place of the raw category in `levels`.

    Parameters
    ----------
    name : str
        Name of the feature.
    column : int
        Place of the raw column in the frame.
    kind : {"numeric", "category", "missing", "bin"}
        What it tells of the column.
    source : {"amount", "mark", "code"}
        What b is.
    scale, shift : float
        See above.
    low, high : float
        Limits that a scaler clips the feature to.
    direction : {-1, 0, 1}
        Whether it never rises or never falls with the raw amount; 0 where neither is known.
    categories : tuple
        Raw categories that the feature marks. For a bin the two ends of its interval, in raw amounts.
    levels : tuple of tuple
        Raw categories that the encoder knows, together where it does not tell them apart.
    values : tuple of float
        Codes of `levels`.
    block : int
        Number of the encoder and column; the features of a block are marks of one value.
    text : bool
        Whether categories are the text of what the raw column has.
    fill : float
        Amount that stands for a gap, NaN where none does.
    hole : str
        Amounts that are replaced by another one, in words.
    reason : str
        Why the value is not as above.
    """

    name: str
    column: int
    kind: Kind = "numeric"
    source: Literal["amount", "mark", "code"] = "amount"
    scale: float = 1.0
    shift: float = 0.0
    low: float = -math.inf
    high: float = math.inf
    direction: int = 1
    categories: tuple[Any, ...] = ()
    levels: tuple[tuple[Any, ...], ...] = ()
    values: tuple[float, ...] = ()
    block: int = -1
    text: bool = False
    fill: float = math.nan
    hole: str = ""
    reason: str = ""

    @property
    def unit(self) -> float | None:
        """Amount of the raw column that one unit of the feature is; None where there is no such number."""
        return None if self.why_no_unit else 1.0 / self.scale

    @property
    def why_no_unit(self) -> str:
        """Why `unit` is None, "" where it is a number."""
        return _NO_AMOUNT.get(self.kind, "") or self.reason or self.hole

    @property
    def category(self) -> Any:
        """The raw category of the feature, several as a tuple, the interval of a bin; None of numbers and codes."""
        return self.categories[0] if len(self.categories) == 1 else self.categories or None

    def scaled(self, scale: float, shift: float) -> Feature:
        """Return the feature ``shift + scale * self``."""
        scale, shift = float(scale), float(shift)
        if scale == 0:
            return self.bent("its weight is 0")
        ends = sorted(shift + scale * end for end in (self.low, self.high))
        return replace(
            self,
            scale=scale * self.scale,
            shift=shift + scale * self.shift,
            low=ends[0],
            high=ends[1],
            direction=self.direction * (1 if scale > 0 else -1),
        )

    def clipped(self, low: float, high: float) -> Feature:
        """Return the feature, clipped."""
        return replace(self, low=max(self.low, float(low)), high=min(self.high, float(high)))

    def bent(self, reason: str, *, rising: bool = False) -> Feature:
        """Return a function of the feature that is not affine, `rising` where it never falls."""
        return replace(
            self, reason=self.reason or reason, direction=self.direction if rising else 0, low=-math.inf, high=math.inf
        )

    def amount(self, value: float) -> float:
        """Return the raw amount at which an affine feature has a value."""
        return (value - self.shift) / self.scale

    def level_of(self, value: Any) -> tuple[Any, ...]:
        """Return the raw categories at which the feature has a value: those of the categories of a later encoder."""
        if self.source == "code":
            codes = [self.shift + self.scale * code for code in self.values]
            return tuple(one for code, level in zip(codes, self.levels) if _same(code, value) for one in level)
        if is_gap(value) or (self.scale, self.shift) == (1.0, 0.0):
            return (plain(value),)
        return (self.amount(float(value)),)


def _same(code: float, value: Any) -> bool:
    if is_gap(code) or is_gap(value):
        return is_gap(code) and is_gap(value)
    return math.isclose(code, float(value), rel_tol=1e-9, abs_tol=1e-12)
