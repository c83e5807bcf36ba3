"""Subgroups of rows: how good the predictions are in each, how stable the explanations, and the gaps between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from robustxai._validation import nearest_name
from robustxai.audit._intervals import area_interval, difference, share_interval

__all__ = ["as_groups", "compare_groups"]

#: Largest number of different numbers that are levels of their own; more are cut into quarters.
_MOST_NUMBERS = 8
#: Largest number of levels of a group; the rarest are put together.
_MOST_LEVELS = 12


def as_groups(X: Any, groups: Any) -> dict[str, pd.Categorical]:
    """Return the level of every row, as text in an order, by the name of the grouping.

    Parameters
    ----------
    X : DataFrame or ndarray
        All rows.
    groups : None, column, sequence of columns, mapping of name to array, or array of shape (n,)
        Columns are those of X; an array has one entry per row.

    Raises
    ------
    ValueError, TypeError
        A column that X does not have, an array of another length.
    """
    if groups is None:
        return {}
    columns = list(X.columns) if isinstance(X, pd.DataFrame) else []
    if isinstance(groups, Mapping):
        given = dict(groups)
    elif isinstance(groups, str) or (np.ndim(groups) == 0 and groups in columns):
        given = {groups: None}
    elif isinstance(groups, Sequence) and all(_is_column(name, columns) for name in groups):
        given = dict.fromkeys(groups)
    elif isinstance(groups, (Sequence, np.ndarray, pd.Series)) and len(groups) == len(X):
        given = {getattr(groups, "name", None) or "group": groups}
    elif isinstance(groups, Sequence) and all(isinstance(name, str) for name in groups):
        given = dict.fromkeys(groups)
    else:
        raise TypeError(
            "groups must be a column of X, a sequence of columns, an array of one entry per row, or a dict of name to "
            f"array; got {type(groups).__name__}."
        )
    found = {}
    for name, values in given.items():
        if values is None:
            if name not in columns:
                near = nearest_name(str(name), map(str, columns)) if columns else " X is an array: pass arrays."
                raise ValueError(f"groups names {name!r}, which is no column of X.{near}")
            values = X[name]
        values = pd.Series(np.asarray(values, dtype=object) if not isinstance(values, pd.Series) else values)
        if len(values) != len(X):
            raise ValueError(f"groups[{name!r}] has {len(values)} entries, but X has {len(X)} rows.")
        found[str(name)] = _levels(values.reset_index(drop=True))
    return found


def _is_column(name: Any, columns: list[Any]) -> bool:
    try:
        return name in columns
    except (TypeError, ValueError):
        return False


def _levels(values: pd.Series) -> pd.Categorical:
    """Return levels as text: quarters of numbers, the rarest of many categories together."""
    numbers = pd.to_numeric(values, errors="coerce")
    is_number = not pd.api.types.is_bool_dtype(values) and bool((numbers.notna() | values.isna()).all())
    if is_number and numbers.nunique() > _MOST_NUMBERS:
        ends = np.unique(np.quantile(numbers.dropna(), [0.25, 0.5, 0.75]))
        names = [f"up to {ends[0]:g}"]
        names += [f"above {low:g} up to {high:g}" for low, high in pairwise(ends)]
        names += [f"above {ends[-1]:g}"]
        places = np.searchsorted(ends, numbers.fillna(ends[0]).to_numpy(dtype=float), side="left")
        text, order = np.array(names, dtype=object)[places], names
    else:
        text = values.astype(object).map(lambda value: "" if pd.isna(value) else str(value)).to_numpy(dtype=object)
        known = values[values.notna()].unique()
        order = [str(value) for value in (sorted(known) if is_number else sorted(known, key=str))]
    text = text.copy()
    text[values.isna().to_numpy()] = "missing"
    counts = pd.Series(text).value_counts()
    if len(counts) > _MOST_LEVELS:
        text[pd.Series(text).isin(counts.index[_MOST_LEVELS - 1 :]).to_numpy()] = "all others"
    order = list(dict.fromkeys([*order, "all others", "missing"]))
    return pd.Categorical(text, categories=[level for level in order if level in set(text)])


def compare_groups(
    groups: Mapping[str, pd.Categorical],
    places: np.ndarray,
    precision: np.ndarray,
    k: int,
    scores: np.ndarray | None,
    truth: np.ndarray | None,
    classes: np.ndarray,
) -> pd.DataFrame:
    """Return one line per level: sizes, mean P@k, area under the ROC curve, and the gaps to all other rows.

    Parameters
    ----------
    groups : mapping of str to Categorical of shape (n,)
        Levels of all rows.
    places : ndarray of int of shape (m,)
        Rows whose explanations were attacked.
    precision : ndarray of shape (m,)
        Their P@k.
    k : int
        Size of the top set.
    scores : ndarray of shape (n, n_classes), or None
        Probabilities of all rows.
    truth : ndarray of shape (n,), or None
        Labels of all rows.
    classes : ndarray of shape (n_classes,)
        Label of every column of `scores`.

    Returns
    -------
    DataFrame
        ``group``, ``level``, ``n_rows`` (attacked), ``precision_at_k`` with ``_low`` and ``_high``, ``gap`` (to the
        rows of all other levels) with its ends, ``gap_is_clear`` (the interval at the level of all gaps together is on
        one side of 0), and the same for ``roc_auc``.
    """
    n_gaps = sum(len(levels.categories) for levels in groups.values())
    strict = 1 - 0.05 / max(n_gaps, 1)
    lines = []
    for name, levels in groups.items():
        for level in levels.categories:
            inside_all = np.asarray(levels == level)
            inside = inside_all[places]
            line: dict[str, Any] = {"group": name, "level": level, "n_rows": int(inside.sum())}
            parts = (precision[inside], precision[~inside])
            own = share_interval(parts[0], k)
            gap = difference(own, share_interval(parts[1], k))
            clear = difference(*(share_interval(part, k, strict) for part in parts))
            line |= _triple("precision_at_k", own) | _triple("gap", gap) | {"gap_is_clear": _is_clear(clear)}
            if scores is not None and truth is not None:
                line["n_labeled"] = int(inside_all.sum())
                sides = [(scores[side], truth[side], classes) for side in (inside_all, ~inside_all)]
                area = area_interval(*sides[0])
                gap = difference(area, area_interval(*sides[1]))
                clear = difference(*(area_interval(*side, strict) for side in sides))
                line |= _triple("roc_auc", area) | _triple("auc_gap", gap) | {"auc_gap_is_clear": _is_clear(clear)}
            lines.append(line)
    return pd.DataFrame(lines)


def _triple(name: str, interval: tuple[float, float, float]) -> dict[str, Any]:
    return {name: interval[0], f"{name}_low": interval[1], f"{name}_high": interval[2]}


def _is_clear(gap: tuple[float, float, float]) -> bool:
    return bool(gap[1] > 0 or gap[2] < 0)
