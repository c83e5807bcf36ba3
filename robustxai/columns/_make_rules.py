"""Rules of all columns of a table: what the user says, and defaults from dtypes and observed values."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from robustxai._validation import nearest_name
from robustxai.columns._feature import is_gap, plain
from robustxai.columns._rule import ColumnRule, is_number, written

__all__ = ["DEFAULT_BUDGET", "make_rules"]

#: Budget of numbers: a share of the observed range.
DEFAULT_BUDGET = "5%"
_PERCENT = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*%\s*")


def make_rules(
    frame: pd.DataFrame,
    *,
    budgets: Any,
    integer: Any,
    bounds: Any,
    monotone: Mapping[Any, str],
    immutable: Sequence[Any],
    categories: Mapping[Any, Any],
) -> tuple[ColumnRule, ...]:
    """Return one rule per column; see :meth:`TableThreat.from_frame`."""
    columns = list(frame.columns)
    if len(set(columns)) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise ValueError(f"X has the column {twice!r} twice. Give every column a name of its own.")
    for name in immutable:
        if not isinstance(name, Hashable):
            raise TypeError(f"immutable must be a sequence of columns, such as ['sex'], got the entry {name!r:.60}.")
    everywhere = budgets if isinstance(budgets, (str, int, float)) else DEFAULT_BUDGET
    by_column = dict(budgets) if isinstance(budgets, Mapping) else {}
    whole = integer if isinstance(integer, Mapping) else dict.fromkeys(integer, True)
    given = {"budgets": by_column, "integer": whole, "bounds": bounds, "monotone": monotone, "categories": categories}
    given["immutable"] = dict.fromkeys(immutable, True)
    for what, names in given.items():
        for name in names:
            if name not in columns:
                hint = nearest_name(str(name), map(str, columns))
                raise ValueError(f"{what} names the column {name!r}, which is not in the table.{hint}")
    for name, value in whole.items():
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"integer[{name!r}] must be True or False, got {value!r:.60}.")
    for name, value in monotone.items():
        if value not in ("up", "down"):
            raise ValueError(f"monotone[{name!r}] must be 'up' or 'down', got {value!r:.60}.")
    for name in given["immutable"]:
        for what in ("budgets", "monotone"):
            if name in given[what]:
                raise ValueError(f"{what} and immutable both name {name!r}. Leave it out of one of them.")
    rules = []
    for name in columns:
        said = {what: names[name] for what, names in given.items() if name in names}
        rules.append(_rule(name, frame[name], said, everywhere))
    return tuple(rules)


def _rule(name: Any, column: pd.Series, said: Mapping[str, Any], everywhere: Any) -> ColumnRule:
    immutable, dtype = "immutable" in said, column.dtype
    numeric = pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)
    for what in ("budgets", "bounds", "monotone", "integer"):
        if what in said and not numeric:
            raise TypeError(
                f"{what} names {name!r}, which holds no numbers ({dtype}). Say by categories={{{name!r}: [...]}} to "
                "which categories it may switch."
            )
        if what in said and "categories" in said:
            raise ValueError(
                f"{what} and categories both name {name!r}. A column is a number or a category: choose one."
            )
    text = isinstance(dtype, pd.CategoricalDtype) or any(
        is_kind(dtype)
        for is_kind in (pd.api.types.is_bool_dtype, pd.api.types.is_string_dtype, pd.api.types.is_object_dtype)
    )
    if not numeric and not text and "categories" not in said:
        if not immutable:
            raise TypeError(
                f"The column {name!r} ({dtype}) holds neither numbers nor categories. Convert it to numbers, or name "
                "it in immutable."
            )
        return ColumnRule(name, "other", dtype, immutable=True)
    if text or "categories" in said:
        return _category(name, column, said.get("categories", "any"), immutable)
    amounts = column.dropna().to_numpy(dtype=float)
    amounts = amounts[np.isfinite(amounts)]
    is_whole = bool((amounts == np.floor(amounts)).all())
    flag = is_whole and len(amounts) and len(np.unique(amounts)) <= 2 and np.ptp(amounts) <= 2
    if flag and not said:
        return _category(name, column, "any", immutable)
    return _number(name, dtype, amounts, is_whole, said, everywhere)


def _category(name: Any, column: pd.Series, allowed: Any, immutable: bool) -> ColumnRule:
    levels = tuple(plain(value) for value in pd.unique(column.dropna().astype(object)))
    words = "to any of them"
    if isinstance(allowed, str):
        if allowed != "any":
            raise TypeError(
                f"categories[{name!r}] must be 'any', a list of categories or a mapping of categories to lists, got "
                f"{allowed!r:.60}. Put a single category in a list."
            )
        switches = dict.fromkeys(levels, levels)
    elif isinstance(allowed, Mapping):
        switches = {_level(name, one, levels): _levels(name, to, levels) for one, to in allowed.items()}
        shown = [f"{one} to {_shown(to)}" for one, to in list(switches.items())[:3]]
        words = "; ".join([*shown, *(["..."] if len(switches) > 3 else [])])
    else:
        to = _levels(name, allowed, levels)
        switches, words = dict.fromkeys(levels, to), f"to {_shown(to)}"
    return ColumnRule(
        name, "category", column.dtype, immutable=immutable, levels=levels, allowed=switches,
        words={"categories": words},
    )  # fmt: skip


def _shown(levels: Sequence[Any]) -> str:
    return " or ".join(map(str, levels[:4])) + (" ..." if len(levels) > 4 else "")


def _levels(name: Any, given: Any, levels: tuple[Any, ...]) -> tuple[Any, ...]:
    if isinstance(given, str) or not isinstance(given, (Sequence, np.ndarray, pd.Index, set, frozenset)):
        raise TypeError(f"categories[{name!r}] must list categories, got {given!r:.60}. Put a single one in a list.")
    found = tuple(dict.fromkeys(_level(name, one, levels) for one in given))
    # a set has another order in every process
    return tuple(sorted(found, key=levels.index)) if isinstance(given, (set, frozenset)) else found


def _level(name: Any, value: Any, levels: tuple[Any, ...]) -> Any:
    if is_gap(value):
        raise ValueError(
            f"categories[{name!r}] has a gap, and gaps stay as they are. Give them a category of their own first, for "
            f"instance X[{name!r}].fillna('missing')."
        )
    try:
        return levels[levels.index(value)]
    except ValueError:
        hint = nearest_name(str(value), map(str, levels))
        message = f"categories[{name!r}] has {written(value)}, a category that was never seen.{hint}"
    raise ValueError(message)


def _number(
    name: Any, dtype: Any, amounts: np.ndarray, is_whole: bool, said: Mapping[str, Any], everywhere: Any
) -> ColumnRule:
    integer = bool(said.get("integer", is_whole and len(amounts) > 0))
    if integer and not is_whole:
        odd = amounts[amounts != np.floor(amounts)][0]
        raise ValueError(f"integer names {name!r}, which has {odd:g}. Round the column, or leave it out of integer.")
    if not integer and pd.api.types.is_integer_dtype(dtype):
        if len(amounts):
            raise ValueError(
                f"integer[{name!r}] is False, and its dtype {dtype} holds whole numbers only. Convert it: "
                f"X[{name!r}].astype(float)."
            )
        integer = True
    seen = (float(amounts.min()), float(amounts.max())) if len(amounts) else (-math.inf, math.inf)
    low, high, words = *seen, {"bounds": "observed"}
    if "bounds" in said:
        low, high = _sides(name, said["bounds"])
        words["bounds"] = "given"
    extent = seen[1] - seen[0] if len(amounts) else 0.0
    given = said.get("budgets", everywhere)
    budget, share = _amount(name, given, "budgets" in said)
    if share and not len(amounts) and "budgets" in said:
        raise ValueError(
            f"budgets[{name!r}] is a share of the observed range, and nothing was observed. Give an amount."
        )
    if share:
        words["budget"] = f"{str(given).strip()} of the observed range"
        budget = share * extent
        if integer and budget < 1 and share and extent >= 1 and "budgets" not in said:
            budget, words["budget"] = 1.0, "one step"
    if integer and 0 < budget < 1:
        words["still"] = f"the budget of {budget:g} is less than one step"
    return ColumnRule(
        name, "number", dtype, immutable="immutable" in said, integer=integer, budget=float(budget), low=low,
        high=high, direction=said.get("monotone", ""), words=words,
    )  # fmt: skip


def _amount(name: Any, given: Any, own: bool) -> tuple[float, float]:
    """Return a budget as an amount, or as a share of the observed range."""
    what = f"budgets[{name!r}]" if own else "budgets"
    if isinstance(given, str):
        found = _PERCENT.fullmatch(given)
        if found is None:
            _refuse_budget(ValueError, what, given)
        return 0.0, float(found[1]) / 100
    if not isinstance(given, (int, float, np.integer, np.floating)) or isinstance(given, bool):
        _refuse_budget(TypeError, what, given)
    if not is_number(given) or given < 0:
        _refuse_budget(ValueError, what, given)
    return float(given), 0.0


def _refuse_budget(error: type[Exception], what: str, given: Any) -> NoReturn:
    raise error(
        f"{what} must be a finite number >= 0, or a share of the observed range such as '5%', got {given!r:.60}."
    )


def _sides(name: Any, given: Any) -> tuple[float, float]:
    if given is None:
        return -math.inf, math.inf
    if isinstance(given, (str, Mapping)) or not hasattr(given, "__len__") or len(given) != 2:
        raise ValueError(f"bounds[{name!r}] must be a pair (low, high), None for no bound, got {given!r:.60}.")
    sides = []
    for side, free in zip(given, (-math.inf, math.inf)):
        number = isinstance(side, (int, float, np.integer, np.floating)) and not isinstance(side, bool)
        if side is not None and (not number or side != side):
            raise TypeError(f"bounds[{name!r}] must be a pair of numbers or None, got {given!r:.60}.")
        sides.append(free if side is None else float(side))
    if sides[0] > sides[1]:
        raise ValueError(f"bounds[{name!r}] must be (low, high) with low <= high, got {given!r:.60}.")
    return sides[0], sides[1]
