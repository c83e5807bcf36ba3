"""Result of an attack, row by row and in words, and the strongest of several results."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import joblib
import numpy as np
import pandas as pd

from robustxai._arguments import Each, Either, Instance, Nothing, Rows, checked
from robustxai._frames import aligned, as_pandas, is_table, like, stacked, take
from robustxai._validation import outside
from robustxai.attacks._moved import distances, moved_units, unit_names
from robustxai.columns import TableThreat
from robustxai.exceptions import EvaluationWarning, SharedExplanationWarning
from robustxai.metrics import between_rows_precision
from robustxai.perturbation import ThreatModel
from robustxai.protocols import Ranking

__all__ = ["AttackResult", "lowest", "strongest", "warn_of_rise", "warn_of_sameness", "zero_rows"]

#: Largest rise of a mean P@k with the radius without a warning.
_TOLERANCE = 0.01
#: Largest share of their top-k sets that two different rows may have in common without a warning.
_SAME = 0.9

_NAMES = Either((Rows(), Nothing()), words="a sequence of names or None")


@dataclass(frozen=True, eq=False)
class AttackResult:
    """Result of an attack, row by row.

    Attributes
    ----------
    X_adv : array or DataFrame of the kind of X
        Perturbed inputs: for each row the iterate that is best for the attack's goal and keeps the prediction. For a
        Pipeline, in the features that its last step sees, like the attributions.
    attribution, attribution_adv : array or DataFrame of the kind of X
        Explanations at X and at X_adv of the class predicted at X.
    precision_at_k : ndarray of shape (n_samples,)
        Overlap of the two top-k sets, as a share of k.
    first_flip : ndarray of int of shape (n_samples,)
        First iteration at which the top-k set differed with the prediction unchanged, counted from 1;
        ``n_iter + 1`` where none did.
    n_iter : int
        Budget of iterations.
    targets_in_top_k : ndarray of int of shape (n_samples,), or None
        Number of target units in the top-k set at X_adv; for a targeted attack only.
    last_gain : ndarray of int of shape (n_samples,), or None
        Last iteration that lowered P@k, 0 where none did; for several attacks, that of the kept one. Where it is close
        to `n_iter` in many rows, more iterations would find more.
    rejected : ndarray of shape (n_samples,), or None
        Share of the iterates that were rejected because they changed the prediction (or its probability by more than
        the limit of the attack).
    unexplained : ndarray of int of shape (n_samples,), or None
        Calls of the explainer that returned NaN or infinity for the row or for a point near it. The attack does not use
        such points. Where a row itself has no explanation, its P@k is NaN.
    criticality : ndarray of shape (n_samples, n_iter), or None
        How much all gaps could still fall when each iteration began, NaN once the search of the row has ended; for
        :class:`ParetoAttack` only.
    first_critical : ndarray of int of shape (n_samples,), or None
        Number of iterations after which the row was Pareto-critical, ``n_iter + 1`` where it never was; for
        :class:`ParetoAttack` only.
    X : array or DataFrame, or None
        Inputs, as the target estimator sees them.
    k : int, or None
        Size of the top sets, after clipping.
    ranking : {"magnitude", "signed"}, or None
        Ranked scores.
    threat : ThreatModel, TableThreat or None
        Allowed perturbations; None also for the strongest of attacks under different threat models.
    predicted : ndarray of shape (n_samples,), or None
        Class predicted at X, which is kept and explained.
    probability, probability_adv : ndarray of shape (n_samples,), or None
        Its probability at X and at X_adv.
    switches : ndarray of dict of shape (n_samples,), or None
        Columns that switch, with their new categories; under a TableThreat only.
    exhaustive : ndarray of bool of shape (n_samples,), or None
        Whether all admissible changes of the row were tried, so that its P@k is the lowest that there is; under a
        TableThreat only.

    Notes
    -----
    Under a :class:`robustxai.columns.TableThreat` `X` and `X_adv` are tables of raw rows. ``first_flip`` and
    ``last_gain`` count the steps of the search in boxes of features; ``first_flip`` is `n_iter` where only the search
    among raw rows found a change. ``criticality`` and ``first_critical`` are None.
    """

    X_adv: Any
    attribution: Any
    attribution_adv: Any
    precision_at_k: np.ndarray
    first_flip: np.ndarray
    n_iter: int
    targets_in_top_k: np.ndarray | None = None
    last_gain: np.ndarray | None = None
    rejected: np.ndarray | None = None
    unexplained: np.ndarray | None = None
    criticality: np.ndarray | None = None
    first_critical: np.ndarray | None = None
    X: Any = None
    k: int | None = None
    ranking: Ranking | None = None
    threat: ThreatModel | TableThreat | None = None
    predicted: np.ndarray | None = None
    probability: np.ndarray | None = None
    probability_adv: np.ndarray | None = None
    switches: np.ndarray | None = None
    exhaustive: np.ndarray | None = None

    def __repr__(self) -> str:
        mean, kept = self.mean_precision, int(np.sum(self.precision_at_k == 1))
        of_k = "P@k" if self.k is None else f"P@{self.k}"
        rows = len(self.precision_at_k)
        return f"AttackResult({rows} rows, mean {of_k} {mean:.3f}, {kept} rows with their whole top set)"

    @property
    def mean_precision(self) -> float:
        """Mean P@k over the rows that have an explanation; NaN if none has."""
        known = self.precision_at_k[~np.isnan(self.precision_at_k)]
        return float(known.mean()) if len(known) else float("nan")

    def of_rows(self, rows: slice | np.ndarray) -> AttackResult:
        """Return the result for some of the rows."""
        by_row = {name: value for name, value in vars(self).items() if name not in _OF_ALL and value is not None}
        return replace(self, **{name: take(value, rows) for name, value in by_row.items()})

    @checked(feature_names=_NAMES)
    def to_frame(self, feature_names: Sequence[str] | None = None) -> pd.DataFrame:
        """Return one row per sample: units that left and entered the top set, and the perturbation's size.

        Parameters
        ----------
        feature_names : sequence of str, optional
            Names of the ranked units; the columns of X where it is a DataFrame, else "x0", "x1", ..., or of pixels and
            edges "(row, column)".

        Returns
        -------
        DataFrame
            Indexed as X. Columns ``predicted``, ``precision_at_k``; ``left`` and ``entered``, tuples of the names of
            units, the highest score first; ``distance``, the length of the perturbation, in the norm and the units of
            the threat model (shares of the budgets of a TableThreat); of a TableThreat ``switches`` and ``exhaustive``;
            ``first_flip``, missing where the top set never changed; ``probability`` and
            ``probability_adv`` of the predicted class; ``targets_in_top_k`` of a targeted attack.

        Raises
        ------
        ValueError
            The number of names is not that of the units.
        """
        is_pandas = isinstance(self.X_adv, pd.DataFrame)
        index = self.X_adv.index if is_pandas else pd.RangeIndex(len(self.precision_at_k))
        frame = pd.DataFrame(index=index)
        if self.predicted is not None:
            frame["predicted"] = self.predicted
        frame["precision_at_k"] = self.precision_at_k
        if self.k is not None:
            names = unit_names(self.attribution, feature_names)
            for column, rows in zip(("left", "entered"), self._moved()):
                frame[column] = pd.Series([tuple(names[unit] for unit in row) for row in rows], index, dtype=object)
        if self._has_distances():
            frame["distance"] = distances(self.X, self.X_adv, self.threat)
        for name, values in (("switches", self.switches), ("exhaustive", self.exhaustive)):
            if values is not None:
                frame[name] = pd.Series(list(values), index, dtype=object if name == "switches" else bool)
        flips = pd.array(self.first_flip, dtype="Int64")
        flips[np.asarray(self.first_flip) > self.n_iter] = pd.NA
        frame["first_flip"] = flips
        for name in ("probability", "probability_adv", "targets_in_top_k"):
            if getattr(self, name) is not None:
                frame[name] = getattr(self, name)
        return frame

    @checked(feature_names=_NAMES)
    def summary(self, feature_names: Sequence[str] | None = None) -> str:
        """Describe the result in a few lines of plain words and figures; `feature_names` as in `to_frame`."""
        rows, precision = len(self.precision_at_k), self.precision_at_k
        if not rows:
            return "No row was attacked."
        precision = precision[~np.isnan(precision)]
        if not len(precision):
            return f"None of {_count(rows, 'row')} has an explanation: all are NaN or infinite."
        top = "top set" if self.k is None else f"top {self.k}"
        of_k = "P@k" if self.k is None else f"P@{self.k}"
        names = unit_names(self.attribution, feature_names)
        ranked = f", {top} of {len(names)} ranked by {self.ranking}" if self.k is not None else ""
        ball = f", {self.threat.in_words()}" if self.threat is not None else ""
        lines = [f"{_count(rows, 'row')} attacked with {_count(self.n_iter, 'step')}{ball}{ranked}."]
        mean, median, lowest = np.mean(precision), np.median(precision), np.min(precision)
        whole, lost = int((precision == 1).sum()), int((precision == 0).sum())
        lines.append(
            f"{of_k}: mean {mean:.3f}, median {median:.3f}, lowest {lowest:.3f}. "
            f"{whole} of {len(precision)} keep their {top}, {lost} keep nothing of it."
        )
        if len(precision) < rows:
            lines.append(f"{_count(rows - len(precision), 'row')} without an explanation left out of these figures.")
        if self.unexplained is not None and self.unexplained.any():
            calls, hit = int(self.unexplained.sum()), int((self.unexplained > 0).sum())
            lines.append(f"{_count(calls, 'explanation')} in {_count(hit, 'row')} held NaN or infinity.")
        if self.k is not None:
            for verb, found in zip(("left", "entered"), self._moved()):
                counts = Counter(names[unit] for row in found for unit in row).most_common(3)
                if counts:
                    lines.append(f"Most often {verb}: " + ", ".join(f"{name} ({n})" for name, n in counts) + ".")
        flipped = np.asarray(self.first_flip) <= self.n_iter
        if flipped.any():
            median = int(np.median(np.asarray(self.first_flip)[flipped]))
            lines.append(f"The top set first changed at step {median} (median of {_count(int(flipped.sum()), 'row')}).")
        if self._has_distances():
            moved = distances(self.X, self.X_adv, self.threat)
            of = " of their budgets" if isinstance(self.threat, TableThreat) else ""
            lines.append(f"Rows were moved by {np.mean(moved):.3g}{of} in the mean, {np.max(moved):.3g} at most.")
        if self.switches is not None:
            switched = Counter(column for row in self.switches for column in row)
            n_rows = sum(bool(row) for row in self.switches)
            most = ", most often " + ", ".join(f"{name} ({n})" for name, n in switched.most_common(3)) if n_rows else ""
            lines.append(f"Categories switch in {_count(n_rows, 'row')}{most}.")
        if self.exhaustive is not None and self.exhaustive.any():
            lines.append(f"All admissible changes of {_count(int(self.exhaustive.sum()), 'row')} were tried.")
        if self.probability is not None and self.probability_adv is not None:
            before, after = float(np.mean(self.probability)), float(np.mean(self.probability_adv))
            lines.append(f"Probability of the predicted class: mean {before:.3f} before, {after:.3f} after.")
        return "\n".join(lines)

    def _has_distances(self) -> bool:
        """Return whether the perturbations have lengths; raw rows have none where their threat models differ."""
        return self.X is not None and (self.switches is None or self.threat is not None)

    def _moved(self) -> tuple[list[list[int]], list[list[int]]]:
        return moved_units(self.attribution, self.attribution_adv, self.k or 1, self.ranking or "magnitude")


#: Fields other than arrays with one entry per row.
_OF_ALL = ("n_iter", "k", "ranking", "threat")


@checked(results=Each(Instance(AttackResult), least=1, words="a sequence of at least one attack result"))
def strongest(results: Sequence[AttackResult]) -> AttackResult:
    """Return for every row the result with the lowest P@k (the earlier one of equals), and the earliest first flip.

    The mean over rows of this minimum is the figure of an ensemble: an attacker may choose the attack for every row. A
    field of one kind of attack (`targets_in_top_k`, `criticality`, `first_critical`) is left out.

    Raises
    ------
    ValueError
        There is no result, or a result is about other rows, another k or another ranking than the first.
    """
    for other in results[1:]:
        _check_comparable(results[0], other)
    return lowest(results)


def lowest(results: Sequence[AttackResult]) -> AttackResult:
    """Return `strongest` without its checks; the results share rows and classifier, whose explainer may be random."""
    precisions = np.stack([r.precision_at_k for r in results])
    choice = np.where(np.isnan(precisions), np.inf, precisions).argmin(axis=0)
    counted = [r.unexplained for r in results if r.unexplained is not None]

    def pick(name: str) -> Any:
        first = getattr(results[0], name)
        if isinstance(results[0].threat, TableThreat) and is_table(first):  # of several dtypes
            rows = np.arange(len(choice)) + len(choice) * choice
            return take(stacked([aligned(first, getattr(r, name), by_rows=False) for r in results]), rows)
        values = [aligned(first, getattr(r, name), (f"{name} of the first", f"{name} of another")) for r in results]
        return like(first, np.stack([np.asarray(v) for v in values])[choice, np.arange(len(choice))])

    n_iter = max(r.n_iter for r in results)
    # a row that a shorter attack never flipped is censored at the larger budget, and not flipped there
    flips = [np.where(r.first_flip > r.n_iter, n_iter + 1, r.first_flip) for r in results]
    traced = all(r.last_gain is not None and r.rejected is not None for r in results)
    return AttackResult(
        X_adv=pick("X_adv"),
        attribution=results[0].attribution,
        attribution_adv=pick("attribution_adv"),
        precision_at_k=np.fmin.reduce(precisions),
        first_flip=np.min(flips, axis=0),
        n_iter=n_iter,
        last_gain=pick("last_gain") if traced else None,
        rejected=pick("rejected") if traced else None,
        unexplained=np.sum(counted, axis=0) if len(counted) == len(results) else None,
        switches=pick("switches") if all(r.switches is not None for r in results) else None,
        exhaustive=pick("exhaustive") if all(r.exhaustive is not None for r in results) else None,
        probability_adv=pick("probability_adv") if all(r.probability_adv is not None for r in results) else None,
        threat=results[0].threat if _same_threats(results) else None,
        **{name: getattr(results[0], name) for name in ("X", "k", "ranking", "predicted", "probability")},
    )


def _same_threats(results: Sequence[AttackResult]) -> bool:
    first = results[0].threat
    return all(r.threat is first for r in results) or len({joblib.hash(r.threat) for r in results}) == 1


def _check_comparable(first: AttackResult, other: AttackResult) -> None:
    """Raise ValueError unless two results share rows, classifier, k and ranking."""
    cure = "The lowest P@k of a row can only be taken over attacks on the same rows of one classifier with one k."
    for name in ("k", "ranking"):
        here, there = getattr(first, name), getattr(other, name)
        if None not in (here, there) and here != there:
            raise ValueError(f"The results have {name}={here!r} and {name}={there!r}. {cure}")
    pairs = [(first.attribution, other.attribution, 1e-3)]
    of_tables = [isinstance(result.threat, TableThreat) for result in (first, other)]
    if of_tables[0] != of_tables[1]:
        raise ValueError(f"One of the results is of raw rows under a TableThreat, and one of features. {cure}")
    if first.X is not None and other.X is not None and of_tables[0]:
        if not as_pandas(first.X).reset_index(drop=True).equals(as_pandas(other.X).reset_index(drop=True)):
            raise ValueError(f"The results are of different rows. {cure}")
    elif first.X is not None and other.X is not None:
        pairs.append((first.X, other.X, 0.0))
    for here, there, tolerance in pairs:
        before, after = np.asarray(here), np.asarray(_in_order(here, there))
        size = np.nanmax(np.abs(before), initial=0.0)
        if before.shape != after.shape or not np.allclose(
            before, after, rtol=tolerance, atol=tolerance * size, equal_nan=True
        ):
            raise ValueError(f"The results are of different rows or classifiers (or of a random explainer). {cure}")


def warn_of_rise(precision: Mapping[float, float], cure: str) -> None:
    """Warn where the mean P@k of an attack rises with the radius by more than 0.01.

    The larger ball contains the smaller one and its perturbations, so that P@k can rise only if an attack is too weak.

    Parameters
    ----------
    precision : mapping of float to float
        Mean P@k of one attack on one set of rows, by radius.
    cure : str
        Advice for the message.
    """
    radii = sorted(precision)
    rises = []
    for i, radius in enumerate(radii[1:], start=1):
        lowest = min(radii[:i], key=lambda smaller: precision[smaller])
        if precision[radius] > precision[lowest] + _TOLERANCE:
            rises.append(f"{precision[radius]:.3f} at {radius:g} after {precision[lowest]:.3f} at {lowest:g}")
    if rises:
        warnings.warn(
            f"The mean P@k rises with epsilon ({'; '.join(rises)}), although a larger ball contains every smaller "
            f"one: at the larger radius the attack is too weak, or limited by the prediction. {cure}",
            EvaluationWarning,
            stacklevel=outside(),
        )


def zero_rows(*attributions: Any) -> str:
    """Describe how many rows have an explanation of zeros in any of the `attributions`; empty if none has."""
    zero = np.logical_or.reduce([(np.asarray(a) == 0).reshape(len(a), -1).all(axis=1) for a in attributions])
    if not zero.any():
        return ""
    return (
        f"{zero.sum()} of {len(zero)} rows have an explanation of zeros, before or after the attack, in which all "
        "units tie. Their top-k set is arbitrary and their P@k has no meaning. Leave them out, or use an explainer "
        "that does not vanish there (the network may have dead ReLUs, or be constant)."
    )


def _in_order(here: Any, there: Any) -> Any:
    return aligned(here, there, ("the first result", "another"), by_rows=False)


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" + ("" if n == 1 else "s")


def warn_of_sameness(attribution: Any, k: int, ranking: Ranking = "magnitude") -> None:
    """Warn where two different rows have more than 90 % of their top-k sets in common, without any attack.

    Parameters
    ----------
    attribution : array-like of shape (n_samples, *features)
        Clean explanations.
    k : int
        Size of the top set, below the number of units.
    ranking : {"magnitude", "signed"}, default="magnitude"
        Ranked scores.
    """
    rows = np.asarray(attribution)
    rows = rows[np.isfinite(rows).reshape(len(rows), -1).all(axis=1)]
    between = between_rows_precision(rows, k, ranking=ranking) if len(rows) > 1 else 0.0
    if between > _SAME:
        warnings.warn(
            "This P@k is probably not what it seems: without any attack, two different rows have "
            f"{100 * between:.0f} % of their top-{k} sets in common. A P@{k} near 1 then means that the model "
            "ranks all rows alike, not that a row's own explanation is stable. Report between_rows_precision beside it "
            "and read chance_corrected_precision; where reasons should differ between rows, explain contributions "
            '(explainer="gradient_times_input" or "integrated_gradients").',
            SharedExplanationWarning,
            stacklevel=outside(),
        )
