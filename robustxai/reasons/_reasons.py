"""Ranked reasons of decisions, with a proof of how far they hold, or the row of the table that displaces them."""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch

from robustxai._arguments import COUNT, Choice, Either, Instance, Nothing, checked, optional
from robustxai._switches import own_switches
from robustxai.attacks import AutoExplanationAttack
from robustxai.bounds import check_reading, read_network
from robustxai.certificates import Question, RowBoxes
from robustxai.columns import Points, TableRows, TableThreat
from robustxai.engine import kept
from robustxai.exceptions import EvaluationWarning, SharedExplanationWarning
from robustxai.explainers import ColumnContributions, ExactAttribution
from robustxai.protocols import AttackPreset, BoundMethod, ContributionMethod, Estimator, Ranking, ReasonDirection
from robustxai.ranking import clip_k
from robustxai.reasons._contributions import METHOD, seen
from robustxai.reasons._explained import ExplainedTable
from robustxai.reasons._result import Reasons

__all__ = ["reasons"]

#: On a network of Adult "zonotope" proved one of 500 reasons more, in twice the time.
_METHODS: tuple[BoundMethod, ...] = ("affine",)
#: Shares of the budgets within which a reason is proven: the largest that succeeds counts.
_SHARES = np.array([0.05, 0.1, 0.15, 0.25, 0.35, 0.5, 0.75, 1.0])
#: Boxes that are bounded at once: few take hardly longer than one, so that single rows ask for several shares together.
_AT_ONCE = 64


@checked(
    top=COUNT,
    direction=Choice(get_args(ReasonDirection)),
    threat=Either((Instance(TableThreat), Nothing()), words="a TableThreat, TableThreat.from_frame(X_train, ...)"),
    method=METHOD,
    n_points=COUNT,
    attack=optional(Choice(get_args(AttackPreset))),
)
def reasons(
    estimator: Estimator,
    X: Any,
    top: int = 4,
    *,
    direction: ReasonDirection = "adverse",
    favorable: Any = None,
    threat: TableThreat | None = None,
    baseline: Any = None,
    method: ContributionMethod = "integrated_gradients",
    n_points: int = 16,
    attack: AttackPreset | None = "fast",
) -> Reasons:
    r"""Rank the columns of a table as reasons for decisions, and prove how far they stay reasons.

    The reasons of a row are the `top` columns with the largest contributions in a direction, in log-odds of the class
    `favorable` (:func:`explain_columns`). A reason is *proven* where it stays among the top at every row that
    the threat model admits and that has the same decision: in every box of the threat model, one for each choice of
    switches, bounds of the contributions show that it stays above as many columns as are outside.
    It is *attacked* where an admissible row of the table with the same decision was found at which it does not, and
    *undecided* otherwise.

    Parameters
    ----------
    estimator : fitted Pipeline, classifier or search
        As for :func:`explain_columns`.
    X : DataFrame of shape (n, n_columns)
        Raw rows.
    top : int, default=4
        Number of reasons. Four are customary in notices of adverse action.
    direction : {"adverse", "favorable", "both"}, default="adverse"
        Columns that count against the class `favorable`, those that count for it, or the largest of either kind. A
        column of the other sign is no reason: a row may have less than `top`.
    favorable : label, optional
        By default the second of two classes. With more classes it is needed, but for "both", which then explains the
        predicted class.
    threat : TableThreat, optional
        How the rows may change. Without it nothing is proven or attacked.
    baseline : raw row or table of raw rows, optional
        As for :func:`explain_columns`.
    method : {"integrated_gradients", "gradient_times_input"}, default="integrated_gradients"
        As for :func:`explain_columns`.
    n_points : int, default=16
        Points of the midpoint rule. Time of the proofs is in proportion.
    attack : {"fast", "standard", "strong"} or None, default="fast"
        Preset of the attack on the reasons that are not proven; None for none.

    Returns
    -------
    Reasons
        ``frame`` is the tidy table.

    Raises
    ------
    TypeError, ValueError, NotFittedError
        As :func:`explain_columns`; rows outside of the bounds of the threat model, a category never seen, a threat
        model of another table.
    NotImplementedError
        A network that bounds do not read, by the name of what is not known.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from sklearn.pipeline import make_pipeline
    >>> from robustxai import SoftplusClassifier
    >>> from robustxai.columns import TableThreat
    >>> from robustxai.datasets import make_preprocessor
    >>> from robustxai.reasons import reasons
    >>> r = np.random.default_rng(0)
    >>> X = pd.DataFrame({"age": r.integers(18, 81, 300), "debt": r.integers(0, 9000, 300), "job": ["yes", "no"] * 150})
    >>> y = np.where(X["age"] * 100 - X["debt"] > 0, "paid", "defaulted")
    >>> pipe = make_pipeline(make_preprocessor(X), SoftplusClassifier(max_epochs=20)).fit(X, y)
    >>> threat = TableThreat.from_frame(X, budgets={"age": 1, "debt": 50}, immutable=["job"])
    >>> found = reasons(pipe, X[:2], top=1, direction="both", favorable="paid", threat=threat)
    >>> found.frame[["row", "rank", "column", "value", "direction", "radius", "status"]]
       row  rank column  value  direction  radius  status
    0    0     1   debt   1020  favorable     1.0  proven
    1    1     1   debt     89  favorable     1.0  proven
    """
    table = ExplainedTable.of(estimator, X, "reasons", threat)
    classes = list(table.model.classes_)
    if favorable is None and len(classes) == 2:
        favorable = classes[1]
    if favorable is None and direction != "both":
        raise ValueError(
            f"direction={direction!r} needs the class that is favorable: pass favorable=, one of {classes}. "
            "direction='both' explains the predicted class."
        )
    if favorable is not None and favorable not in classes:
        raise ValueError(f"favorable={favorable!r} is none of the classes {classes}.")
    n_columns = len(table.columns.columns)
    k = clip_k(top, n_columns)
    if not len(table.frame):
        raise ValueError("X has no row. Pass the raw rows whose reasons are wanted.")
    if not table.frame.index.is_unique:
        twice = table.frame.index[table.frame.index.duplicated()][0]
        raise ValueError(
            f"Two rows of X have the label {str(twice)!r}, and reasons are named by the labels of their rows. Call "
            "X.reset_index(drop=True)."
        )
    with own_switches():
        b = table.baseline(baseline)
        predicted = table.model.encode_target(seen(table, table.x)).cpu().numpy()
        ranked = _Ranked(table, k, direction, favorable, threat is not None)
        for rows, side, target, ranking in _groups(predicted, classes, favorable, direction):
            explainer = table.explainer(method, "log_odds", n_points, b, side)
            ranked.rank(rows, explainer, target, ranking)
            if threat is not None:
                own = bool((target == predicted[rows]).all())
                switched = _prove(table, ranked, rows, explainer, target, ranking, threat, keep=own)
                if attack is not None and own:  # attacks explain the predicted class
                    _attack(table, ranked, rows, explainer, ranking, threat, attack, switched)
    return ranked.result()


def _groups(
    predicted: np.ndarray, classes: list[Any], favorable: Any, direction: ReasonDirection
) -> Iterator[tuple[np.ndarray, Any, np.ndarray, Ranking]]:
    """Yield rows that are explained alike: their places, the side, the explained classes and the ranking.

    With two classes the predicted one is explained, as attacks do: what counts against one class counts for the other.
    """
    everything = np.arange(len(predicted))
    if favorable is None:
        yield everything, "for", predicted, "magnitude"
        return
    code = classes.index(favorable)
    if len(classes) > 2:
        side = "against" if direction == "adverse" else "for"
        yield everything, side, np.full(len(predicted), code), "magnitude" if direction == "both" else "signed"
        return
    if direction == "both":
        yield everything, "for", predicted, "magnitude"
        return
    for value in np.unique(predicted):
        rows = np.flatnonzero(predicted == value)
        side = "for" if (value == code) == (direction == "favorable") else "against"
        yield rows, side, predicted[rows], "signed"


@dataclass
class _Ranked:
    """Reasons of all rows, filled group by group."""

    table: ExplainedTable
    k: int
    direction: ReasonDirection
    favorable: Any
    has_threat: bool

    def __post_init__(self) -> None:
        n, n_columns = len(self.table.frame), len(self.table.columns.columns)
        self.scores = np.zeros((n, n_columns))
        self.order = np.zeros((n, n_columns), dtype=int)
        self.radius = np.zeros((n, self.k))
        self.pairs = np.zeros((n, self.k, n_columns), dtype=bool)
        self.sign = np.ones(n)
        self.displaced = np.zeros((n, self.k), dtype=bool)
        self.changed: dict[tuple[int, int], pd.Series] = {}  # of a row and a number of its changed rows
        self.by = np.zeros((n, self.k), dtype=int)  # that number, of each reason that is displaced
        self.signed = np.ones(n, dtype=bool)

    def rank(self, rows: np.ndarray, explainer: ColumnContributions, target: np.ndarray, ranking: Ranking) -> None:
        """Store scores and ranks of some rows."""
        model, x = self.table.model, self.table.x[rows]
        labels = np.asarray(model.classes_)[target]
        found = np.asarray(model.explain(seen(self.table, x), labels, explainer=explainer))  # type: ignore[call-arg]
        ordered = np.abs(found) if ranking == "magnitude" else found
        self.scores[rows] = found
        self.order[rows] = np.argsort(-ordered, axis=1, kind="stable")
        self.signed[rows] = ranking == "signed"
        # contributions are given to the log-odds of the favorable class
        sign = 1.0 if explainer.side == "for" else -1.0
        code = None if self.favorable is None else list(model.classes_).index(self.favorable)
        self.sign[rows] = sign if code is None else np.where(target == code, sign, -sign)

    def result(self) -> Reasons:
        """Return the reasons."""
        names, frame = list(self.table.columns.columns), self.table.frame
        lines: dict[str, list[Any]] = {name: [] for name in ("row", "rank", "column", "value", "contribution")}
        more: dict[str, list[Any]] = {name: [] for name in ("direction", "radius", "status", "changes")}
        for n in range(len(frame)):
            for rank, column in enumerate(self.order[n, : self.k]):
                score = self.scores[n, column]
                if (self.signed[n] and score <= 0) or score == 0:
                    continue
                contribution, name = self.sign[n] * score, names[column]
                value = frame[name].iloc[n]
                entries = (frame.index[n], rank + 1, name, getattr(value, "item", lambda v=value: v)(), contribution)
                for key, entry in zip(lines, entries):
                    lines[key].append(entry)
                more["direction"].append("favorable" if contribution > 0 else "adverse")
                radius, lost = self.radius[n, rank], self.displaced[n, rank]
                more["radius"].append(radius)
                more["status"].append("proven" if radius >= 1 else "attacked" if lost else "undecided")
                more["changes"].append(
                    _changes(frame.iloc[n], self.changed[n, self.by[n, rank]]) if lost and radius < 1 else None
                )
        table = pd.DataFrame({**lines, **more})
        if not self.has_threat:
            return Reasons(table.drop(columns=["radius", "status", "changes"]), self.k, self.favorable)
        pairs = {
            frame.index[n]: tuple(
                (names[self.order[n, r]], names[self.order[n, a]]) for r, a in np.argwhere(self.pairs[n])
            )
            for n in range(len(frame))
        }
        rows = [self.changed[key] for key in sorted(self.changed)]
        changed = pd.DataFrame(rows).astype(frame.dtypes.to_dict()) if rows else frame.iloc[:0]
        return Reasons(table, self.k, self.favorable, changed, pairs)


def _changes(row: pd.Series, changed: pd.Series) -> dict[Any, Any]:
    moved = {name: changed[name] for name in row.index if row[name] != changed[name]}
    return {
        name: getattr(value, "item", lambda v=value: v)()
        for name, value in moved.items()
        if not (pd.isna(value) and pd.isna(row[name]))
    }


def _prove(
    table: ExplainedTable,
    ranked: _Ranked,
    rows: np.ndarray,
    explainer: ColumnContributions,
    target: np.ndarray,
    ranking: Ranking,
    threat: TableThreat,
    keep: bool,
) -> _Switched:
    """Prove reasons within the whole budget, and those that fail within shares of it.

    A changed row lies in one box, so that a reason need not be above the same columns in all of them.
    The rows at which categories switch and no number moves are looked at first, without bounds: a reason that one of
    them displaces holds within no share. They are returned.
    """
    module, k = table.model.module_, ranked.k
    network = read_network(module, table.x.shape[1:])
    check_reading(network, module, torch.from_numpy(table.x[rows]), 0.1, torch.ones(table.x.shape[1]).double())
    order, own = ranked.order[rows], ranked.scores[rows]
    changes = TableRows(threat, table.frame.iloc[rows].reset_index(drop=True), table.columns, x=table.x[rows])
    still = changes.within(0.0)
    switches = RowBoxes.of(still, np.arange(len(rows)))
    if len(switches) == len(rows):  # nothing switches
        gaps = _ahead(own, order, k, ranking)
    else:
        gaps = _gaps(module, explainer, switches, target, order, k, ranking, keep)
    alive = np.ones((len(rows), k), dtype=bool)
    np.logical_and.at(alive, switches.row, gaps > 0)
    search = _Shares(alive)
    while len(left := np.flatnonzero(search.open().any(axis=1))):
        asking = search.ask(_AT_ONCE // int(np.isin(switches.row, left).sum()))
        number, place = np.nonzero(asking.any(axis=2))  # a row at one share is a row of its own here
        asked = asking[number, place]
        parts = []
        for share, at_share in ((_SHARES[i], place[number == i]) for i in np.unique(number)):
            parts.append(RowBoxes.of(changes if share == 1 else changes.within(float(share)), at_share))
        boxes = RowBoxes.cat(parts)
        at_center = np.concatenate([gaps[switches.row == i] for i in place])
        predicted = np.isfinite(at_center).all(axis=1)
        pairs = np.ones((len(place), k, order.shape[1]), dtype=bool)
        question = Question(
            network, explainer, target[place], own[place], order[place], k, ranking, keep, _METHODS
        )  # fmt: skip
        for some in _in_turn(boxes, np.where(asked[boxes.row], at_center, np.inf).min(axis=1)):
            some = some[asked[boxes.row[some]].any(axis=1)]
            stays = np.ones_like(asked)
            for row, found in question.proofs(boxes.take(some), predicted=predicted[some]):
                np.logical_and.at(pairs, row, found)
                np.logical_and.at(stays, row, _stays(found))
            asked = asked & stays
        search.tell(number, place, asked)
        whole = _SHARES[number] == 1  # all boxes of these reasons were looked at
        pairs[:, np.arange(k), np.arange(k)] = False
        ranked.pairs[rows[place[whole]]] = pairs[whole] & asked[whole][:, :, None]
    ranked.radius[rows] = search.radius()
    return _Switched(still, switches.row, gaps)


@dataclass(frozen=True, eq=False)
class _Switched:
    """The rows at which categories switch and no number moves.

    Attributes
    ----------
    rows : TableRows
        Of no budget.
    row : ndarray of int of shape (n_boxes,)
        The row that each of them changes.
    gaps : ndarray of shape (n_boxes, k)
        How far each reason is ahead there, as `_gaps` returns it.
    """

    rows: TableRows
    row: np.ndarray
    gaps: np.ndarray

    @functools.cached_property
    def _points(self) -> Points:
        return self.rows.boxes(np.arange(len(self.rows.frame))).start

    def worst(self, rank: int) -> pd.DataFrame:
        """Return for every row the one at which the reason of a rank is furthest behind."""
        by_row = np.lexsort((self.gaps[:, rank], self.row))
        first = by_row[np.unique(self.row[by_row], return_index=True)[1]]
        return self.rows.table(self._points.take(first))


def _stays(pairs: np.ndarray) -> np.ndarray:
    """Return which of the first columns stay among the first by the pairs that are proven in a box, (m, k).

    A column is one of the first k of n where it is above n - k others, whichever these are: one that comes up may
    displace another one.
    """
    _, k, n = pairs.shape
    below = pairs.copy()
    below[:, np.arange(k), np.arange(k)] = False
    return np.asarray(below.sum(axis=2) >= n - k)


class _Shares:
    """Search for the largest share of the budgets within which each reason is proven, between the shares known.

    The whole budget is asked for first. A share that is proven settles the smaller ones and one that is not settles
    the larger ones, so that each question leaves half of the shares, or less with several at once.

    Parameters
    ----------
    alive : ndarray of bool of shape (n, k)
        Reasons that may be proven within some share.
    """

    def __init__(self, alive: np.ndarray) -> None:
        self._alive = alive
        self._proven = np.full(alive.shape, -1)  # the largest share that is proven, by its number
        self._failed = np.full(alive.shape, len(_SHARES))  # the smallest one that is not
        self._asked = np.zeros((len(_SHARES), *alive.shape), dtype=bool)

    def open(self) -> np.ndarray:
        """Return the reasons of which a share is still to be asked for, (n, k)."""
        return self._alive & (self._failed - self._proven > 1)

    def ask(self, at_once: int) -> np.ndarray:
        """Choose the shares to be asked for next, about `at_once` of each reason, at least one; (shares, n, k)."""
        if not self._asked.any():
            numbers = np.full((1, *self._alive.shape), len(_SHARES) - 1)
        else:
            step = np.arange(1, max(at_once, 1) + 1)[:, None, None]
            numbers = self._proven + np.maximum((self._failed - self._proven) * step // (len(step) + 1), 1)
        self._asked = np.zeros_like(self._asked)
        np.put_along_axis(self._asked, np.minimum(numbers, len(_SHARES) - 1), True, axis=0)
        self._asked &= self.open()
        return self._asked

    def tell(self, number: np.ndarray, place: np.ndarray, proven: np.ndarray) -> None:
        """Tell which reasons are proven at the shares and rows that were asked for, (n_questions, k)."""
        for i, n, good in zip(number, place, proven):
            asked = self._asked[i, n]
            self._proven[n] = np.where(asked & good, np.maximum(self._proven[n], i), self._proven[n])
            self._failed[n] = np.where(asked & ~good, np.minimum(self._failed[n], i), self._failed[n])

    def radius(self) -> np.ndarray:
        """Return the largest proven share of each reason, 0 for none, (n, k)."""
        return np.where(self._proven < 0, 0.0, _SHARES[self._proven])


def _in_turn(boxes: RowBoxes, ahead: np.ndarray) -> list[np.ndarray]:
    """Return boxes in parts: the one of every row in which a reason is closest to its end, and the others.

    Most rows that fail, fail in the first. Few boxes are one part.
    """
    if len(boxes) <= _AT_ONCE:
        return [np.arange(len(boxes))]
    by_row = np.lexsort((ahead, boxes.row))
    first = by_row[np.unique(boxes.row[by_row], return_index=True)[1]]
    return [first, np.setdiff1d(np.arange(len(boxes)), first)]


def _ahead(scores: np.ndarray, order: np.ndarray, k: int, ranking: Ranking) -> np.ndarray:
    """Return how far the columns ``order[:, :k]`` are ahead of the k-th of the other columns, (m, k)."""
    scores = np.take_along_axis(np.abs(scores) if ranking == "magnitude" else scores, order, axis=1)
    # the k-th of the others is the next one of all, for a column that is itself among the first k
    ranked = -np.sort(-np.column_stack([scores, np.full(len(scores), -np.inf)]), axis=1)
    first, kth, following = scores[:, :k], ranked[:, k - 1 : k], ranked[:, k : k + 1]
    return np.asarray(first - np.where(first >= kth, following, kth))


def _gaps(
    module: torch.nn.Module,
    explainer: ColumnContributions,
    boxes: RowBoxes,
    target: np.ndarray,
    order: np.ndarray,
    k: int,
    ranking: Ranking,
    keep: bool,
) -> np.ndarray:
    """Return how far each reason is ahead of the k-th of the other columns at the center of every box, (n_boxes, k).

    Infinite where another class is predicted, if `keep`.
    """
    # on the CPU like the boxes, wherever the module is
    double = kept(module, "float64 on the CPU", lambda: copy.deepcopy(module).double().cpu())
    exact = ExactAttribution(explainer, double)
    found = []
    for part in np.array_split(np.arange(len(boxes)), max(1, len(boxes) // 4096)):
        x, classes = torch.from_numpy(boxes.center[part]), torch.from_numpy(target[boxes.row[part]])
        gaps = _ahead(exact(x, classes).numpy(), order[boxes.row[part]], k, ranking)
        if keep:
            with torch.no_grad():
                gaps[(double(x).argmax(dim=1) != classes).numpy()] = np.inf
        found.append(gaps)
    return np.concatenate(found)


def _attack(
    table: ExplainedTable,
    ranked: _Ranked,
    rows: np.ndarray,
    explainer: ColumnContributions,
    ranking: Ranking,
    threat: TableThreat,
    preset: AttackPreset,
    switched: _Switched,
) -> None:
    """Look for admissible rows that displace the reasons that are not proven.

    One changed row may displace several reasons: what the attack finds comes first. A reason that stays there may
    still be displaced where categories switch and no number moves.
    """
    is_open = (ranked.radius[rows] < 1).any(axis=1)
    open_rows = rows[is_open]
    if not len(open_rows):
        return
    view = table.explained_by(explainer)
    attack = AutoExplanationAttack(view, k=ranked.k, threat=threat, ranking=ranking, preset=preset)
    with warnings.catch_warnings():  # about a mean P@k, which is not reported here
        warnings.simplefilter("ignore", EvaluationWarning)
        warnings.simplefilter("ignore", SharedExplanationWarning)
        result = attack.run(table.frame.iloc[open_rows])
    changed = result.X_adv
    for number in range(ranked.k + 1):
        if number:
            if not (switched.gaps[:, number - 1] < 0).any():
                continue
            changed = switched.worst(number - 1).set_axis(table.frame.index[rows])[is_open]
        lost, kept = _displaced(table, ranked, open_rows, changed, explainer, ranking)
        lost &= kept[:, None] & (ranked.radius[open_rows] < 1) & ~ranked.displaced[open_rows]
        places = np.flatnonzero(lost.any(axis=1))
        if not len(places):
            continue
        some, lost = open_rows[places], lost[places]
        shorter = _shortened(table, ranked, some, changed.iloc[places], lost, explainer, ranking)
        ranked.displaced[some] |= lost
        ranked.by[some] = np.where(lost, number, ranked.by[some])
        ranked.changed |= {(int(n), number): shorter.iloc[place] for place, n in enumerate(some)}


def _shortened(
    table: ExplainedTable,
    ranked: _Ranked,
    rows: np.ndarray,
    changed: pd.DataFrame,
    lost: np.ndarray,
    explainer: ColumnContributions,
    ranking: Ranking,
) -> pd.DataFrame:
    """Take changes back, column by column, that are not needed to displace the reasons `lost`, (n, k)."""
    frame = table.frame.iloc[rows]
    for name in table.columns.columns:
        fewer = changed.copy()
        fewer[name] = frame[name].array
        still, kept = _displaced(table, ranked, rows, fewer, explainer, ranking)
        shorter = kept & (still | ~lost).all(axis=1)
        fewer[name] = frame[name].where(shorter, changed[name]).astype(frame[name].dtype).array
        changed = fewer
    return changed


def _displaced(
    table: ExplainedTable,
    ranked: _Ranked,
    rows: np.ndarray,
    changed: pd.DataFrame,
    explainer: ColumnContributions,
    ranking: Ranking,
) -> tuple[np.ndarray, np.ndarray]:
    """Return which reasons are not among the first at changed rows, and which of these rows keep the decision."""
    model = table.model
    own = model.encode_target(seen(table, table.x[rows])).cpu().numpy()
    x = seen(table, table.columns.transform(changed))
    labels = np.asarray(model.classes_)[own]
    found = np.asarray(model.explain(x, labels, explainer=explainer))  # type: ignore[call-arg]
    scores = np.abs(found) if ranking == "magnitude" else found
    kth = -np.sort(-scores, axis=1)[:, ranked.k - 1]
    inside = np.take_along_axis(scores, ranked.order[rows][:, : ranked.k], axis=1) >= kth[:, None]
    return ~inside, model.encode_target(x).cpu().numpy() == own
