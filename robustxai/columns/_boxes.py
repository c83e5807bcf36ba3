"""Sets of features that admissible changes of a raw row reach: one box for each choice of switches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from robustxai.columns._feature import Feature, is_gap
from robustxai.columns._map import ColumnMap
from robustxai.columns._rule import ColumnRule, as_dtype
from robustxai.perturbation import ThreatModel
from robustxai.protocols import Norm

__all__ = ["FeatureBox", "RowChanges", "feature_boxes"]

#: Most whole numbers of one column that are tried where its features are no monotone functions of it.
_MOST_TRIED = 1000


@dataclass(frozen=True, eq=False, repr=False)
class FeatureBox:
    """All features that the numeric changes of a row reach after one choice of switches.

    Attributes
    ----------
    switches : dict
        Column to its new category; empty for the row as it is.
    center : ndarray of shape (n_features,)
        Features of the row after the switches.
    low, high : ndarray of shape (n_features,)
        The box. It holds the features of every admissible change of the numbers.
    scale : ndarray of shape (n_features,)
        Axes of the set around `center`, 0 for features that do not move.
    norm : float
        ``inf`` for a box, 2 for an ellipsoid that `low` and `high` cut.
    """

    switches: Mapping[Any, Any]
    center: np.ndarray
    low: np.ndarray
    high: np.ndarray
    scale: np.ndarray
    norm: Norm

    def __repr__(self) -> str:
        return f"FeatureBox(switches={dict(self.switches)!r}, {int((self.scale > 0).sum())} features move)"

    def threat_model(self) -> ThreatModel:
        """Return the set as a threat model around `center`, for attacks and certificates in the space of features."""
        moves = self.scale > 0
        return ThreatModel(
            1.0, self.norm, bounds=(self.low, self.high), frozen=~moves, scale=np.where(moves, self.scale, 1.0)
        )


@dataclass(frozen=True, eq=False)
class RowChanges:
    """A row with its choices of switches.

    Parameters
    ----------
    values : dict
        Raw value of each column.
    choices : tuple of dict
        Columns to their new categories.
    switched : dict
        Column to all categories to which it may switch.
    """

    values: Mapping[Any, Any]
    choices: tuple[dict[Any, Any], ...]
    switched: Mapping[Any, tuple[Any, ...]]


def feature_boxes(
    rows: Sequence[RowChanges], rules: Sequence[ColumnRule], column_map: ColumnMap, norm: float
) -> tuple[tuple[FeatureBox, ...], ...]:
    """Return the boxes of the choices of every row.

    The features of a column depend on it alone, so that a row is transformed once for each single switch and not for
    each choice; the rows are transformed together.

    Parameters
    ----------
    rows : sequence of RowChanges
        What is changed.
    rules : sequence of ColumnRule
        One per column.
    column_map : ColumnMap
        From raw rows to features.
    norm : {2, inf}
        Of the sets.
    """
    plans = [_Plan(row, rules, column_map) for row in rows]
    columns = {
        rule.name: as_dtype([value for plan in plans for value in plan.columns[rule.name]], rule.dtype)
        for rule in rules
    }
    made = column_map.transform(pd.DataFrame(columns))
    found, start = [], 0
    for plan in plans:
        found.append(plan.boxes(made[start : start + plan.n_rows], norm))
        start += plan.n_rows
    return tuple(found)


class _Plan:
    """Raw rows whose features tell all boxes of one row: as it is, what its numbers reach, each switch by itself."""

    def __init__(self, row: RowChanges, rules: Sequence[ColumnRule], column_map: ColumnMap) -> None:
        self.row, self.records = row, column_map.records
        self.groups = dict(zip(column_map.columns, column_map.groups))
        self.rules = {
            rule.name: rule
            for rule in rules
            if rule.kind == "number" and rule.step and not is_gap(row.values[rule.name]) and rule.name in self.groups
        }
        self.ranges = {name: rule.interval(row.values[name]) for name, rule in self.rules.items()}
        tried = {
            name: _tried(self.rules[name], ends, self.groups[name], self.records) for name, ends in self.ranges.items()
        }
        self.single = [(name, to) for name, several in row.switched.items() if name in self.groups for to in several]
        self.n_moved = 1 + max((len(values) for values in tried.values()), default=0)
        self.n_rows = self.n_moved + len(self.single)
        self.columns = {rule.name: [row.values[rule.name]] * self.n_rows for rule in rules}
        for name, values in tried.items():
            self.columns[name][1 : self.n_moved] = [*values, *[values[-1]] * (self.n_moved - 1 - len(values))]
        for number, (name, value) in enumerate(self.single):
            self.columns[name][self.n_moved + number] = value

    def boxes(self, made: np.ndarray, norm: float) -> tuple[FeatureBox, ...]:
        """Return the boxes, from the features of the rows."""
        center, moved = made[0], made[: self.n_moved]
        low, high, scale = center.copy(), center.copy(), np.zeros(len(center))
        for name, ends in self.ranges.items():
            for j in self.groups[name]:
                feature = self.records[j]
                low[j], high[j] = moved[:, j].min(), moved[:, j].max()
                if feature.kind == "bin" and feature.source == "mark" and not (feature.direction or feature.reason):
                    low[j], high[j] = _bin_range(feature, ends, center[j])
                scale[j] = max(high[j] - center[j], center[j] - low[j])
            if norm == 2:
                _to_ellipsoid(self.rules[name], self.groups[name], self.records, scale)
        new = {pair: made[self.n_moved + number] for number, pair in enumerate(self.single)}
        found = []
        for choice in self.row.choices:
            at, lowest, highest = center.copy(), low.copy(), high.copy()
            for name, value in choice.items():
                if name in self.groups:
                    for part in (at, lowest, highest):
                        part[self.groups[name]] = new[name, value][self.groups[name]]
            found.append(FeatureBox(dict(choice), at, lowest, highest, scale, norm))
        return tuple(found)


def _tried(rule: ColumnRule, ends: tuple[float, float], group: np.ndarray, records: Sequence[Feature]) -> list[float]:
    """Return amounts whose features have the lowest and highest values of the range."""
    low, high = ends
    odd = [records[j] for j in group if not _is_plain(records[j])]
    if not odd:
        return [low, high]
    if rule.integer and high - low < _MOST_TRIED:
        return [float(value) for value in range(int(low), int(high) + 1)]
    cure = "Pass a smaller budget" if rule.integer else f"Declare whole numbers by integer=[{rule.name!r}]"
    raise ValueError(
        f"The feature {odd[0].name!r} is not known to rise or fall with the column {rule.name!r} "
        f"({odd[0].reason or odd[0].hole or odd[0].kind}), so that the ends of its range say nothing about what lies "
        f"between. {cure}, name it in categories, or in immutable."
    )


def _is_plain(feature: Feature) -> bool:
    """Return whether the ends of a range of amounts tell the range of the feature."""
    if feature.direction or (feature.kind == "missing" and not feature.categories):
        return True
    return feature.kind == "bin" and feature.source == "mark" and not feature.reason


def _bin_range(feature: Feature, ends: tuple[float, float], center: float) -> tuple[float, float]:
    """Return the lowest and highest value of the mark of a bin, with room for rounding at its edges."""
    (low, high), room = feature.categories[0], 1e-9 * (1.0 + abs(ends[0]) + abs(ends[1]))
    values = [center]
    if ends[1] >= low - room and ends[0] <= high + room:
        values.append(feature.shift + feature.scale)
    if ends[0] < low + room or ends[1] > high - room:
        values.append(feature.shift)
    return min(values), max(values)


def _to_ellipsoid(rule: ColumnRule, group: np.ndarray, records: Sequence[Feature], scale: np.ndarray) -> None:
    """Set the axes of the features of one column: all move together, so that each counts for a part."""
    moving = [j for j in group if scale[j] > 0]
    for j in moving:
        if records[j].unit is None:
            raise ValueError(
                f"norm=2 needs features that are affine in their column, and {records[j].name!r} is not "
                f"({records[j].why_no_unit}). Use norm='inf'."
            )
        scale[j] = rule.budget * abs(records[j].scale) * math.sqrt(len(moving))
