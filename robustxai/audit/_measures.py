"""Stability and faithfulness of the explanations of some rows, at one share of the budgets or several."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from robustxai._doubts import of_one_evaluation
from robustxai.attacks import AttackResult, AutoExplanationAttack, ERAttack
from robustxai.audit._target import Target
from robustxai.certificates import certify_top_k
from robustxai.columns import TableThreat
from robustxai.exceptions import EvaluationWarning, MismatchWarning
from robustxai.metrics import comprehensiveness, precision_at_k, sufficiency
from robustxai.protocols import AttackPreset, BoundMethod

__all__ = ["Effort", "Measured", "faithfulness", "measure", "quiet"]

#: Mean difference between attack and proof below which a stronger attack has nothing left to find, and what a doubt
#: that asks for one says.
_KNOWN, _STRONGER = 0.01, "preset='strong'"
#: Explained rows at once.
_AT_ONCE = 20_000


@dataclass(frozen=True)
class Effort:
    """How hard is looked: attacks, random draws, proofs, the seed, and whether attacks run at all."""

    preset: AttackPreset
    n_draws: int
    certify: bool
    random_state: int
    attacks: bool = True

    def papers_steps(self, in_table: bool) -> int:
        """Return the iterations of the papers' attack: 100, its default; fewer where every switch is a search."""
        return 20 if in_table and self.preset == "fast" else 100

    @property
    def method(self) -> BoundMethod:
        """Of certificates."""
        return "affine" if self.preset == "fast" else "best"


@dataclass(eq=False)
class Measured:
    """What was found at one share of the budgets, row by row.

    Attributes
    ----------
    random, papers, strongest, certified : ndarray of shape (n,)
        P@k: lowest of random admissible rows, of the papers' attack (NaN where it needs gradients that are not there),
        of all that was tried, and proven (NaN without a proof).
    typical : ndarray of shape (n,)
        Mean P@k over random admissible rows.
    thickness : ndarray of shape (n,)
        Share of the pairs of a member of the top set and another unit that keep their order there.
    exhaustive : ndarray of bool of shape (n,)
        Whether all admissible changes were tried.
    changed : DataFrame of shape (n, n_columns)
        The row of the lowest P@k; the row itself where none is lower than 1.
    attribution, attribution_adv : ndarray of shape (n, n_units)
        Explanations of the rows and of the changed rows.
    doubts : list of str
        Why a figure may mislead.
    """

    random: np.ndarray
    papers: np.ndarray
    strongest: np.ndarray
    certified: np.ndarray
    typical: np.ndarray
    thickness: np.ndarray
    exhaustive: np.ndarray
    changed: pd.DataFrame
    attribution: np.ndarray
    attribution_adv: np.ndarray
    doubts: list[str] = field(default_factory=list)


class quiet(warnings.catch_warnings):
    """Context that keeps the library's warnings about figures in the list that it returns; others are issued."""

    def __init__(self) -> None:
        super().__init__(record=True)
        self.said: list[str] = []

    def __enter__(self) -> list[str]:  # type: ignore[override]
        self._caught = super().__enter__()
        warnings.simplefilter("always")
        return self.said

    def __exit__(self, *exc: Any) -> None:
        super().__exit__(*exc)
        for one in self._caught or ():
            if issubclass(one.category, (EvaluationWarning, MismatchWarning)):
                self.said.append(str(one.message))
            elif "k=" not in str(one.message):
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


def measure(target: Target, share: float, effort: Effort) -> Measured:
    """Attack and prove the explanations of all rows within a share of the budgets."""
    n = len(target)
    codes = target.predicted(target.x)
    attribution = target.explained(target.x, codes)
    found = Measured(
        random=np.ones(n),
        papers=np.full(n, np.nan),
        strongest=np.ones(n),
        certified=np.full(n, np.nan),
        typical=np.full(n, np.nan),
        thickness=np.full(n, np.nan),
        exhaustive=np.zeros(n, dtype=bool),
        changed=target.frame,
        attribution=attribution,
        attribution_adv=attribution.copy(),
    )
    _at_random(target, share, effort, codes, found)
    with of_one_evaluation():
        if effort.attacks and (not target.is_black_box or effort.preset != "fast"):
            _attacked(target, share, effort, found)
        if effort.certify and not target.is_black_box:
            _proven(target, share, effort, found)
    if np.nanmean(found.strongest - np.nan_to_num(found.certified)) < _KNOWN:
        found.doubts = [doubt for doubt in found.doubts if _STRONGER not in doubt]
    return found


def _at_random(target: Target, share: float, effort: Effort, codes: np.ndarray, found: Measured) -> None:
    """Look at random admissible rows."""
    x, rows_of = target.draws(share, effort.n_draws, effort.random_state)
    n_draws, n = x.shape[:2]
    flat, owner = x.reshape(n_draws * n, -1), np.tile(np.arange(n), n_draws)
    kept = np.flatnonzero(target.predicted(flat) == codes[owner])
    precision, ordered = np.full(len(flat), np.nan), np.full(len(flat), np.nan)
    attribution = np.full((len(flat), found.attribution.shape[1]), np.nan)
    for part in np.array_split(kept, max(1, -(-len(kept) // _AT_ONCE))):
        if not len(part):
            continue
        attribution[part] = target.explained(flat[part], codes[owner[part]])
        own = found.attribution[owner[part]]
        known = np.isfinite(attribution[part]).all(axis=1) & np.isfinite(own).all(axis=1)
        part, own = part[known], own[known]
        precision[part] = precision_at_k(own, attribution[part], target.k, ranking=target.ranking)
        ordered[part] = _ordered(target.scores(own), target.scores(attribution[part]), target.k)
    table = precision.reshape(n_draws, n)
    known = ~np.isnan(table)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a row whose draws all change the prediction
        found.typical = np.nanmean(table, axis=0)
        found.thickness = np.nanmean(ordered.reshape(n_draws, n), axis=0)
    best = np.where(known, table, np.inf).argmin(axis=0)
    lowest = np.where(known.any(axis=0), table[best, np.arange(n)], 1.0)
    found.random = np.minimum(lowest, 1.0)
    _improve(found, found.random, rows_of(best), attribution.reshape(n_draws, n, -1)[best, np.arange(n)])


def _ordered(scores: np.ndarray, changed: np.ndarray, k: int) -> np.ndarray:
    """Return the share of pairs (member of the top set of `scores`, other unit) whose order `changed` keeps."""
    order = np.argsort(-scores, axis=1, kind="stable")
    moved = np.take_along_axis(changed, order, axis=1)
    return np.asarray((moved[:, :k, None] >= moved[:, None, k:]).mean(axis=(1, 2)))


def _improve(found: Measured, precision: np.ndarray, changed: pd.DataFrame, attribution: np.ndarray) -> None:
    """Keep the rows that have a lower P@k."""
    lower = np.flatnonzero(precision < found.strongest)
    if not len(lower):
        return
    choice = np.arange(len(precision))
    choice[lower] += len(precision)
    both = pd.concat([found.changed, changed.astype(found.changed.dtypes.to_dict())])
    found.changed = both.iloc[choice].set_axis(found.changed.index)
    found.strongest = np.minimum(found.strongest, precision)
    found.attribution_adv[lower] = attribution[lower]


def _attacked(target: Target, share: float, effort: Effort, found: Measured) -> None:
    """Run the ensemble on all rows, and the papers' attack on those of which not all changes were tried."""
    options: dict[str, Any] = {"k": target.k, "ranking": target.ranking, "threat": target.scaled(share)}
    if target.scaled(share) is not None and share == 0 and not isinstance(target.threat, TableThreat):
        found.papers = np.ones(len(target))
        return
    ensemble = AutoExplanationAttack(
        target.estimator, preset=effort.preset, random_state=effort.random_state, **options
    )
    with quiet() as said:
        result = ensemble.run(target.rows)
    found.doubts += said
    _take(target, found, result)
    if target.is_black_box:
        return
    if result.exhaustive is not None:
        found.exhaustive = np.asarray(result.exhaustive)
    found.papers = result.precision_at_k.copy()
    rest = np.flatnonzero(~found.exhaustive)
    if len(rest):
        part = target.of_rows(rest)
        with quiet():  # of the same rows, the ensemble has said it
            steps = effort.papers_steps(isinstance(target.threat, TableThreat))
            attack = ERAttack(target.estimator, max_iter=steps, random_state=effort.random_state, **options)
            papers = attack.run(part.rows)
        found.papers[rest] = papers.precision_at_k
        _take(target, found, papers, rest)


def _take(target: Target, found: Measured, result: AttackResult, places: np.ndarray | None = None) -> None:
    places = np.arange(len(target)) if places is None else places
    precision = np.full(len(target), np.inf)
    precision[places] = np.where(np.isnan(result.precision_at_k), np.inf, result.precision_at_k)
    changed = target.frame.copy()
    given = result.X_adv
    given = given if isinstance(given, pd.DataFrame) else pd.DataFrame(np.asarray(given), columns=changed.columns)
    both = pd.concat([changed, given.astype(changed.dtypes.to_dict())])
    choice = np.arange(len(changed))
    choice[places] = len(changed) + np.arange(len(places))
    attribution = found.attribution_adv.copy()
    attribution[places] = np.asarray(result.attribution_adv)
    _improve(found, precision, both.iloc[choice].set_axis(changed.index), attribution)


def _proven(target: Target, share: float, effort: Effort, found: Measured) -> None:
    if share == 0 and not isinstance(target.threat, TableThreat):
        found.certified = np.ones(len(target))
        return
    try:
        with quiet():
            proof = certify_top_k(
                target.estimator, target.rows, k=target.k, threat=target.scaled(share), ranking=target.ranking,
                method=effort.method,
            )  # fmt: skip
    except (NotImplementedError, TypeError) as error:
        found.doubts.append(f"Nothing could be proven: {error}")
        return
    found.certified = np.minimum(proof.precision_at_k, 1.0)


def faithfulness(target: Target, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return comprehensiveness and sufficiency of every row.

    A removed unit gets the training mean of its features; of a black box, which has none, the mean of the rows.
    """
    attribution = target.explained(target.x, codes)
    baseline = None if hasattr(target.model, "feature_means_") else target.x.mean(axis=0)
    given: Sequence[Any] = (target.model, target.seen(target.x), attribution)
    with quiet():
        return (
            comprehensiveness(*given, baseline=baseline, ranking=target.ranking),
            sufficiency(*given, baseline=baseline, ranking=target.ranking),
        )
