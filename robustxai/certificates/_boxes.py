"""Pairs of units that keep their order over boxes of their own for every row: the sets of a raw table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robustxai.bounds import (
    METHODS,
    Ball,
    BoundedExplainer,
    ColumnStates,
    Network,
    RankPairs,
    bound_attribution,
    check_explainer,
    column_margins,
    is_sum_of_columns,
    margin_bounds,
)
from robustxai.certificates._problem import LEAST, SLACK
from robustxai.columns import TableRows
from robustxai.protocols import BoundMethod, Explainer, Norm, Ranking

__all__ = ["METHODS_OF_BOXES", "Question", "RowBoxes", "prove_pairs"]

#: Methods for boxes, tried in this order on what is left.
METHODS_OF_BOXES: tuple[BoundMethod, ...] = ("affine", "zonotope")
#: Entries of the largest array of a part of the boxes (32 MB in float64).
_MAX_ENTRIES = 2**22
#: States of columns times moving features that are bounded at once.
_STATES_AT_ONCE = 4096
#: Margin that counts as rounding, in logits.
_ROUNDING = 1e-3


@dataclass(frozen=True, eq=False)
class RowBoxes:
    """Boxes of inputs, several for a row.

    Attributes
    ----------
    row : ndarray of int of shape (n_boxes,)
        The row to which a box belongs.
    center, half : ndarray of shape (n_boxes, n_features)
        Middle and half widths, 0 for features that do not move. With the norm 2 they are the center and the axes of an
        ellipsoid.
    norm : {2, inf}
    """

    row: np.ndarray
    center: np.ndarray
    half: np.ndarray
    norm: Norm

    @classmethod
    def of(cls, rows: TableRows, places: np.ndarray) -> RowBoxes:
        """Return the boxes of some rows of a table, around their middles; their rows are numbered as in `places`."""
        boxes = rows.boxes(places)
        row = np.searchsorted(places, boxes.start.row)
        if rows.threat.norm == 2:
            return cls(row, rows.features(boxes.start), boxes.unit, 2)
        return cls(row, (boxes.low + boxes.high) / 2, (boxes.high - boxes.low) / 2, "inf")

    @classmethod
    def cat(cls, parts: list[RowBoxes]) -> RowBoxes:
        """Concatenate boxes; the rows of each part, of which every one has a box, follow those of the part before."""
        first = np.cumsum([0, *(part.row.max(initial=-1) + 1 for part in parts)])
        rows = np.concatenate([part.row + start for part, start in zip(parts, first)])
        center, half = (np.concatenate([getattr(part, name) for part in parts]) for name in ("center", "half"))
        return cls(rows, center, half, parts[0].norm)

    def take(self, which: np.ndarray) -> RowBoxes:
        """Return some of the boxes."""
        return RowBoxes(self.row[which], self.center[which], self.half[which], self.norm)

    def __len__(self) -> int:
        return len(self.row)


def prove_pairs(
    network: Network,
    explainer: Explainer,
    boxes: RowBoxes,
    target: np.ndarray,
    attribution: np.ndarray,
    order: np.ndarray,
    k: int,
    ranking: Ranking,
    *,
    needed: np.ndarray | None = None,
    keep_prediction: bool = True,
    methods: tuple[BoundMethod, ...] = METHODS_OF_BOXES,
) -> np.ndarray:
    """Prove which pairs of units keep their order over all boxes of each row.

    Parameters
    ----------
    network : Network
        Read from the module in float64.
    explainer : Explainer
        One with bounds.
    boxes : RowBoxes
        What the inputs may be.
    target : ndarray of int of shape (n,)
        Explained class of every row.
    attribution : ndarray of shape (n, n_units)
        At the rows themselves, for the signs of magnitudes.
    order : ndarray of int of shape (n, n_units)
        Units of every row, the highest score first.
    k : int
        The pairs are those of one of the k first units with any other.
    ranking : {"magnitude", "signed"}
        Scores that are ranked.
    needed : ndarray of bool of shape (n, k, n_units), optional
        Pairs that are asked for; boxes in which they are proven are not looked at again. By default those of a first
        unit with one that is not among the k first.
    keep_prediction : bool, default=True
        Leave out boxes in which the class `target` is provably predicted nowhere.
    methods : tuple of str
        Methods of the bounds, tried in this order on what is left.

    Returns
    -------
    ndarray of bool of shape (n, k, n_units)
        In the order of `order`: entry (i, r, a) says that the r-th unit provably stays above the a-th.

    Notes
    -----
    In a sum of functions of single columns (:class:`robustxai.nets.AdditiveNet`, linear models) a switch of one column
    changes no other contribution. There every column is bounded once for each of its categories and each range of its
    amounts, instead of once for each box.
    """
    proven = np.ones((len(order), k, order.shape[1]), dtype=bool)
    proven[:, np.arange(k), np.arange(k)] = False
    question = Question(network, explainer, target, attribution, order, k, ranking, keep_prediction, methods)
    for row, found in question.proofs(boxes, needed):
        np.logical_and.at(proven, row, found)
    return proven


@dataclass(frozen=True, eq=False)
class Question:
    """Which pairs of units of some rows keep their order; fields as the parameters of :func:`prove_pairs`."""

    network: Network
    explainer: Explainer
    target: np.ndarray
    attribution: np.ndarray
    order: np.ndarray
    k: int
    ranking: Ranking
    keep_prediction: bool
    methods: tuple[BoundMethod, ...]

    def proofs(
        self, boxes: RowBoxes, needed: np.ndarray | None = None, predicted: np.ndarray | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield rows of some boxes, (m,), and the pairs that are proven in each of these boxes, (m, k, n_units).

        Boxes in which another class is predicted everywhere are left out, or all pairs are proven there. Boxes that
        are known to hold a point of the class `target`, marked in `predicted`, need no look at that.
        """
        if boxes.norm != 2 and len(boxes) and is_sum_of_columns(self.network, self.explainer):
            return self._column_by_column(boxes)
        return self._box_by_box(boxes, needed, predicted)

    def _box_by_box(
        self, boxes: RowBoxes, needed: np.ndarray | None, predicted: np.ndarray | None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        network, order, k = self.network, self.order, self.k
        bounded = check_explainer(self.explainer, len(network.logits.bias))
        n, n_units = order.shape
        if needed is None:
            needed = np.zeros((n, k, n_units), dtype=bool)
            needed[:, :, k:] = True
        moves = np.flatnonzero((boxes.half > 0).any(axis=0))
        units = max(len(layer.inputs.bias) for layer in network.layers) if network.layers else 1
        entries = (len(moves) + 4) * max(units, order.shape[1]) + boxes.center.shape[1] * max(len(moves), 1)
        everything = [torch.from_numpy(np.ascontiguousarray(values)) for values in (order, self.attribution)]
        with torch.no_grad():
            for part in np.array_split(np.arange(len(boxes)), max(1, len(boxes) * entries // _MAX_ENTRIES)):
                if not len(part):
                    continue
                some = boxes.take(part)
                rows = torch.from_numpy(some.row)
                at, signs = (values[rows] for values in everything)
                classes = torch.from_numpy(self.target[some.row])
                found, live = np.zeros((len(part), k, n_units), dtype=bool), np.ones(len(part), dtype=bool)
                if self.keep_prediction:
                    asked = np.arange(len(part)) if predicted is None else np.flatnonzero(~predicted[part])
                    if len(asked):
                        live[asked] = _may_be_predicted(network, some.take(asked), moves, classes[asked])
                    found[~live] = True
                left = np.flatnonzero(live)
                for method in self.methods:
                    if not len(left):
                        break
                    pairs = RankPairs.of(at[left, :k], at[left], signs[left].sign(), self.ranking)
                    found[left] |= _proven(network, bounded, some.take(left), moves, classes[left], pairs, method)
                    left = left[(needed[some.row[left]] & ~found[left]).any(axis=(1, 2))]
                yield some.row, found

    def _column_by_column(self, boxes: RowBoxes) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        classes = self.target[boxes.row]
        for code in np.unique(classes):
            some = boxes.take(np.flatnonzero(classes == code))
            low, high, size, live = _bounds_apart(self.network, self.explainer, some, int(code), self.methods)
            if self.keep_prediction:
                some, low, high, size = some.take(live), low[live], high[live], size[live]
            if self.ranking == "magnitude":
                sign = np.sign(self.attribution[some.row])
                lowest = np.where(sign > 0, low, np.where(sign < 0, -high, 0.0))
                highest = np.maximum(np.abs(low), np.abs(high))
            else:
                lowest, highest = low, high
            order, slack = self.order[some.row], np.maximum(SLACK * size, LEAST)[:, None, None]
            above = np.take_along_axis(lowest, order[:, : self.k], axis=1)[:, :, None]
            below = np.take_along_axis(highest, order, axis=1)[:, None]
            yield some.row, above - below > slack


def _bounds_apart(
    network: Network, explainer: Explainer, boxes: RowBoxes, target: int, methods: tuple[BoundMethod, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return bounds of the contributions of all columns in every box, of the class `target` alone.

    Returns
    -------
    low, high : ndarray of shape (n_boxes, n_columns)
    size : ndarray of shape (n_boxes,)
        Largest contribution, for the rounding.
    live : ndarray of int
        Places of the boxes in which `target` may be predicted.
    """
    bounded = check_explainer(explainer, len(network.logits.bias))
    groups = explainer.groups  # type: ignore[attr-defined]
    states = ColumnStates.of(boxes.center, boxes.half, groups)
    moves = np.flatnonzero((states.half > 0).any(axis=0))
    others = [other for other in range(len(network.logits.bias)) if other != target]
    found: list[list[np.ndarray]] = []
    constants = np.zeros(len(others))
    with torch.no_grad():
        for part in np.array_split(np.arange(len(states)), -(-len(states) * max(len(moves), 1) // _STATES_AT_ONCE)):
            some = RowBoxes(part, states.center[part], states.half[part], boxes.norm)
            ball, center, axes = _form(some, moves)
            code = torch.full((len(part),), target)
            ends = []
            for method in methods:
                (term,) = bound_attribution(network, bounded, center, code, None, ball, method, axes)
                ends.append([*term.phi.bounds(), term.phi.c.abs()])
            low, high, size = (torch.stack(values) for values in zip(*ends))
            margins = []
            for place, other in enumerate(others):
                _, above, constants[place] = column_margins(
                    network, groups, target, other, center, ball, axes, "affine"
                )
                margins.append(above)
            values = [low.amax(dim=0), high.amin(dim=0), size.amax(dim=0), *margins]
            found.append([value.numpy() for value in values])
    lowest, highest, sizes, *ahead = (states.of_columns(np.concatenate(values)) for values in zip(*found))
    live = np.ones(len(boxes), dtype=bool)
    for margin, constant in zip(ahead, constants):
        # an attack predicts in float32: its rounding must not make a box count that was left out
        live &= margin.sum(axis=1) + constant > -_ROUNDING
    return lowest, highest, sizes.max(axis=1), np.flatnonzero(live)


def _form(boxes: RowBoxes, moves: np.ndarray) -> tuple[Ball, Tensor, Tensor | None]:
    """Return ball, centers and axes, one matrix for each box."""
    center = torch.from_numpy(boxes.center)
    ball = Ball(torch.ones(len(center), 1, dtype=torch.float64), boxes.norm, max(len(moves), 1))
    axes = torch.zeros(*center.shape, len(moves), dtype=torch.float64)
    axes[:, moves, np.arange(len(moves))] = torch.from_numpy(boxes.half[:, moves])
    return ball, center, axes if len(moves) else None


def _may_be_predicted(network: Network, boxes: RowBoxes, moves: np.ndarray, target: Tensor) -> np.ndarray:
    """Return False for boxes in which another class is provably ahead everywhere."""
    ball, center, axes = _form(boxes, moves)
    _, high = margin_bounds(network, center, target, ball, axes, "affine")
    # an attack predicts in float32: its rounding must not make a box count that was left out
    return (high > -_ROUNDING).all(dim=1).numpy()


def _proven(
    network: Network,
    explainer: BoundedExplainer,
    boxes: RowBoxes,
    moves: np.ndarray,
    target: Tensor,
    pairs: RankPairs,
    method: BoundMethod,
) -> np.ndarray:
    ball, center, axes = _form(boxes, moves)
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)} here, got {method!r}.")
    terms = bound_attribution(network, explainer, center, target, None, ball, method, axes)
    sizes = [term.mixing[1] * term.phi.c.abs().amax(dim=1)[:, None, None] for term in terms]
    slack = (SLACK * torch.stack(sizes).sum(dim=0)[:, None]).clamp_min(LEAST)
    return (pairs.bounds(terms) > slack).all(dim=1).numpy()
