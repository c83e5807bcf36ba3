"""The least stable rows and columns, each with an admissible row that displaces a reason, in few changes."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from robustxai.audit._intervals import share_interval
from robustxai.audit._measures import Measured
from robustxai.audit._target import Target

__all__ = ["Examples", "changes_of", "member_masks", "unit_table"]

#: Largest number of columns for which changes are taken back one by one.
_MOST_COLUMNS = 300


def member_masks(target: Target, found: Measured) -> tuple[np.ndarray, np.ndarray]:
    """Return which units are in the top sets of the rows and of the changed rows, shape (n, n_units) each."""
    return _mask(target, found.attribution), _mask(target, found.attribution_adv)


def _mask(target: Target, attribution: np.ndarray) -> np.ndarray:
    order = np.argsort(-target.scores(attribution), axis=1, kind="stable")[:, : target.k]
    mask = np.zeros(attribution.shape, dtype=bool)
    np.put_along_axis(mask, order, True, axis=1)
    return mask


def unit_table(target: Target, found: Measured) -> pd.DataFrame:
    """Return one line per unit: how often it is a reason, and how often an admissible change displaces it.

    Returns
    -------
    DataFrame
        ``column``, ``n_reasons`` (rows in whose top set it is), ``displaced`` (share of these whose strongest change
        displaces it) with its interval, ``n_entered`` (rows whose top set it enters), ``mean_rank`` (1 is first).
        Ordered by the lower end of the interval of `displaced`.
    """
    own, other = member_masks(target, found)
    ranks = np.argsort(np.argsort(-target.scores(found.attribution), axis=1, kind="stable"), axis=1) + 1
    lines = []
    for j, name in enumerate(target.units):
        lost = (~other[own[:, j], j]).astype(float)
        mean, low, high = share_interval(lost)
        lines.append(
            {
                "column": name,
                "n_reasons": int(own[:, j].sum()),
                "displaced": mean,
                "displaced_low": low,
                "displaced_high": high,
                "n_entered": int((other[:, j] & ~own[:, j]).sum()),
                "mean_rank": float(ranks[:, j].mean()),
            }
        )
    table = pd.DataFrame(lines)
    return table.sort_values("displaced_low", ascending=False, kind="stable", ignore_index=True)


class Examples:
    """Rows that displace reasons.

    Parameters
    ----------
    target : Target
        Model and rows.
    found : Measured
        What was found within the whole budget.
    codes : ndarray of int of shape (n,)
        Predicted classes.
    """

    def __init__(self, target: Target, found: Measured, codes: np.ndarray) -> None:
        self.target, self.found, self.codes = target, found, codes
        self.own, self.other = member_masks(target, found)

    def frame(self, units: pd.DataFrame, n_examples: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the examples, and the changed rows, one for each example.

        Parameters
        ----------
        units : DataFrame
            From `unit_table`.
        n_examples : int
            Least stable rows, and least stable columns.
        """
        strongest, typical = self.found.strongest, np.nan_to_num(self.found.typical, nan=1.0)
        unstable = np.flatnonzero(strongest < 1)
        worst = unstable[np.lexsort((typical[unstable], strongest[unstable]))][:n_examples]
        chosen: list[tuple[Any, int]] = [(None, int(n)) for n in worst]
        places = {name: j for j, name in enumerate(self.target.units)}
        lost = units[(units["displaced"] > 0)]["column"][:n_examples]
        for name in lost:
            j = places[name]
            rows = np.flatnonzero(self.own[:, j] & ~self.other[:, j])
            chosen.append((name, int(rows[np.lexsort((typical[rows], strongest[rows]))[0]])))
        if not chosen:
            empty = ["column", "row", "precision_at_k", "left", "entered", "changes", "probability", "probability_adv"]
            return pd.DataFrame(columns=empty), self.target.frame.iloc[:0]
        which = np.array([place for _, place in chosen])
        changed = self._fewest(which)
        attribution, same, probabilities = self._at(which, changed)
        assert same.all()
        top = _mask(self.target, attribution)
        before = self._probability(self.target.x[which], which)
        lines = []
        for i, (name, n) in enumerate(chosen):
            left, entered = self.own[n] & ~top[i], top[i] & ~self.own[n]
            lines.append(
                {
                    "column": name,
                    "row": self.target.frame.index[n],
                    "precision_at_k": 1 - int(left.sum()) / self.target.k,
                    "left": self._names(left),
                    "entered": self._names(entered),
                    "changes": changes_of(self.target.frame.iloc[n], changed.iloc[i]),
                    "probability": before[i],
                    "probability_adv": probabilities[i],
                }
            )
        return pd.DataFrame(lines), changed

    def _names(self, mask: np.ndarray) -> tuple[Hashable, ...]:
        return tuple(self.target.units[j] for j in np.flatnonzero(mask))

    def _at(self, which: np.ndarray, changed: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x = self.target.features(changed)
        same = self.target.predicted(x) == self.codes[which]
        return self.target.explained(x, self.codes[which]), same, self._probability(x, which)

    def _probability(self, x: np.ndarray, which: np.ndarray) -> np.ndarray:
        found = np.asarray(self.target.model.predict_proba(self.target.seen(x)))
        return np.asarray(found[np.arange(len(which)), self.codes[which]])

    def _fewest(self, which: np.ndarray) -> pd.DataFrame:
        """Take changes back, column by column, as long as the same units are displaced."""
        changed, frame = self.found.changed.iloc[which], self.target.frame.iloc[which]
        if frame.shape[1] > _MOST_COLUMNS:
            return changed
        lost = self.own[which] & ~self.other[which]
        for place in range(frame.shape[1]):
            own, now = frame.iloc[:, place], changed.iloc[:, place]
            if not any(differ(a, b) for a, b in zip(own, now)):
                continue
            fewer = changed.copy()
            fewer.isetitem(place, own.array)
            attribution, same, _ = self._at(which, fewer)
            still = self.own[which] & ~_mask(self.target, attribution)
            taken = same & (still == lost).all(axis=1)
            both = pd.concat([changed, fewer])
            changed = both.iloc[np.arange(len(which)) + np.where(taken, len(which), 0)].set_axis(changed.index)
        return changed


def differ(one: Any, other: Any) -> bool:
    """Return whether two values of a table differ; gaps do not."""
    if pd.isna(one) or pd.isna(other):
        return bool(pd.isna(one) != pd.isna(other))
    return bool(one != other)


def changes_of(row: pd.Series, changed: pd.Series) -> dict[Hashable, tuple[Any, Any]]:
    """Return old and new value of every column that changed."""
    names: Sequence[Hashable] = list(row.index)
    return {
        name: (_plain(row.iloc[j]), _plain(changed.iloc[j]))
        for j, name in enumerate(names)
        if differ(row.iloc[j], changed.iloc[j])
    }


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
