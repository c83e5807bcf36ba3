"""Threat models of raw tables: how the row of a user's table may change, in the units of its columns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from robustxai._arguments import (
    COUNT,
    NORM,
    NOT_NEGATIVE,
    Either,
    Instance,
    Nothing,
    Number,
    Rows,
    Text,
    checked,
    optional,
)
from robustxai._frames import as_pandas, is_table
from robustxai.columns._boxes import FeatureBox, RowChanges, feature_boxes
from robustxai.columns._feature import is_gap, plain
from robustxai.columns._frame import as_row, in_kind_of, raw_frame
from robustxai.columns._make_rules import make_rules
from robustxai.columns._map import ColumnMap
from robustxai.columns._rule import ColumnRule, as_dtype, differ, is_number
from robustxai.columns._switches import LIMIT, count_switches, every_switch
from robustxai.perturbation import canonical_norm
from robustxai.protocols import Norm

__all__ = ["Containment", "TableThreat"]

_MAPPING = Instance(Mapping, words="a mapping of columns")
_NAMES = Rows(words="a sequence of columns, such as ['sex']")
_ROW = Either(
    (Instance((Mapping, pd.Series)), Rows(2)), words="a table of one row, a Series or a dict of columns to values"
)
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Containment:
    """Whether a changed row is admissible, true or false as itself.

    Attributes
    ----------
    inside : bool
        Whether it is.
    reason : str
        Why it is not; "" where it is.
    """

    inside: bool
    reason: str

    def __bool__(self) -> bool:
        return self.inside


@dataclass(frozen=True, eq=False, repr=False)
class TableThreat:
    r"""Admissible changes of a row of a raw table; :meth:`from_frame` makes one.

    Numbers move by at most their budget, in the unit of their column, inside their bounds and, where that is said, in
    one direction; whole numbers move by whole steps. At most `max_switches` columns of categories switch, each to an
    allowed category. Immutable columns and gaps stay as they are. With ``norm=2`` the numbers share one budget,
    :math:`\sum_c (\delta_c / b_c)^2 \le 1`.

    The set is a union: for each choice of switches a box of numbers. :meth:`choices` enumerates the choices,
    :meth:`boxes` gives their boxes in the features of a pipeline, :meth:`round` brings what an attack finds there back
    to valid raw rows, and :meth:`contains` checks a row.

    Parameters
    ----------
    rules : tuple of ColumnRule
        One per column.
    max_switches : int
        Largest number of columns of categories that switch.
    norm : {2, inf}
        Of the changes of numbers in units of their budgets.
    """

    rules: tuple[ColumnRule, ...]
    max_switches: int = 1
    norm: Norm = math.inf

    @classmethod
    @checked(
        budgets=Either(
            (Instance(Mapping), Text(), Number(0), Nothing()),
            words="a mapping of columns to budgets, one budget, or None",
        ),
        integer=Either((_MAPPING, Rows(), Nothing()), words="a sequence of columns, or a mapping of columns to flags"),
        bounds=optional(_MAPPING),
        monotone=optional(_MAPPING),
        immutable=_NAMES,
        categories=optional(_MAPPING),
        max_switches=Number(0, integer=True),
        norm=NORM,
    )
    def from_frame(
        cls,
        X: Any,
        budgets: Mapping[str, float | str] | float | str | None = None,
        *,
        integer: Sequence[str] | Mapping[str, bool] | None = None,
        bounds: Mapping[str, tuple[float | None, float | None] | None] | None = None,
        monotone: Mapping[str, Literal["up", "down"]] | None = None,
        immutable: Sequence[str] = (),
        categories: Mapping[str, str | Sequence[Any] | Mapping[Any, Sequence[Any]]] | None = None,
        max_switches: int = 1,
        norm: Norm = "inf",
    ) -> TableThreat:
        """Make a threat model; print :meth:`describe` to see what follows from dtypes and observed values.

        Parameters
        ----------
        X : DataFrame of shape (n_samples, n_columns)
            Raw table, of any library. Strings, categories and booleans are categories; so are whole numbers with at
            most two values that are near, such as 0 and 1, of which nothing else is said.
        budgets : mapping of column to number or "5%", number or "5%", optional
            Largest change of a number, in its own unit or as a share of its observed range; 5 % for every column that
            is not named (whole numbers: at least one step), because a change of that size is within what people
            misreport and what a table rounds. One value is the budget of all columns.
        integer : sequence of str, or mapping of str to bool, optional
            Columns of whole numbers, beside those whose observed values are all whole.
        bounds : mapping of column to (low, high), optional
            Bounds of numbers; None on a side, or for both, is no bound. By default what was observed.
        monotone : mapping of column to {"up", "down"}, optional
            Columns that only rise, such as an age, or only fall.
        immutable : sequence of str, default=()
            Columns that never change.
        categories : mapping of column to "any", list or mapping, optional
            Categories to which a column may switch; a mapping says it for each category. By default any that was
            observed. Names columns of numbers that are categories, too.
        max_switches : int, default=1
            Largest number of columns of categories that switch: one wrong entry.
        norm : {"inf", 2}, default="inf"
            Whether every number has its whole budget, or all share one.

        Returns
        -------
        TableThreat

        Raises
        ------
        ValueError
            A column or category that does not exist (the nearest is named), a negative budget, bounds in the wrong
            order, contradicting arguments.
        TypeError
            A budget that is no number, a budget of a column without numbers, a column of dates that is not immutable.

        Examples
        --------
        >>> import pandas as pd
        >>> X = pd.DataFrame({"age": [20, 40, 61], "sex": ["f", "m", "f"], "home": ["own", "rent", "free"]})
        >>> threat = TableThreat.from_frame(X, {"age": 2}, monotone={"age": "up"}, immutable=["sex"])
        >>> print(threat.describe())
        column  holds          changes                  stays within
        age     whole numbers  by at most 2, only up    20 to 61 (observed)
        sex     2 categories   never
        home    3 categories   to any of them
        At most 1 column of categories switches. Gaps stay as they are.
        >>> threat.choices(X.iloc[0])
        ({}, {'home': 'rent'}, {'home': 'free'})
        >>> threat.contains(X.iloc[0], {"age": 19, "sex": "f", "home": "own"})
        Containment(inside=False, reason="'age' may only go up and changes from 20 to 19")
        """
        if not is_table(X):
            raise TypeError(f"X must be a DataFrame, whose dtypes tell the columns apart; got {type(X).__name__}.")
        frame = as_pandas(X)
        if not len(frame) or not len(frame.columns):
            raise ValueError(
                "X is empty: give the rows from which ranges and categories are taken, such as the training rows."
            )
        rules = make_rules(
            frame,
            budgets={} if budgets is None else budgets,
            integer={} if integer is None else integer,
            bounds={} if bounds is None else bounds,
            monotone={} if monotone is None else monotone,
            immutable=list(immutable),
            categories={} if categories is None else categories,
        )
        return cls(rules, int(max_switches), canonical_norm(norm))

    @property
    def columns(self) -> tuple[Any, ...]:
        """Names of the columns, in their order."""
        return tuple(rule.name for rule in self.rules)

    @checked(share=NOT_NEGATIVE)
    def scaled(self, share: float) -> TableThreat:
        """Return the threat model with a share of all budgets; bounds, directions and switches stay as they are.

        Parameters
        ----------
        share : float
            0 leaves the switches alone, 1 everything as it is.

        Examples
        --------
        >>> import pandas as pd
        >>> X = pd.DataFrame({"income": [10.5, 20.5]})
        >>> print(TableThreat.from_frame(X, {"income": 4}).scaled(0.5))
        column  holds    changes       stays within
        income  numbers  by at most 2  10.5 to 20.5 (observed)
        At most 1 column of categories switches. Gaps stay as they are.
        """
        rules = tuple(rule if share == 1 else rule.scaled(float(share)) for rule in self.rules)
        return replace(self, rules=rules)

    @checked(X=Rows(2), changed=Rows(2))
    def lengths(self, X: Any, changed: Any) -> np.ndarray:
        """Return how far the numbers of each row move, in budgets: at most 1 where a change is admissible.

        Parameters
        ----------
        X, changed : table of shape (n, n_columns)
            Rows before and after. Switches and immutable columns do not count.

        Returns
        -------
        ndarray of shape (n,)
            The largest share of a budget; with ``norm=2`` the root of the sum of the squares of the shares.
        """
        frames = raw_frame(X, self.columns), raw_frame(changed, self.columns, what="changed")
        if len(frames[0]) != len(frames[1]):
            raise ValueError(f"X has {len(frames[0])} rows and changed has {len(frames[1])}. Give the same rows.")
        moving = [rule for rule in self.rules if rule.kind == "number" and not rule.immutable and rule.budget > 0]
        shares = np.zeros((len(frames[0]), len(moving)))
        for j, rule in enumerate(moving):
            before, after = (frame[rule.name].to_numpy(dtype=float, na_value=np.nan) for frame in frames)
            shares[:, j] = np.nan_to_num(np.abs(after - before)) / rule.budget
        if self.norm == 2:
            return np.asarray(np.sqrt(np.square(shares).sum(axis=1)))
        return np.asarray(shares.max(axis=1, initial=0.0))

    def in_words(self) -> str:
        """Describe the set in a few words, for a summary: "budgets of 5 columns, at most 1 switch"."""
        n_numbers = sum(rule.step > 0 for rule in self.rules)
        budgets = f"budgets of {n_numbers} column{'s' * (n_numbers != 1)}"
        return f"{budgets}, at most {self.max_switches} switch{'es' * (self.max_switches != 1)}"

    def __repr__(self) -> str:
        return f"TableThreat({len(self.rules)} columns, max_switches={self.max_switches}, norm={self.norm})"

    def __str__(self) -> str:
        return self.describe()

    def describe(self) -> str:
        """Return a table in plain words: what each column holds, how it changes and within which bounds."""
        rows = [("column", "holds", "changes", "stays within"), *(rule.in_words() for rule in self.rules)]
        widths = [max(len(row[j]) for row in rows) for j in range(3)]
        lines = ["  ".join([*(cell.ljust(w) for cell, w in zip(row, widths)), row[3]]).rstrip() for row in rows]
        n = self.max_switches
        last = f"At most {n} column{'s' * (n != 1)} of categories switch{'es' * (n == 1)}. Gaps stay as they are."
        if n == 0:
            last = "No category switches. Gaps stay as they are."
        if self.norm == 2:
            last += " The numbers share their budgets: the squares of their changes, in budgets, sum to at most 1."
        return "\n".join([*lines, last])

    def _row(self, row: Any, *, what: str = "row", check: bool = True) -> pd.DataFrame:
        frame = as_row(row, self.columns, {rule.name: rule.dtype for rule in self.rules}, what=what)
        if check:
            for rule in self.rules:
                rule.check(plain(frame[rule.name].iloc[0]), what)
        return frame

    def _options(self, frame: pd.DataFrame) -> dict[Any, tuple[Any, ...]]:
        found = {rule.name: rule.options(plain(frame[rule.name].iloc[0])) for rule in self.rules}
        return {name: options for name, options in found.items() if options}

    @checked(row=_ROW)
    def count(self, row: Any) -> int:
        """Return the number of choices of switches of a row, the choice of none among them.

        Parameters
        ----------
        row : table of one row, Series or dict
            Raw row.
        """
        return count_switches(self._options(self._row(row)), self.max_switches)

    @checked(row=_ROW, limit=COUNT)
    def choices(self, row: Any, limit: int = LIMIT) -> tuple[dict[Any, Any], ...]:
        """Return every choice of at most `max_switches` switches, the choice of none first.

        Parameters
        ----------
        row : table of one row, Series or dict
            Raw row.
        limit : int, default=10_000
            More choices are refused, because each is a box to attack and to certify.

        Returns
        -------
        tuple of dict
            Each maps the columns that switch to their new categories.

        Raises
        ------
        ValueError
            More choices than `limit`, with their number; a row outside of its bounds; a category never seen; columns
            that are missing, too many or in another order.
        """
        return every_switch(self._options(self._row(row)), self.max_switches, limit)

    @checked(row=_ROW, column_map=Instance(ColumnMap), limit=COUNT)
    def boxes(self, row: Any, column_map: ColumnMap, limit: int = LIMIT) -> tuple[FeatureBox, ...]:
        """Return what the admissible changes of a row reach in the features of a pipeline, one box per choice.

        Every admissible row has its features in one of the boxes. A box holds more than the admissible rows where
        numbers are whole, where a column has several features, and in bins.

        Parameters
        ----------
        row : table of one row, Series or dict
            Raw row.
        column_map : ColumnMap
            Of the fitted pipeline, from :func:`~robustxai.columns.column_map`.
        limit : int, default=10_000
            More choices of switches are refused.

        Returns
        -------
        tuple of FeatureBox
            In the order of :meth:`choices`. :meth:`FeatureBox.threat_model` is what attacks and certificates take.

        Raises
        ------
        ValueError
            As :meth:`choices`; a column whose features neither rise nor fall with it; columns that are not those of the
            pipeline.
        """
        return feature_boxes([self._changes(row, limit)], self.rules, column_map, float(self.norm))[0]

    @checked(X=Rows(2), column_map=Instance(ColumnMap), limit=COUNT)
    def boxes_by_row(self, X: Any, column_map: ColumnMap, limit: int = LIMIT) -> tuple[tuple[FeatureBox, ...], ...]:
        """Return :meth:`boxes` of every row of a table, which is faster than one call for each.

        Parameters
        ----------
        X : table of shape (n, n_columns)
            Raw rows.
        column_map : ColumnMap
            Of the fitted pipeline.
        limit : int, default=10_000
            More choices of switches of a row are refused.

        Returns
        -------
        tuple of tuple of FeatureBox
            For each row its boxes.

        Raises
        ------
        ValueError
            As :meth:`boxes`, with the number of the row.
        """
        frame = raw_frame(X, self.columns)
        rows = [self._changes(frame.iloc[[n]], limit, what=f"row {n} of X") for n in range(len(frame))]
        return feature_boxes(rows, self.rules, column_map, float(self.norm)) if rows else ()

    def _changes(self, row: Any, limit: int, what: str = "row") -> RowChanges:
        frame = self._row(row, what=what)
        options = self._options(frame)
        values = {rule.name: plain(frame[rule.name].iloc[0]) for rule in self.rules}
        return RowChanges(values, every_switch(options, self.max_switches, limit), options if self.max_switches else {})

    @checked(row=_ROW, changed=Either((_ROW, Rows(2)), words="a table of changed rows, or one as a Series or dict"))
    def round(self, row: Any, changed: Any) -> Any:
        """Return the admissible rows next to proposals: what an attack found, as valid rows of the table.

        Numbers are clipped to what their budget reaches, whole ones rounded to the nearest. Categories are found by
        their text, too, and codes by the nearest. One to which the row may not switch goes back to that of the row; of
        more than `max_switches` switches the first, in the order of the columns, are kept. With ``norm=2`` changes that
        are too large together are shortened, and whole ones then rounded towards the row.

        Parameters
        ----------
        row : table of one row, Series or dict
            The row that is changed.
        changed : table of shape (n, n_columns), Series or dict
            Proposals, for instance ``column_map.inverse(x, like=row)`` of attacked features x.

        Returns
        -------
        DataFrame of shape (n, n_columns)
            With the dtypes of the table, of the kind of `row` where that is a table.

        Raises
        ------
        ValueError
            A row outside of its bounds, a category never seen, columns that are missing, too many or in another order.
        """
        frame = self._row(row)
        if is_table(changed) or isinstance(changed, np.ndarray):
            proposals = raw_frame(changed, self.columns, what="changed")
        else:
            proposals = self._row(changed, what="changed", check=False)
        values = {rule.name: [plain(v) for v in proposals[rule.name].astype(object)] for rule in self.rules}
        own = {rule.name: plain(frame[rule.name].iloc[0]) for rule in self.rules}
        made = {rule.name: [own[rule.name]] * len(proposals) for rule in self.rules}
        for number in range(len(proposals)):
            n_switches = 0
            for rule in self.rules:
                options = rule.options(own[rule.name]) if n_switches < self.max_switches else ()
                level = rule.level_at(values[rule.name][number]) if options else None
                if level in options:
                    made[rule.name][number] = level
                    n_switches += 1
            numbers = self._numbers(own, {name: values[name][number] for name in values})
            for name, value in numbers.items():
                made[name][number] = value
        found = {}
        for rule in self.rules:
            column = as_dtype(made[rule.name], rule.dtype, frame[rule.name])
            found[rule.name] = self._inside(rule, own[rule.name], column)
        result = pd.DataFrame(found, columns=list(self.columns))
        if isinstance(changed, pd.DataFrame):
            result.index = changed.index
        return in_kind_of(row, result)

    def _numbers(self, own: Mapping[Any, Any], proposed: Mapping[Any, Any]) -> dict[Any, float]:
        """Return the numbers of one row: inside the budgets, whole where they must be."""
        moved: dict[Any, float] = {}
        rules = {r.name: r for r in self.rules if r.kind == "number" and r.step and not is_gap(own[r.name])}
        for name, rule in rules.items():
            if is_number(proposed[name]) or proposed[name] in (math.inf, -math.inf):
                low, high = rule.interval(own[name])
                moved[name] = min(max(float(proposed[name]), low), high)
        if self.norm == 2:
            length = self._length(own, moved)
            if length > 1:
                moved = {name: own[name] + (value - own[name]) / length for name, value in moved.items()}
        rounded = {name: float(round(value)) if rules[name].integer else value for name, value in moved.items()}
        if self.norm == 2 and self._length(own, rounded) > 1 + _ROUNDING:
            rounded = {
                name: own[name] + float(math.trunc(value - own[name])) if rules[name].integer else value
                for name, value in moved.items()
            }
        return {name: value if value != own[name] else own[name] for name, value in rounded.items()}

    def _length(self, own: Mapping[Any, Any], moved: Mapping[Any, float]) -> float:
        budgets = {rule.name: rule.budget for rule in self.rules}
        return math.sqrt(sum(((v - float(own[n])) / budgets[n]) ** 2 for n, v in moved.items() if budgets[n]))

    @staticmethod
    def _inside(rule: ColumnRule, own: Any, column: pd.Series) -> pd.Series:
        """Return a column of short floats, which may have been rounded to outside, inside again."""
        if (
            rule.kind != "number"
            or not isinstance(column.dtype, np.dtype)
            or column.dtype not in (np.float16, np.float32)
        ):
            return column
        if is_gap(own) or not rule.step:
            return column
        low, high = rule.interval(own)
        values = column.to_numpy()
        toward = np.array(own, dtype=values.dtype)
        outside = (values.astype(float) < low) | (values.astype(float) > high)
        return pd.Series(np.where(outside, np.nextafter(values, toward), values))

    @checked(row=_ROW, changed=_ROW)
    def contains(self, row: Any, changed: Any) -> Containment:
        """Return whether a changed row is admissible, with the reason where it is not.

        Parameters
        ----------
        row : table of one row, Series or dict
            The row that is changed.
        changed : table of one row, Series or dict
            The changed row.

        Raises
        ------
        ValueError
            As :meth:`choices`, of `row`; columns that are missing, too many or in another order.
        """
        frame, other = self._row(row), self._row(changed, what="changed", check=False)
        pairs = {r.name: (plain(frame[r.name].iloc[0]), plain(other[r.name].iloc[0])) for r in self.rules}
        for rule in self.rules:
            fault = rule.fault(*pairs[rule.name])
            if fault:
                return Containment(False, fault)
        switched = [r.name for r in self.rules if r.kind == "category" and not r.immutable and differ(*pairs[r.name])]
        if len(switched) > self.max_switches:
            return Containment(
                False,
                f"{len(switched)} columns switch ({', '.join(map(repr, switched))}), at most {self.max_switches} may",
            )
        if self.norm == 2:
            moving = {
                r.name: float(pairs[r.name][1]) for r in self.rules if r.kind == "number" and differ(*pairs[r.name])
            }
            length = self._length({name: pair[0] for name, pair in pairs.items()}, moving)
            if length > 1 + _ROUNDING:
                return Containment(False, f"the numbers change by {length:.6g} budgets together, at most 1 is allowed")
        return Containment(True, "")
