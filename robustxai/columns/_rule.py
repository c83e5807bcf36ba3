"""How one column of a raw row may change."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from robustxai._validation import nearest_name
from robustxai.columns._feature import is_gap

__all__ = ["ColumnRule", "as_dtype", "differ", "is_number", "written"]

#: Relative excess that counts as rounding.
_ROUNDING = 1e-9


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number; booleans are none."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool) and _finite(value)


def _finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def written(value: Any) -> str:
    """Return a value of a table for a message."""
    if is_gap(value):
        return "a gap"
    if isinstance(value, (float, np.floating)):
        return _amount(float(value))
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return f"{value:,}"
    return repr(str(value)) if isinstance(value, (str, np.str_)) else str(value)


def _amount(value: float) -> str:
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e15 and value == round(value) else f"{value:,.6g}"


@dataclass(frozen=True, eq=False)
class ColumnRule:
    """How a column may change.

    Parameters
    ----------
    name : hashable
        The column.
    kind : {"number", "category", "other"}
        What it holds; "other" never changes.
    dtype : dtype
        Of the column in the table.
    immutable : bool
        Whether it never changes.
    integer : bool
        Whether its numbers are whole.
    budget : float
        Largest change of a number.
    low, high : float
        Bounds of a number.
    direction : {"", "up", "down"}
        Whether a number only rises or only falls.
    levels : tuple
        Categories that exist.
    allowed : dict
        For each category those to which it may switch.
    words : dict
        Where budget, bounds and categories come from, for the description.
    """

    name: Any
    kind: Literal["number", "category", "other"]
    dtype: Any = None
    immutable: bool = False
    integer: bool = False
    budget: float = 0.0
    low: float = -math.inf
    high: float = math.inf
    direction: Literal["", "up", "down"] = ""
    levels: tuple[Any, ...] = ()
    allowed: Mapping[Any, tuple[Any, ...]] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)

    @property
    def step(self) -> float:
        """Largest change of a number: the budget, of whole numbers in whole steps."""
        if self.immutable or self.kind != "number":
            return 0.0
        return float(math.floor(self.budget * (1 + _ROUNDING))) if self.integer else self.budget

    def scaled(self, share: float) -> ColumnRule:
        """Return the rule with a share of its budget."""
        words = {name: text for name, text in self.words.items() if name not in ("budget", "still")}
        budget = share * self.budget
        if self.integer and 0 < budget < 1:
            words["still"] = f"the budget of {budget:g} is less than one step"
        return replace(self, budget=budget, words=words)

    def check(self, value: Any, what: str) -> None:
        """Raise ValueError or TypeError for a value that the column cannot have."""
        if self.immutable or self.kind == "other" or is_gap(value):
            return
        if self.kind == "category":
            if value not in self.levels:
                raise ValueError(
                    f"{what} has the category {written(value)} in the column {self.name!r}, which was never seen there."
                    f"{nearest_name(str(value), map(str, self.levels))} Replace it, or make the threat of a table that "
                    "has it."
                )
            return
        if not is_number(value):
            raise TypeError(
                f"{what} has {value!r:.60} in the column {self.name!r}, where a number belongs. Convert it, or name "
                "the column in immutable."
            )
        if self.integer and float(value) != math.floor(value):
            raise ValueError(
                f"{what} has {written(value)} in the column {self.name!r} of whole numbers. Round it, or pass "
                f"integer={{{self.name!r}: False}}."
            )
        if not self.low <= value <= self.high:
            low, high = min(self.low, float(value)), max(self.high, float(value))
            raise ValueError(
                f"{what} has {written(value)} in the column {self.name!r}, outside of its bounds "
                f"{self.bounds_in_words()}. Pass wider ones, bounds={{{self.name!r}: ({low:g}, {high:g})}}, or leave "
                "the row out."
            )

    def interval(self, value: Any) -> tuple[float, float]:
        """Return the lowest and highest number to which a value may change."""
        value, step = float(value), self.step
        low = value if self.direction == "up" else max(value - step, min(self.low, value))
        high = value if self.direction == "down" else min(value + step, max(self.high, value))
        if self.integer:
            low, high = math.ceil(low), math.floor(high)
        kind = np.dtype(self.dtype) if isinstance(self.dtype, np.dtype) else None
        if kind is not None and kind.kind in "iu":
            low, high = max(low, np.iinfo(kind).min), min(high, np.iinfo(kind).max)
        return float(low), float(high)

    def options(self, value: Any) -> tuple[Any, ...]:
        """Return the categories to which a value may switch."""
        if self.immutable or self.kind != "category" or is_gap(value):
            return ()
        return tuple(other for other in self.allowed.get(value, ()) if other != value)

    def level_at(self, value: Any) -> Any:
        """Return the category that a proposal means: itself, of numbers the nearest, or by its text; else None."""
        if value in self.levels:
            return self.levels[self.levels.index(value)]
        if is_number(value) and self.levels and all(is_number(level) for level in self.levels):
            return min(self.levels, key=lambda level: abs(level - value))
        return {str(level): level for level in self.levels}.get(str(value))

    def fault(self, value: Any, changed: Any) -> str:
        """Return why a change is not admissible, "" where it is."""
        if not differ(value, changed):
            return ""
        name, shown = repr(self.name), f"from {written(value)} to {written(changed)}"
        if self.immutable or self.kind == "other":
            return f"{name} is immutable and changes {shown}"
        if is_gap(value) or is_gap(changed):
            return f"{name} changes {shown}, and gaps stay as they are"
        if self.kind == "category":
            if changed not in self.levels:
                return f"{name} has no category {written(changed)}"
            return "" if changed in self.options(value) else f"{name} may not switch {shown}"
        if not is_number(changed):
            return f"{name} changes {shown}, which is no number"
        if self.integer and float(changed) != math.floor(changed):
            return f"{name} has whole numbers and changes {shown}"
        delta, slack = float(changed) - float(value), _ROUNDING * max(1.0, abs(float(value)), self.budget)
        if self.direction and (delta > 0) != (self.direction == "up"):
            return f"{name} may only go {self.direction} and changes {shown}"
        if abs(delta) > self.budget + slack:
            return f"{name} changes by {written(abs(delta))}, more than its budget of {written(self.budget)}"
        if not self.low - slack <= float(changed) <= self.high + slack:
            return f"{name} changes {shown}, outside of its bounds {self.bounds_in_words()}"
        return ""

    def bounds_in_words(self) -> str:
        """Return "17 to 90 (observed)"."""
        low, high = math.isfinite(self.low), math.isfinite(self.high)
        text = {
            (True, True): f"{_amount(self.low)} to {_amount(self.high)}",
            (True, False): f"at least {_amount(self.low)}",
            (False, True): f"at most {_amount(self.high)}",
            (False, False): "any",
        }[low, high]
        source = self.words.get("bounds", "")
        return f"{text} ({source})" if source and (low or high) else text

    def in_words(self) -> tuple[str, str, str, str]:
        """Return the row of the description: column, what it holds, how it changes, within which bounds."""
        if self.kind == "other":
            return str(self.name), str(self.dtype), "never", ""
        if self.kind == "category":
            return str(self.name), f"{len(self.levels)} categories", self._switches_in_words(), ""
        holds = "whole numbers" if self.integer else "numbers"
        if self.immutable or not self.step:
            why = self.words.get("still", "") if not self.immutable else ""
            return str(self.name), holds, f"never{why and f': {why}'}", ""
        only = {"up": ", only up", "down": ", only down"}.get(self.direction, "")
        source = self.words.get("budget", "")
        change = f"by at most {_amount(self.step)}{only}{source and f' ({source})'}"
        return str(self.name), holds, change, self.bounds_in_words()

    def _switches_in_words(self) -> str:
        if self.immutable or not any(self.options(level) for level in self.levels):
            return "never"
        return self.words.get("categories", "to any of them")


def differ(value: Any, other: Any) -> bool:
    """Return whether two values of a table differ; a gap is a gap."""
    if is_gap(value) or is_gap(other):
        return is_gap(value) != is_gap(other)
    return bool(value != other)


def as_dtype(values: list[Any], dtype: Any, like: pd.Series | None = None) -> pd.Series:
    """Return values as a column of a dtype, of that of `like` or of objects where they do not fit."""
    column = pd.Series(values, dtype=object)
    if isinstance(dtype, pd.CategoricalDtype) and not column.dropna().isin(dtype.categories).all():
        return column
    for kind in (dtype, dtype if like is None else like.dtype):
        with suppress(TypeError, ValueError):
            made = column.astype(kind)
            # pandas makes 2 of 2.5 among integers
            if pd.api.types.is_float_dtype(kind) or not any(map(differ, made.astype(object).tolist(), column.tolist())):
                return made
    return column
