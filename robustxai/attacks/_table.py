"""Attacks on raw tables: boxes of features are searched by an attack, rows of the table around what it finds by steps.

Every choice of switches of a row is a row of the attack, with a box of its own and the explanation of the row itself as
its reference. What is found goes back into the table, where whole numbers are whole, and is improved there. All rows of
a small lattice are tried.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from robustxai._frames import column_names, like, take
from robustxai.attacks._probability_change import below_limit, target_probability
from robustxai.attacks._result import AttackResult
from robustxai.attacks._search import Reference, Trace, observe
from robustxai.attacks._unexplained import Lenient, explained, lenient, precision_where_explained
from robustxai.bounds import ColumnStates, is_sum_of_columns, read_network
from robustxai.columns import (
    Boxes,
    Points,
    TableRows,
    TableThreat,
    first_of,
    in_kind_of,
    map_of,
)
from robustxai.exceptions import EvaluationWarning
from robustxai.explainers import ScaledAttribution
from robustxai.perturbation import RowSets
from robustxai.training import small_net_threads

if TYPE_CHECKING:
    from robustxai.attacks._base import BaseAttack
    from robustxai.attacks._transformer import AttackTransformer

__all__ = ["PROMISING", "Found", "Steps", "TableRun", "row_sets"]

#: Rows with at most so many admissible points are searched by trying all of them.
EXHAUSTIVE = 2_000
#: Points of a row from which the search among raw rows starts, each with other switches, and its longest way.
_STARTS, _ROUNDS = 3, 25
#: First and last step of that search in numbers that are not whole, in budgets.
_FIRST_STEP, _LAST_STEP = 0.25, 0.01
#: Points that it moves at once.
_N_CLIMBERS = 500
#: A row starts at the corners of its box too, if it has at most so many.
_CORNERS = 64
#: Boxes of a row that are searched: those in which the switches alone, and then the earlier attacks, came furthest.
PROMISING = 12
#: Halvings of the way to a changed top set.
_HALVINGS = 12
#: Gain that counts.
_GAIN = 1e-6


def row_sets(boxes: Boxes, norm: float, device: torch.device | str) -> RowSets:
    """Return the boxes as sets of perturbations, one for every row of an attack."""
    n_free = int((boxes.unit > 0).sum(axis=1).max(initial=1))
    low, high, unit = (
        torch.tensor(part, dtype=torch.float32, device=device) for part in (boxes.low, boxes.high, boxes.unit)
    )
    return RowSets(epsilon=1.0, norm=norm, n_free=max(n_free, 1), low=low, high=high, unit=unit)


@dataclass(frozen=True, eq=False)
class Steps:
    """What one attack did in the boxes.

    Attributes
    ----------
    row : ndarray of int of shape (n_boxes,)
        Row of each box.
    value : ndarray of shape (n_boxes,)
        Value of its best iterate, before that is rounded to a row of the table.
    trace : Trace
        Of the boxes.
    max_iter : int
        Steps in each.
    """

    row: np.ndarray
    value: np.ndarray
    trace: Trace
    max_iter: int

    def take(self, boxes: np.ndarray) -> Steps:
        """Return the steps in some of the boxes."""
        return Steps(self.row[boxes], self.value[boxes], self.trace.take(torch.as_tensor(boxes)), self.max_iter)

    @classmethod
    def cat(cls, parts: list[Steps]) -> Steps:
        """Concatenate the boxes of several parts."""
        row, value = (np.concatenate([getattr(part, name) for part in parts]) for name in ("row", "value"))
        return cls(row, value, Trace.cat([part.trace for part in parts]), parts[0].max_iter)

    def by_row(self, n_rows: int) -> dict[str, np.ndarray]:
        """Return the best value of each row, and its trace: the first flip of all boxes, the rest of the best one."""
        best, seen = np.full(n_rows, -np.inf), np.zeros(n_rows, dtype=bool)
        flip = np.full(n_rows, self.max_iter + 1)
        np.minimum.at(flip, self.row, self.trace.first_flip.cpu().numpy())
        first = first_of(self.row, self.value)
        rows = self.row[first]
        best[rows], seen[rows] = self.value[first], True
        found: dict[str, np.ndarray] = {"value": best, "seen": seen, "first_flip": flip}
        for name in ("last_gain", "rejected", "unexplained"):
            values = getattr(self.trace, name).cpu().numpy()
            found[name] = np.zeros(n_rows, dtype=values.dtype)
            found[name][rows] = values[first]
        return found


@dataclass(frozen=True, eq=False)
class Found:
    """The best point of every row.

    Attributes
    ----------
    points : Points
        One for every row, in their order.
    value : ndarray of shape (n,)
        What was maximized, as :meth:`TableRun.values`.
    exhaustive : ndarray of bool of shape (n,)
        Whether all admissible points were tried.
    steps : tuple of Steps
        What each attack did in the boxes.
    changed : Points
        Points at which the search in the boxes, and among the raw rows around, found another top set.
    """

    points: Points
    value: np.ndarray
    exhaustive: np.ndarray
    steps: tuple[Steps, ...]
    changed: Points


class TableRun:
    """Rows of a table, the network that explains them, and the search for the admissible row of the highest value.

    Parameters
    ----------
    attack : attack
        Gives the target estimator, k, ranking and the limit of the probability.
    frame : DataFrame of shape (n, n_columns)
        Raw rows.
    threat : TableThreat
        How they may change.
    objective : callable, optional
        Attributions in the units of the clean ones and their reference to values of shape (m,). By default the number
        of units that left the top set, and how close the next one is.
    keep_prediction : bool, default=True
        Whether only points with the prediction of their row count.
    """

    def __init__(
        self,
        attack: AttackTransformer,
        frame: pd.DataFrame,
        threat: TableThreat,
        *,
        objective: Callable[[Tensor, Reference], Tensor] | None = None,
        keep_prediction: bool = True,
    ) -> None:
        self.attack, self.threat, self.objective, self.keep_prediction = attack, threat, objective, keep_prediction
        self.rows = TableRows(threat, frame, map_of(attack.estimator, threat))
        self.module = attack._frozen_module()
        self.explainer = lenient(attack._target_estimator.explainer_)
        self.x = attack._tensor(self.rows.x)
        self.target = attack._predicted(self.rows.x)
        self.groups = self._columns_apart()
        self.max_change = getattr(attack, "max_probability_change", None)
        with small_net_threads(self.module):
            self.size = attack._rows_at_once(self.module, self.x)
            found = [self._observed(self.x[rows], rows) for rows in torch.arange(len(self.x)).split(self.size)]
        self.reference = Reference.cat([Reference.of(said, attack.k_, attack.ranking) for said, _, _ in found])
        logits = torch.cat([part for _, part, _ in found])
        self.probability = target_probability(logits, self.target)
        #: Value of a row whose whole top set is replaced.
        self.most = min(attack.k_, self.reference.scores.shape[1] - attack.k_)

    # ---------------------------------------------------------------- values

    def _observed(self, x: Tensor, rows: Tensor) -> tuple[ScaledAttribution, Tensor, Tensor | None]:
        """Return attributions of points of some rows, logits, and where there is no attribution."""
        _, found, logits = observe(self.module, self.explainer, x, self.target[rows], graph=False)
        return found, logits.detach(), self.explainer.failed if isinstance(self.explainer, Lenient) else None

    def _columns_apart(self) -> Any:
        """Return the features of each column where no column changes what another one contributes, None elsewhere."""
        explainer = self.attack._target_estimator.explainer_
        try:
            network = read_network(self.attack._target_estimator.module_, self.x.shape[1:])
        except (AttributeError, NotImplementedError):  # a black box, or a network that bounds do not read
            return None
        return explainer.groups if is_sum_of_columns(network, explainer) else None

    def _contributions(self, x: Tensor, rows: Tensor) -> tuple[ScaledAttribution, Tensor, Tensor | None]:
        """Return the same as `_observed` where columns are apart: every state of a column is explained once.

        Points that a search tries share most of the states of their columns.
        """
        values, target = x.cpu().numpy(), self.target[rows]
        found = torch.empty(len(x), len(self.groups), dtype=x.dtype, device=x.device)
        for code in target.unique():
            places = (target == code).nonzero().squeeze(1)
            some = values[places.cpu().numpy()]
            states = ColumnStates.of(some, np.zeros_like(some), self.groups)
            points = torch.as_tensor(states.center, dtype=x.dtype, device=x.device)
            _, said, _ = observe(self.module, self.explainer, points, code.expand(len(points)), graph=False)
            of_box = torch.as_tensor(states.of_box, device=x.device)
            found[places] = said.multiplied_out().detach().gather(0, of_box)
        with torch.no_grad():
            return ScaledAttribution(found), self.module(x), None

    def values(self, points: Points) -> np.ndarray:
        """Return what is maximized at some points, -infinity where the prediction is not kept; shape (m,)."""
        found = [np.empty(0)]
        self.rows.learn(points)
        with small_net_threads(self.module):
            for part in _chunks(len(points), self.size):
                some = points.take(part)
                found.append(self._values(self.attack._tensor(self.rows.features(some)), some.row))
        return np.concatenate(found)

    def _values(self, x: Tensor, row: np.ndarray) -> np.ndarray:
        """Return the values of features of shape (m, n_features) that belong to some rows."""
        rows = torch.as_tensor(row, device=self.x.device)
        observed = self._observed if self.groups is None else self._contributions
        said, logits, failed = observed(x, rows)
        reference = self.reference.select(rows)
        if self.objective is None:
            value = replaced(reference, reference.rank(said.direction.detach()))
        else:
            value = self.objective(said.relative_to(reference.log_scale).detach(), reference).detach().double()
        kept = torch.ones_like(value, dtype=torch.bool)
        if self.keep_prediction:
            kept = logits.argmax(dim=1) == self.target[rows]
            if self.max_change is not None:
                change = (target_probability(logits, self.target[rows]) - self.probability[rows]).abs()
                kept &= change <= below_limit(self.max_change)
        if failed is not None:
            kept &= ~failed
        return np.asarray(torch.where(kept, value, -torch.inf).cpu().numpy())

    # ---------------------------------------------------------------- the search

    def search(self, attacks: Iterable[BaseAttack], promising: int | None = None, *, polish: bool = True) -> Found:
        """Return the best point of every row.

        Parameters
        ----------
        attacks : iterable of BaseAttack
            Attacks with `k_` that search the boxes, one after another, each those of the rows that still resist.
        promising : int, optional
            Number of boxes of a row that are searched: those in which the switches alone, and then the earlier
            attacks, came furthest; all by default.
        polish : bool, default=True
            Whether to go on among raw rows, and to try all points of a small lattice.
        """
        attacks = list(attacks)
        with warnings.catch_warnings():
            if len(attacks) > 1:  # an ensemble warns once
                warnings.simplefilter("ignore", EvaluationWarning)
            return self._search(attacks, promising, polish)

    def _search(self, attacks: list[BaseAttack], promising: int | None, polish: bool) -> Found:
        exhaustive = (self.rows.n_points() <= EXHAUSTIVE) if polish else np.zeros(len(self.x), dtype=bool)
        best, value = self.rows.own, self.values(self.rows.own)
        tries = [self._try_all(rows) for rows in self.rows.parts(np.flatnonzero(exhaustive), self.rows.n_points())]
        searched = [
            self._search_boxes(rows, attacks, promising, polish)
            for rows in self.rows.parts(np.flatnonzero(~exhaustive), self.rows.n_choices)
        ]
        for points, values in [*tries, *((pool, values) for pool, values, _ in searched)]:
            best, value = self.rows.better(best, value, points, values)
        steps = [[seen[number] for _, _, seen in searched if number in seen] for number in range(len(attacks))]
        changed = Points.cat(
            [best.take(np.empty(0, dtype=int)), *(p.take(np.flatnonzero(v > 0)) for p, v, _ in searched)]
        )
        return Found(best, value, exhaustive, tuple(Steps.cat(parts) for parts in steps if parts), changed)

    def _try_all(self, rows: np.ndarray) -> tuple[Points, np.ndarray]:
        """Return all admissible points of some rows, and their values."""
        points = Points.cat([self.rows.lattice(row) for row in rows])
        return points, self.values(points)

    def _search_boxes(
        self, rows: np.ndarray, attacks: list[BaseAttack], promising: int | None, polish: bool
    ) -> tuple[Points, np.ndarray, dict[int, Steps]]:
        """Return points and values of some rows, and what each attack did, by its number."""
        boxes = self.rows.boxes(rows)
        owner = boxes.start.row
        pool, values = boxes.start, self.values(boxes.start)
        alone, by_box = values, values.copy()
        if polish and self.groups is not None and self.objective is None and self.rows.numbers:
            for pushed in self._pushed(boxes.start):
                reached = self.values(pushed)
                alone, by_box = np.maximum(alone, reached), np.maximum(by_box, reached)
                pool, values = Points.cat([pool, pushed]), np.concatenate([values, reached])
        seen: dict[int, Steps] = {}
        moving = np.asarray((boxes.unit > 0).any(axis=1))
        for number, attack in enumerate(attacks):
            chosen = moving.copy()
            if promising is not None:
                # the first two by the switches alone: the baseline and what is compared with it search the same boxes
                reached = np.where(moving, alone if number <= 1 else by_box, -np.inf)
                chosen &= _rank_in_group(owner, reached) < promising
            if number >= 2:  # the baseline and the first attack see all rows, so that they can be compared
                highest = np.full(len(self.x), -np.inf)
                np.maximum.at(highest, pool.row, values)
                chosen &= highest[owner] < self.most
            which = np.flatnonzero(chosen)
            if not len(which):
                continue
            found, found_values, seen[number] = self._relaxed(attack, boxes.take(which))
            by_box[which] = np.maximum(by_box[which], found_values)
            pool, values = Points.cat([pool, found]), np.concatenate([values, found_values])
            keep = _starts(pool, values, _STARTS)
            pool, values = pool.take(keep), values[keep]
        if polish:
            pool, values = self._polished(pool, values)
        return pool, values, seen

    def _pushed(self, start: Points) -> Iterator[Points]:
        """Yield points in each box at which numbers of the top set are pushed down and all others up.

        Where no column changes what another one contributes, each number has its best end by itself. All numbers move,
        or those alone that do not take from the predicted class, so that the prediction is kept.
        """
        rows = np.unique(start.row)
        own = self.rows.own.take(rows)
        ranked = {int(j): column for column, group in enumerate(self.groups) for j in group}
        at = torch.as_tensor(rows, device=self.x.device)
        before, logits, _ = self._contributions(self.x[at], at)
        score, margin = self.reference.rank(before.direction).cpu().numpy(), target_probability(logits, self.target[at])
        top = self.reference.top[at].cpu().numpy()
        chosen = [own.amounts.copy(), own.amounts.copy()]
        for j, rule in enumerate(self.rows.numbers):
            column = ranked[int(self.rows.groups[rule.name][0])]
            best = [np.zeros(len(rows)), np.zeros(len(rows))]
            for end in (self.rows.low, self.rows.high):
                amounts = own.amounts.copy()
                amounts[:, j] = end[rows, j]
                moved = self.rows.settled(Points(rows, amounts, own.codes))
                said, logits, _ = self._contributions(self.attack._tensor(self.rows.features(moved)), at)
                gain = self.reference.rank(said.direction).cpu().numpy()[:, column] - score[:, column]
                gain = np.where(top[:, column], -gain, gain)
                harmless = (target_probability(logits, self.target[at]) >= margin).cpu().numpy()
                for place, allowed in enumerate((np.ones(len(rows), dtype=bool), harmless)):
                    better = allowed & (gain > best[place])
                    best[place] = np.where(better, gain, best[place])
                    chosen[place][better, j] = moved.amounts[better, j]
        place_of = np.searchsorted(rows, start.row)
        for amounts in chosen:
            yield self.rows.settled(Points(start.row, amounts[place_of], start.codes))

    def _relaxed(self, attack: BaseAttack, boxes: Boxes) -> tuple[Points, np.ndarray, Steps]:
        """Return the raw rows next to what an attack finds in each box, their values, and what it did."""
        rows = torch.as_tensor(boxes.start.row, device=self.x.device)
        space = row_sets(boxes, float(self.threat.norm), self.x.device)
        delta, trace = attack._search_in_chunks(self.x[rows], self.target[rows], space)
        x = self.x[rows] + delta
        with small_net_threads(self.module):
            parts = [self._values(x[part], boxes.start.row[part]) for part in _chunks(len(x), self.size)]
        points = self.rows.nearest(boxes.start, x.double().cpu().numpy())
        steps = Steps(boxes.start.row, np.concatenate(parts), trace, int(attack.max_iter))
        return points, self.values(points), steps

    def _polished(self, points: Points, values: np.ndarray) -> tuple[Points, np.ndarray]:
        """Return points of higher values near the given ones and the corners of their boxes: steps in one column."""
        corners = self.rows.corners(points, _CORNERS)
        points, values = Points.cat([points, corners]), np.concatenate([values, self.values(corners)])
        keep = _starts(points, values, _STARTS)
        return self.climbed(
            points.take(keep), values[keep], self.values, self.most if self.objective is None else np.inf
        )

    def climbed(
        self, points: Points, values: np.ndarray, value_of: Callable[[Points], np.ndarray], enough: float = np.inf
    ) -> tuple[Points, np.ndarray]:
        """Return where the steepest way upwards from each point ends, step by step in one number or switch."""
        share, going = np.full(len(points), _FIRST_STEP), np.ones(len(points), dtype=bool)
        ends = self.rows.high > self.rows.low
        last = _LAST_STEP if (ends & ~self.rows.whole).any() else _FIRST_STEP
        amounts, codes, values = points.amounts.copy(), points.codes.copy(), values.copy()
        for _ in range(_ROUNDS):
            going &= values < enough
            at = np.flatnonzero(going)
            for part in np.array_split(at, max(1, -(-len(at) // _N_CLIMBERS))):
                here = Points(points.row[part], amounts[part], codes[part])
                place, new = self.rows.neighbors(here, share[part])
                reached = value_of(new)
                first = first_of(place, reached)
                better = first[reached[first] > values[part[place[first]]] + _GAIN]
                rows = part[place[better]]
                amounts[rows], codes[rows], values[rows] = new.amounts[better], new.codes[better], reached[better]
                stayed = np.setdiff1d(part, rows)
                share[stayed] /= 4
                going[stayed] &= share[stayed] >= last
            if not going.any():
                break
        return Points(points.row, amounts, codes), values

    def shortest(self, found: Found) -> np.ndarray:
        """Return the least share of the budgets found at which the top set of each row changes, or infinity.

        Of a row all of whose points are tried it is the least of all. Elsewhere all switches are tried alone, the ways
        to the points that were found are halved, and the steps among raw rows go on to smaller shares.
        """
        best = np.full(len(self.x), np.inf)
        for rows in self.rows.parts(np.flatnonzero(found.exhaustive), self.rows.n_points()):
            points = Points.cat([self.rows.lattice(row) for row in rows])
            lengths = np.where(self.values(points) > 0, self.rows.lengths(points), np.inf)
            np.minimum.at(best, points.row, lengths)
        for rows in self.rows.parts(np.flatnonzero(~found.exhaustive), self.rows.n_choices):
            switched = self.rows.boxes(rows).start
            alone = self.values(switched) > 0
            best[switched.row[alone]] = 0.0
        points = found.changed.take(np.flatnonzero(best[found.changed.row] > 0))
        if not len(points):
            return best
        low, high = np.zeros(len(points)), np.ones(len(points))
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            changed = self.values(self.rows.shortened(points, middle)) > 0
            low, high = np.where(changed, low, middle), np.where(changed, middle, high)
        points = self.rows.shortened(points, high)
        points, _ = self.climbed(points, self._shortness(points), self._shortness)
        np.minimum.at(best, points.row, self.rows.lengths(points))
        return best

    def _shortness(self, points: Points) -> np.ndarray:
        """Return minus the length of points at which the top set changes, -infinity at others."""
        shares = np.abs(points.amounts - self.rows.own.amounts[points.row]) / self.rows.budgets
        # the mean decides where the largest share belongs to several columns
        length = self.rows.lengths(points) + 1e-3 * (shares.mean(axis=1) if shares.shape[1] else 0.0)
        return np.where(self.values(points) > 0, -length, -np.inf)

    # ---------------------------------------------------------------- the result

    def result(self, X: Any, found: Found) -> tuple[AttackResult, Any, np.ndarray]:
        """Return what was found as raw rows, measured by the estimator itself.

        Parameters
        ----------
        X : table of shape (n, n_columns)
            As the user gave it; it lends its kind.
        found : Found
            The best points.

        Returns
        -------
        result : AttackResult
        seen : DataFrame or ndarray
            X as the target estimator sees it.
        failed : ndarray of bool of shape (n,)
            Rows without an explanation.
        """
        attack, estimator = self.attack, self.attack._target_estimator
        table = self.rows.table(found.points)
        seen, seen_adv = (attack._as_fitted(attack._seen(rows)) for rows in (self.rows.frame, table))
        labels = np.asarray(estimator.predict(seen))
        before, after = attack._probabilities([seen, seen_adv])
        attribution, failed = explained(estimator, seen, labels)
        attribution_adv, failed_adv = explained(estimator, seen_adv, labels)
        # what the search saw in float32 may differ by a rounding
        back = (np.asarray(estimator.predict(seen_adv)) != labels) | (failed_adv & ~failed)
        if self.max_change is not None and before is not None and after is not None:
            back |= ~(np.abs(after - before) <= below_limit(self.max_change, 0.5))
        points = found.points
        if back.any():
            own = self.rows.own
            points = Points(
                own.row,
                np.where(back[:, None], own.amounts, points.amounts),
                np.where(back[:, None], own.codes, points.codes),
            )
            table, attribution_adv[back] = self.rows.table(points), attribution[back]
            if before is not None and after is not None:
                after[back] = before[back]
        precision = precision_where_explained(attribution, attribution_adv, attack.k_, attack.ranking)
        said = estimator.explain(take(seen, slice(0, 1)), y=labels[:1])
        names = column_names(said) or self._unit_names(attribution.shape[1])
        switches = np.empty(len(labels), dtype=object)
        switches[:] = self.rows.switches(points)
        result = AttackResult(
            in_kind_of(X, table),
            like(X, attribution, names),
            like(X, attribution_adv, names),
            precision,
            X=X,
            k=attack.k_,
            ranking=attack.ranking,
            threat=self.threat,
            predicted=labels,
            probability=before,
            probability_adv=after,
            switches=switches,
            exhaustive=found.exhaustive,
            **self._history(found, precision, failed, failed_adv),
        )
        return result, seen, failed

    def _unit_names(self, n_units: int) -> list[Any]:
        for names in (self.rows.column_map.feature_names, self.rows.column_map.columns):
            if len(names) == n_units:
                return list(names)
        return [f"x{place}" for place in range(n_units)]

    def _history(
        self, found: Found, precision: np.ndarray, failed: np.ndarray, failed_adv: np.ndarray
    ) -> dict[str, Any]:
        """Return the fields of the result about the steps; those of the attack that came furthest in a row."""
        n_rows = len(precision)
        n_iter = max((steps.max_iter for steps in found.steps), default=int(getattr(self.attack, "max_iter", 1)))
        parts = [(steps.by_row(n_rows), steps.max_iter) for steps in found.steps]
        best, first_flip = np.full(n_rows, -np.inf), np.full(n_rows, n_iter + 1)
        fields = {"last_gain": np.zeros(n_rows, dtype=int), "rejected": np.zeros(n_rows, dtype=np.float32)}
        unexplained = failed.astype(int) + failed_adv
        for part, max_iter in parts:
            better = part["seen"] & (part["value"] > best)
            best = np.where(better, part["value"], best)
            for name, values in fields.items():
                fields[name] = np.where(better, part[name], values)
            flips = np.where(part["first_flip"] > max_iter, n_iter + 1, part["first_flip"])
            first_flip = np.minimum(first_flip, flips)
            unexplained += part["unexplained"]
        # a change that only rows of the table have came after the steps; one that none of them has does not count
        first_flip = np.where(precision < 1, np.minimum(first_flip, n_iter), n_iter + 1)
        return {"n_iter": n_iter, "first_flip": first_flip, "unexplained": unexplained, **fields}


def replaced(reference: Reference, scores: Tensor) -> Tensor:
    r"""Return how many units of the top set are replaced, less how far the next pair is from changing places.

    .. math:: m - \frac{h}{h + \bar s}, \qquad h = s_{(m + 1)}^T - s_{[m + 1]}^N

    with m the number of outsiders among the k highest scores, :math:`s_{(i)}^T` the i-th lowest score of the top set
    T, :math:`s_{[i]}^N` the i-th highest of the others and :math:`\bar s` the mean magnitude. It orders all points by
    P@k first.

    Parameters
    ----------
    reference : Reference
        The clean explanation.
    scores : Tensor of shape (n, units)
        Unit scores elsewhere.

    Returns
    -------
    Tensor of float64 of shape (n,)
    """
    scores = scores.double()
    most = min(reference.k, scores.shape[1] - reference.k)
    if not most:
        return scores.new_zeros(len(scores))
    lowest = scores.gather(1, reference.inside).sort(dim=1).values[:, :most]
    highest = scores.gather(1, reference.outside).sort(dim=1, descending=True).values[:, :most]
    gaps = lowest - highest
    count = (gaps < 0).sum(dim=1)
    following = gaps.gather(1, count.clamp_max(most - 1)[:, None]).squeeze(1).clamp_min(0.0)
    size = scores.abs().mean(dim=1).clamp_min(torch.finfo(scores.dtype).tiny)
    return count - torch.where(count < most, following / (following + size), 0.0)


def _chunks(n: int, size: int) -> list[np.ndarray]:
    return np.array_split(np.arange(n), range(size, n, size)) if n else []


def _rank_in_group(group: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the number of higher values in the group of each entry."""
    order = np.lexsort((np.arange(len(group)), -values, group))
    starts = np.unique(group[order], return_index=True)[1]
    sizes = np.diff([*starts, len(order)])
    rank = np.empty(len(order), dtype=int)
    rank[order] = np.arange(len(order)) - np.repeat(starts, sizes)
    return rank


def _starts(points: Points, values: np.ndarray, most: int) -> np.ndarray:
    """Return the places of the `most` best points of each row, each with other switches."""
    if not len(points):
        return np.empty(0, dtype=int)
    keys = np.unique(np.column_stack([points.row, points.codes]), axis=0, return_inverse=True)[1].reshape(-1)
    first = first_of(keys, values)
    return first[_rank_in_group(points.row[first], values[first]) < most]
