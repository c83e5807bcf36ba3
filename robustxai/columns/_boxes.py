"""Sets of features that admissible changes of a raw row reach: one box for each choice of switches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from robustxai.columns._feature import Feature, is_gap
from robustxai.columns._map import ColumnMap
from robustxai.columns._rule import ColumnRule, as_dtype
from robustxai.perturbation import ThreatModel
from robustxai.protocols import Norm

__all__ = ["FeatureBox", "feature_boxes"]

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


def feature_boxes(
    row: pd.DataFrame,
    rules: Sequence[ColumnRule],
    choices: Iterable[Mapping[Any, Any]],
    switched: Mapping[Any, tuple[Any, ...]],
    column_map: ColumnMap,
    norm: float,
) -> tuple[FeatureBox, ...]:
    """Return the box of every choice.

    The features of a column depend on it alone, so that the row is transformed once for each single switch and not for
    each choice.

    Parameters
    ----------
    row : DataFrame of one row
        The row that is changed.
    rules : sequence of ColumnRule
        One per column.
    choices : iterable of mapping
        Columns to their new categories.
    switched : mapping
        Column to all categories to which it may switch.
    column_map : ColumnMap
        From raw rows to features.
    norm : {2, inf}
        Of the set.
    """
    by_name = {rule.name: rule for rule in rules}
    groups = dict(zip(column_map.columns, column_map.groups))
    ranges = {
        rule.name: rule.interval(row[rule.name].iloc[0])
        for rule in rules
        if rule.kind == "number" and rule.step and not is_gap(row[rule.name].iloc[0]) and rule.name in groups
    }
    tried = {name: _tried(by_name[name], ends, groups[name], column_map.records) for name, ends in ranges.items()}
    single = [(name, value) for name, values in switched.items() if name in groups for value in values]
    n_tried = max((len(values) for values in tried.values()), default=1)
    # rows: as it is, the corners and what lies between for all numbers at once, and each switch by itself
    values = {rule.name: [row[rule.name].iloc[0]] * (1 + n_tried + len(single)) for rule in rules}
    for name, several in tried.items():
        values[name][1 : 1 + n_tried] = [*several, *[several[-1]] * (n_tried - len(several))]
    for number, (name, value) in enumerate(single):
        values[name][1 + n_tried + number] = value
    table = pd.DataFrame({rule.name: as_dtype(values[rule.name], rule.dtype, row[rule.name]) for rule in rules})
    made = column_map.transform(table)
    center, moved = made[0], made[: 1 + n_tried]
    low, high, scale = center.copy(), center.copy(), np.zeros(len(center))
    for name, ends in ranges.items():
        for j in groups[name]:
            feature = column_map.records[j]
            low[j], high[j] = moved[:, j].min(), moved[:, j].max()
            if feature.kind == "bin" and feature.source == "mark" and not feature.direction and not feature.reason:
                low[j], high[j] = _bin_range(feature, ends, center[j])
            scale[j] = max(high[j] - center[j], center[j] - low[j])
        if norm == 2:
            _to_ellipsoid(by_name[name], groups[name], column_map.records, scale)
    new = {pair: made[1 + n_tried + number] for number, pair in enumerate(single)}
    boxes = []
    for choice in choices:
        at, lowest, highest = center.copy(), low.copy(), high.copy()
        for name, value in choice.items():
            if name in groups:
                for part in (at, lowest, highest):
                    part[groups[name]] = new[name, value][groups[name]]
        boxes.append(FeatureBox(dict(choice), at, lowest, highest, scale, norm))
    return tuple(boxes)


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
