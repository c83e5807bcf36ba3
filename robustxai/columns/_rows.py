"""Rows of a raw table and their admissible changes as arrays of numbers, which a search moves by the thousand."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from robustxai.columns._boxes import RowChanges, feature_boxes
from robustxai.columns._feature import Feature, is_gap, plain
from robustxai.columns._map import ColumnMap
from robustxai.columns._rule import ColumnRule, as_dtype
from robustxai.columns._switches import LIMIT, every_switch

if TYPE_CHECKING:
    from robustxai.columns._table_threat import TableThreat

__all__ = ["Boxes", "Points", "TableRows", "first_of"]

#: Relative excess over a budget that counts as rounding.
_ROUNDING = 1e-9
#: Boxes, and points, that are held at once.
_AT_ONCE = 20_000
#: Gain of a value that counts.
_GAIN = 1e-6
#: By the first feature of a column map: the features of all levels of the columns that switch.
_BLOCKS: weakref.WeakKeyDictionary[Feature, dict[Any, list[np.ndarray]]] = weakref.WeakKeyDictionary()
#: Halvings with which an amount is found on a curve.
_HALVINGS = 12


@dataclass(frozen=True, eq=False)
class Points:
    """Changed rows.

    Attributes
    ----------
    row : ndarray of int of shape (m,)
        Place of the row that is changed.
    amounts : ndarray of shape (m, n_numbers)
        Its numbers.
    codes : ndarray of int of shape (m, n_categories)
        Places of its categories among the levels of their columns; -1 for a gap.
    """

    row: np.ndarray
    amounts: np.ndarray
    codes: np.ndarray

    def __len__(self) -> int:
        return len(self.row)

    def take(self, which: np.ndarray) -> Points:
        """Return some of the points."""
        return Points(self.row[which], self.amounts[which], self.codes[which])

    @classmethod
    def cat(cls, parts: Sequence[Points]) -> Points:
        """Return the points of several parts."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("row", "amounts", "codes")))


@dataclass(frozen=True, eq=False)
class Boxes:
    """Boxes of features, one for each choice of switches of some rows.

    Attributes
    ----------
    start : Points
        Row and switches of every box, with the numbers of the row.
    low, high, unit : ndarray of shape (n_boxes, n_features)
        The boxes, and the lengths of their axes, 0 for features that do not move.
    """

    start: Points
    low: np.ndarray
    high: np.ndarray
    unit: np.ndarray

    def take(self, which: np.ndarray) -> Boxes:
        """Return some of the boxes."""
        return Boxes(self.start.take(which), self.low[which], self.high[which], self.unit[which])


class TableRows:
    """Rows of a table under a threat model, and what a search needs: boxes, points of a lattice, neighbors, features.

    The features of a column depend on it alone, so that those of a changed row are put together from those of its
    values. Where a feature is affine in its column, the map gives it; every other value is transformed once.

    Parameters
    ----------
    threat : TableThreat
        How the rows may change.
    frame : DataFrame of shape (n, n_columns)
        The rows.
    column_map : ColumnMap
        From raw rows to features.
    limit : int, default=10_000
        More choices of switches of a row are refused.
    x : ndarray of shape (n, n_features), optional
        Features of the rows, where they are known.

    Attributes
    ----------
    x : ndarray of shape (n, n_features)
        Features of the rows.
    own : Points
        The rows as they are.
    low, high : ndarray of shape (n, n_numbers)
        What the numbers may become.
    n_choices : ndarray of int of shape (n,)
        Number of choices of switches of every row. Categories that have the same features count once.
    """

    def __init__(
        self,
        threat: TableThreat,
        frame: pd.DataFrame,
        column_map: ColumnMap,
        limit: int = LIMIT,
        x: np.ndarray | None = None,
    ) -> None:
        self.threat, self.frame, self.column_map = threat, frame, column_map
        self.groups = dict(zip(column_map.columns, column_map.groups))
        self.values = {rule.name: list(map(plain, frame[rule.name].tolist())) for rule in threat.rules}
        for rule in threat.rules:
            for place, value in enumerate(self.values[rule.name]):
                rule.check(value, f"row {place} of X")
        used = [rule for rule in threat.rules if rule.name in self.groups and not rule.immutable]
        self.numbers = [rule for rule in used if rule.kind == "number" and rule.budget > 0]
        self.switching = [rule for rule in used if rule.kind == "category" and threat.max_switches]
        self.x = column_map.transform(frame) if x is None else x
        self._set_numbers()
        self._set_categories(limit)
        self._affine = {
            j: found
            for j, rule in enumerate(self.numbers)
            if (found := _affine_features(self.groups[rule.name], column_map)) is not None
        }
        self._known = [(np.empty(0), np.empty((0, len(self.groups[rule.name])))) for rule in self.numbers]

    def within(self, share: float) -> TableRows:
        """Return the same rows under a share of all budgets, without another transform."""
        other = copy.copy(self)
        other.threat = self.threat.scaled(share)
        other.numbers = [rule.scaled(share) for rule in self.numbers]
        other._set_numbers()
        return other

    def _set_numbers(self) -> None:
        shape = (len(self.frame), len(self.numbers))
        amounts, self.low, self.high = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        for j, rule in enumerate(self.numbers):
            for place, value in enumerate(self.values[rule.name]):
                if not is_gap(value):
                    amounts[place, j] = float(value)
                    self.low[place, j], self.high[place, j] = rule.interval(value)
        self._amounts = amounts
        self.budgets = np.array([rule.budget for rule in self.numbers])
        self.whole = np.array([rule.integer for rule in self.numbers], dtype=bool)

    def _set_categories(self, limit: int) -> None:
        codes = np.full((len(self.frame), len(self.switching)), -1)
        self.allowed = []
        for c, rule in enumerate(self.switching):
            place_of = {level: place for place, level in enumerate(rule.levels)}
            codes[:, c] = [-1 if is_gap(v) else place_of[v] for v in self.values[rule.name]]
            allowed = np.zeros((len(rule.levels) + 1, len(rule.levels)), dtype=bool)
            for place in np.unique(codes[codes[:, c] >= 0, c]):  # those that the rows have
                allowed[place, [place_of[other] for other in rule.options(rule.levels[place])]] = True
            self.allowed.append(allowed)
        self.own = Points(np.arange(len(self.frame)), self._amounts, codes)
        self._level_blocks = self._blocks_of_levels()
        if len(self.frame):
            self.allowed = [_distinct(*pair) for pair in zip(self.allowed, self._level_blocks)]
        kinds, back = np.unique(np.column_stack([np.zeros(len(codes), dtype=int), codes]), axis=0, return_inverse=True)
        kinds, self._kind = kinds[:, 1:], back.reshape(-1)
        self._choices = [self._choices_of(kind, limit) for kind in kinds]
        self.n_choices = np.array([len(self._choices[kind]) for kind in self._kind], dtype=int)

    def _blocks_of_levels(self) -> list[np.ndarray]:
        """Return the features of all levels of the switching columns, transformed once for each fitted pipeline."""
        names = [rule.name for rule in self.switching]
        levels = {rule.name: list(rule.levels) for rule in self.switching}
        if not names or not len(self.frame):
            return self._encoded(levels, names)
        # the features are made anew when a step of the pipeline has changed
        known = _BLOCKS.setdefault(self.column_map.records[0], {})
        key = tuple(  # with the types: 1, 1.0 and True are equal, and different categories
            (rule.name, rule.levels, tuple(map(type, rule.levels)), rule.dtype, self.frame[rule.name].dtype)
            for rule in self.switching
        )
        if key not in known:
            known[key] = self._encoded(levels, names)
        return known[key]

    def _choices_of(self, codes: np.ndarray, limit: int) -> np.ndarray:
        """Return the codes after every choice of switches, the choice of none first."""
        options = {
            c: tuple(np.flatnonzero(self.allowed[c][code]).tolist())
            for c, code in enumerate(codes)
            if self.allowed[c][code].any()
        }
        named = {self.switching[c].name: places for c, places in options.items()}
        column = {rule.name: c for c, rule in enumerate(self.switching)}
        choices = every_switch(named, self.threat.max_switches, limit)
        made = np.repeat(codes[None], len(choices), axis=0)
        for place, choice in enumerate(choices):
            for name, code in choice.items():
                made[place, column[name]] = code
        return made

    # ---------------------------------------------------------------- from raw values to features

    def features(self, points: Points) -> np.ndarray:
        """Return the features of changed rows, shape (m, n_features)."""
        made = self.x[points.row]
        own = self.own.take(points.row)
        self.learn(points)
        for j, rule in enumerate(self.numbers):
            rows = np.flatnonzero(points.amounts[:, j] != own.amounts[:, j])
            if j in self._affine:
                for place in self._affine[j]:
                    feature = self.column_map.records[place]
                    value = feature.shift + feature.scale * points.amounts[rows, j]
                    made[rows, place] = np.clip(value, feature.low, feature.high)
                continue
            values, blocks = self._known[j]
            made[rows[:, None], self.groups[rule.name]] = blocks[np.searchsorted(values, points.amounts[rows, j])]
        for c, rule in enumerate(self.switching):
            rows = np.flatnonzero(points.codes[:, c] != own.codes[:, c])
            made[rows[:, None], self.groups[rule.name]] = self._level_blocks[c][points.codes[rows, c]]
        return made

    def learn(self, points: Points) -> None:
        """Transform the amounts of these points that are neither known nor affine, all together."""
        new = {}
        for j, rule in enumerate(self.numbers):
            if j in self._affine:
                continue
            amounts = points.amounts[:, j]
            values = np.setdiff1d(amounts[amounts != self.own.amounts[points.row, j]], self._known[j][0])
            if len(values):
                new[rule.name] = values
        if not new:
            return
        names = [rule.name for rule in self.numbers]
        blocks = self._encoded({name: self._numbers_of(name, values) for name, values in new.items()}, list(new))
        for name, block in zip(new, blocks):
            j = names.index(name)
            values, known = self._known[j]
            order = np.argsort(both := np.concatenate([values, new[name]]))
            self._known[j] = both[order], np.concatenate([known, block])[order]

    def _encoded(self, columns: dict[Any, list[Any]], names: list[Any]) -> list[np.ndarray]:
        """Return the features of values of several columns, each of shape (n_values, features of the column)."""
        length = max(map(len, columns.values()), default=0)
        if not length or not len(self.frame):
            return [np.empty((len(columns[name]), len(self.groups[name]))) for name in names]
        rows = self.frame.iloc[np.zeros(length, dtype=int)].reset_index(drop=True)
        rules = {rule.name: rule for rule in self.threat.rules}
        for name, values in columns.items():
            filled = [*values, *[values[-1]] * (length - len(values))]
            rows[name] = as_dtype(filled, rules[name].dtype, self.frame[name])
        made = self.column_map.transform(rows)
        return [made[: len(columns[name]), self.groups[name]] for name in names]

    def _numbers_of(self, name: Any, values: np.ndarray) -> list[Any]:
        rule = next(rule for rule in self.numbers if rule.name == name)
        whole = rule.integer and pd.api.types.is_integer_dtype(rule.dtype)
        return [int(value) if whole else float(value) for value in values]

    # ---------------------------------------------------------------- admissible points

    def lengths(self, points: Points) -> np.ndarray:
        """Return how far the numbers move, in budgets: 1 is all that is allowed; shape (m,)."""
        shares = np.abs(points.amounts - self.own.amounts[points.row]) / self.budgets
        if self.threat.norm == 2:
            return np.asarray(np.sqrt(np.square(shares).sum(axis=1)))
        return shares.max(axis=1, initial=0.0)

    def settled(self, points: Points) -> Points:
        """Return the nearest points with admissible numbers: whole, in their dtype, inside of their budgets."""
        own = self.own.amounts[points.row]
        low, high = self.low[points.row], self.high[points.row]
        amounts = np.clip(np.where(np.isnan(points.amounts), own, points.amounts), low, high)
        if self.threat.norm == 2:
            length = self.lengths(Points(points.row, amounts, points.codes))[:, None]
            amounts = np.where(length > 1, own + (amounts - own) / np.maximum(length, 1.0), amounts)
        rounded = np.where(self.whole, np.rint(amounts), amounts)
        if self.threat.norm == 2:
            beyond = self.lengths(Points(points.row, rounded, points.codes)) > 1 + _ROUNDING
            towards = np.where(self.whole, own + np.trunc(amounts - own), amounts)
            rounded = np.where(beyond[:, None], towards, rounded)
        for j, rule in enumerate(self.numbers):
            if isinstance(rule.dtype, np.dtype) and rule.dtype in (np.float16, np.float32):
                short, toward = rounded[:, j].astype(rule.dtype), own[:, j].astype(rule.dtype)
                outside = (short.astype(float) < low[:, j]) | (short.astype(float) > high[:, j])
                rounded[:, j] = np.where(outside, np.nextafter(short, toward), short).astype(float)
        return Points(points.row, rounded, points.codes)

    def drawn(self, row: np.ndarray, u: np.ndarray) -> Points:
        """Return one admissible point for every entry of `row`, uniform where `u` is.

        Numbers are uniform between the lowest and the highest that they may become, whole ones among the whole; with
        the norm 2 those outside of the ellipsoid are moved to its surface. Every choice of switches is as likely.

        Parameters
        ----------
        row : ndarray of int of shape (m,)
            The rows, each as often as it is drawn.
        u : ndarray of shape (m, n_numbers + 1)
            Numbers in [0, 1); the last one selects the switches.
        """
        low, high = self.low[row], self.high[row]
        # the same place between the ends at every share of the budgets
        amounts = low + u[:, :-1] * np.where(self.whole, high - low + 1, high - low)
        amounts = np.where(self.whole, np.minimum(np.floor(amounts), high), amounts)
        choice = (u[:, -1] * self.n_choices[row]).astype(int)
        codes = [self._choices[self._kind[place]][number] for place, number in zip(row, choice)]
        made = np.array(codes, dtype=int).reshape(len(row), len(self.switching))
        return self.settled(Points(row, amounts, made))

    def shortened(self, points: Points, share: np.ndarray) -> Points:
        """Return the points on the way from the rows to `points`, whole numbers rounded towards the row."""
        own = self.own.amounts[points.row]
        step = share[:, None] * (points.amounts - own)
        return self.settled(Points(points.row, own + np.where(self.whole, np.trunc(step), step), points.codes))

    def nearest(self, start: Points, x: np.ndarray) -> Points:
        """Return the points with the switches of `start` whose features are next to `x` of shape (m, n_features)."""
        row = start.row
        own, amounts = self.own.amounts[row], self.own.amounts[row].copy()
        ends = [Points(self.own.row, end, self.own.codes) for end in (self.low, self.high)]
        low_x, high_x = (self.features(end) for end in ends)
        here = np.arange(len(row))
        for j, rule in enumerate(self.numbers):
            group = self.groups[rule.name]
            leading = group[np.abs(high_x[:, group] - low_x[:, group]).argmax(axis=1)][row]
            at, center = x[here, leading], self.x[row, leading]
            for end, end_x in ((self.low, low_x), (self.high, high_x)):
                reach = end_x[row, leading] - center
                toward = (at - center) * reach > 0
                share = np.clip(np.divide(at - center, reach, out=np.zeros_like(at), where=toward), 0.0, 1.0)
                if j not in self._affine:
                    share = self._on_curve(j, row, end[row, j], leading, at, toward, share)
                amounts[:, j] = np.where(toward, own[:, j] + share * (end[row, j] - own[:, j]), amounts[:, j])
        return self.settled(Points(row, amounts, start.codes))

    def _on_curve(
        self, j: int, row: np.ndarray, end: np.ndarray, leading: np.ndarray, at: np.ndarray, toward: np.ndarray,
        share: np.ndarray,
    ) -> np.ndarray:  # fmt: skip
        """Return how far a number must move for the value `at` of a feature that rises or falls on a curve."""
        rows = np.flatnonzero(toward)
        if not len(rows):
            return share
        own, center = self.own.amounts[row, j][rows], self.x[row, leading][rows]
        wanted, low, high = np.abs(at[rows] - center), np.zeros(len(rows)), np.ones(len(rows))
        name = self.numbers[j].name
        places = {feature: place for place, feature in enumerate(self.groups[name])}
        inside = np.array([places[feature] for feature in leading[rows]])
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            amounts = own + middle * (end[rows] - own)
            amounts = np.rint(amounts) if self.whole[j] else amounts
            values, back = np.unique(amounts, return_inverse=True)
            block = self._encoded({name: self._numbers_of(name, values)}, [name])[0][back.reshape(-1)]
            beyond = np.abs(block[np.arange(len(rows)), inside] - center) > wanted
            low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
        found = share.copy()
        found[rows] = (low + high) / 2
        return found

    def boxes(self, rows: np.ndarray) -> Boxes:
        """Return the boxes of some rows, one for each choice of switches, in the order of the choices."""
        owner = np.repeat(np.arange(len(rows)), self.n_choices[rows])
        codes = np.concatenate([self._choices[self._kind[r]] for r in rows])
        row = rows[owner]
        moving = [j for j in range(len(self.numbers)) if (self.high[rows, j] > self.low[rows, j]).any()]
        plain_ends = self.threat.norm != 2 and all(j in self._affine for j in moving)
        parts = self._affine_boxes(rows, moving) if plain_ends else self._boxes_by_transform(rows)
        low, high, unit = (part[owner] for part in parts)
        for c, rule in enumerate(self.switching):
            new = np.flatnonzero(codes[:, c] != self.own.codes[row, c])
            block = self._level_blocks[c][codes[new, c]]
            for part in (low, high):
                part[new[:, None], self.groups[rule.name]] = block
        return Boxes(Points(row, self.own.amounts[row], codes), low, high, unit)

    def _affine_boxes(self, rows: np.ndarray, moving: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return lowest and highest features and axes of rows whose moving features are affine in their columns."""
        center = self.x[rows]
        low, high = center.copy(), center.copy()
        for j in moving:
            for place in self._affine[j]:
                feature = self.column_map.records[place]
                for ends in (self.low, self.high):
                    moved = ends[rows, j] != self._amounts[rows, j]
                    value = np.clip(feature.shift + feature.scale * ends[rows, j], feature.low, feature.high)
                    value = np.where(moved, value, center[:, place])
                    low[:, place] = np.minimum(low[:, place], value)
                    high[:, place] = np.maximum(high[:, place], value)
        return low, high, np.maximum(high - center, center - low)

    def _boxes_by_transform(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the same of transformed ends."""
        changes = [RowChanges({name: values[r] for name, values in self.values.items()}, ({},), {}) for r in rows]
        found = [box for (box,) in feature_boxes(changes, self.threat.rules, self.column_map, float(self.threat.norm))]
        low, high, scale = (np.stack([getattr(box, name) for box in found]) for name in ("low", "high", "scale"))
        return low, high, scale

    def n_points(self) -> np.ndarray:
        """Return how many admissible points every row has, infinity where numbers are not whole; shape (n,)."""
        counts = np.where(self.whole, self.high - self.low + 1, np.where(self.high > self.low, np.inf, 1.0))
        return np.asarray(counts.prod(axis=1) * self.n_choices)

    def lattice(self, row: int) -> Points:
        """Return all admissible points of a row whose numbers are whole."""
        ends = zip(self.low[row], self.high[row], self.whole)
        axes = [np.arange(low, high + 1) if whole else np.array([low]) for low, high, whole in ends]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes)) if axes else np.empty((1, 0))
        choices = self._choices[self._kind[row]]
        amounts, codes = np.repeat(grid, len(choices), axis=0), np.tile(choices, (len(grid), 1))
        points = Points(np.full(len(amounts), row), amounts, codes)
        return points.take(np.flatnonzero(self.lengths(points) <= 1 + _ROUNDING))

    def corners(self, points: Points, most: int) -> Points:
        """Return the points with all numbers at ends of their ranges, where a row has at most `most` of them."""
        low, high = self.low[points.row], self.high[points.row]
        moving = high > low
        few = 2.0 ** moving.sum(axis=1) <= most
        found = [points.take(np.empty(0, dtype=int))]
        for place in np.flatnonzero(few):
            axes = [np.unique([a, b]) for a, b in zip(low[place], high[place])]
            if not axes:
                continue
            grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
            one = np.full(len(grid), place)
            found.append(Points(points.row[one], grid, points.codes[one]))
        return self.settled(Points.cat(found))

    def neighbors(self, points: Points, share: np.ndarray) -> tuple[np.ndarray, Points]:
        """Return points that differ in one number or switch, and the places of those from which they were made.

        A number goes to the ends of its range, back to that of the row, one whole step, or `share` of its budget on
        either side. A switch beyond the allowed number replaces another one.

        Parameters
        ----------
        points : Points
            Where the search is.
        share : ndarray of shape (m,)
            Of the budgets.
        """
        places: list[np.ndarray] = []
        made: list[Points] = []
        everywhere = np.arange(len(points))

        def add(place: np.ndarray, amounts: np.ndarray, codes: np.ndarray) -> None:
            places.append(place)
            made.append(Points(points.row[place], amounts, codes))

        for j, rule in enumerate(self.numbers):
            at, low, high = points.amounts[:, j], self.low[points.row, j], self.high[points.row, j]
            step = share * rule.budget
            options = [low, high, self.own.amounts[points.row, j], at - step, at + step]
            options += [at - 1, at + 1] if rule.integer else []
            for value in options:
                moving = np.flatnonzero((np.clip(value, low, high) != at) & (high > low))
                amounts = points.amounts[moving].copy()
                amounts[:, j] = value[moving]
                add(moving, amounts, points.codes[moving])
        own = self.own.codes[points.row]
        n_switched = (points.codes != own).sum(axis=1)
        for c, allowed in enumerate(self.allowed):
            back = np.flatnonzero(points.codes[:, c] != own[:, c])
            codes = points.codes[back].copy()
            codes[:, c] = own[back, c]
            add(back, points.amounts[back], codes)
            for code in range(allowed.shape[1]):
                new = np.flatnonzero(allowed[own[:, c], code] & (points.codes[:, c] != code))
                fits = n_switched[new] + (points.codes[new, c] == own[new, c]) <= self.threat.max_switches
                codes = points.codes.copy()
                codes[:, c] = code
                add(new[fits], points.amounts[new[fits]], codes[new[fits]])
                for other in range(len(self.switching)) if not fits.all() else ():
                    if other != c:
                        full = new[~fits]
                        full = full[points.codes[full, other] != own[full, other]]
                        swapped = codes[full]
                        swapped[:, other] = own[full, other]
                        add(full, points.amounts[full], swapped)
        place = np.concatenate([everywhere[:0], *places])
        found = self.settled(Points.cat([points.take(everywhere[:0]), *made]))
        same = (found.amounts == points.amounts[place]).all(axis=1) & (found.codes == points.codes[place]).all(axis=1)
        keys = np.column_stack([place, found.amounts, found.codes])[~same]
        if not len(keys):
            return place[~same], found.take(~same)
        which = np.flatnonzero(~same)[np.unique(keys, axis=0, return_index=True)[1]]
        return place[which], found.take(which)

    def better(
        self, best: Points, highest: np.ndarray, points: Points, values: np.ndarray
    ) -> tuple[Points, np.ndarray]:
        """Return the best point of every row, and its value, after some more points with their values."""
        first = first_of(points.row, values)
        first = first[values[first] > highest[points.row[first]] + _GAIN]
        rows = points.row[first]
        amounts, codes, highest = best.amounts.copy(), best.codes.copy(), highest.copy()
        amounts[rows], codes[rows], highest[rows] = points.amounts[first], points.codes[first], values[first]
        return Points(best.row, amounts, codes), highest

    def parts(self, rows: np.ndarray, sizes: np.ndarray) -> Iterator[np.ndarray]:
        """Yield some rows in parts of about `_AT_ONCE` points, of which a row has `sizes`."""
        if len(rows):
            ends = np.cumsum(sizes[rows])
            yield from np.split(rows, np.flatnonzero(np.diff(ends // _AT_ONCE) > 0) + 1)

    # ---------------------------------------------------------------- back into the table

    def table(self, points: Points) -> pd.DataFrame:
        """Return the raw rows of one point for every row, in the order of the rows; index and dtypes of the table."""
        result = self.frame.copy()
        for j, rule in enumerate(self.numbers):
            self._put(result, rule, points.amounts[:, j] != self.own.amounts[:, j], points.amounts[:, j])
        for c, rule in enumerate(self.switching):
            self._put(result, rule, points.codes[:, c] != self.own.codes[:, c], points.codes[:, c])
        return result

    def _put(self, result: pd.DataFrame, rule: ColumnRule, changed: np.ndarray, entries: np.ndarray) -> None:
        if not changed.any():
            return
        values = list(self.values[rule.name])
        new = (
            [rule.levels[code] for code in entries[changed]]
            if rule.kind == "category"
            else self._numbers_of(rule.name, entries[changed])
        )
        for place, value in zip(np.flatnonzero(changed), new):
            values[place] = value
        result[rule.name] = as_dtype(values, rule.dtype, self.frame[rule.name]).set_axis(result.index)

    def switches(self, points: Points) -> list[dict[Any, Any]]:
        """Return for every point the columns that switch and their new categories."""
        own = self.own.codes[points.row]
        return [
            {self.switching[c].name: self.switching[c].levels[codes[c]] for c in np.flatnonzero(codes != before)}
            for codes, before in zip(points.codes, own)
        ]


def _distinct(allowed: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Leave out switches to categories with the features of the present one, or of an earlier allowed one.

    An encoder takes rare categories together, so that a switch between them changes nothing that a model sees.

    Parameters
    ----------
    allowed : ndarray of bool of shape (n_levels + 1, n_levels)
        Switches from each category, and from a gap, to each other.
    blocks : ndarray of shape (n_levels, n_features)
        Features of the categories.
    """
    kind = np.unique(blocks, axis=0, return_inverse=True)[1].reshape(-1)
    if len(np.unique(kind)) == len(kind):
        return allowed
    found = np.zeros_like(allowed)
    for place, to in enumerate(allowed):
        others = np.flatnonzero(to)
        if place < len(kind):
            others = others[kind[others] != kind[place]]
        found[place, others[np.unique(kind[others], return_index=True)[1]]] = True
    return found


def _affine_features(group: np.ndarray, column_map: ColumnMap) -> list[int] | None:
    """Return the features of a column that move with its amount, None where one is not affine in it."""
    records = [(int(place), column_map.records[place]) for place in group]
    moving = [place for place, feature in records if feature.kind != "missing"]
    return moving if all(column_map.records[place].unit is not None for place in moving) else None


def first_of(group: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the place of the highest value of each group; the earlier one of equals."""
    order = np.lexsort((np.arange(len(group)), -values, group))
    return np.asarray(order[np.unique(group[order], return_index=True)[1]])
