"""Tabular experiments of the R2ET paper: protocol, choice of weights, figure of merit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import compress, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from robustxai._arguments import COUNT, FLAG, NOT_NEGATIVE, Each, Instance, Numbers, PathName, check_arguments, checked
from robustxai._arguments import Choice as NameOf
from robustxai.benchmark import DATA, EXPLAINED_BY, Cell, Params, run_cells
from robustxai.experiments.r2et._flip_cell import FlipCell, run_flip_cell
from robustxai.experiments.r2et._methods import METHODS, families, family_candidates
from robustxai.protocols import MeasuredExplainer

__all__ = ["STABLE", "UNCONSTRAINED", "R2ETPaper", "Study", "figure_of_merit"]

#: A method's name and one of its cells.
Labeled = tuple[str, Any]
#: (data set, method) -> the winner.
Choice = dict[tuple[str, str], Cell]

#: Maximum loss of AUC against the best vanilla candidate.
AUC_TOLERANCE = 0.01
#: P@k that the figure of merit requires, and the uncertainty of its mean over three splits of 300 rows. A candidate
#: must exceed the first by the second.
STABLE, MARGIN = 0.95, 0.01
#: Unconstrained networks: the best of them defines the AUC that a method can keep.
UNCONSTRAINED = ("Vanilla", "WD", "SP")

_SEARCH: dict[str, Any] = {
    "attacks": ("boundary", "overlap", "random"),
    "max_iter": 40,
    "n_rows": 300,
    "part": "validation",
}
_TEST: dict[str, Any] = {"reference_attacks": ("er_paper", "mse_paper")}


@dataclass(frozen=True)
class Study:
    """Results of a run, one row per cell with its ``method``.

    Attributes
    ----------
    search : DataFrame
        All candidates on the validation rows of split 0, and each method's best on those of the other splits.
    tests : DataFrame
        The winners on every seed's test rows. ``choice`` is the rule of the choice: "precision" (highest P@k within a
        point of AUC), "merit" (highest AUC at P@k of at least 0.95) or "auc" (highest AUC, unconstrained networks).
        With the choices "family precision" and "family merit" the winner is that of a whole family, whose forms
        together have as many candidates as one row; ``method`` is then the family and ``form`` the row of the winner.
    retrained : DataFrame
        The winners among the retrained candidates; empty if not requested.
    flips : DataFrame
        First flip, thickness and Hessian norm of single rows, for Figure 3; empty if not requested.
    """

    search: pd.DataFrame
    tests: pd.DataFrame
    retrained: pd.DataFrame
    flips: pd.DataFrame

    _constraints = {name: Instance(pd.DataFrame) for name in ("search", "tests", "retrained", "flips")}

    def __post_init__(self) -> None:
        check_arguments(self)


@dataclass(frozen=True)
class R2ETPaper:
    """Section 4 of *Robust ranking explanations* on tables.

    For each data set and method, the candidates are trained on three quarters of the training part of split 0 and
    attacked on the remaining quarter. Each method's best candidates then run on the next splits too, because a single
    split favors lucky candidates. Among the candidates whose mean AUC over these splits is within a point of the best
    vanilla candidate's, the one with the highest mean P@k wins. It is trained and tested on every seed's own split.

    Every row has the same number of candidates. A method with several forms (a family, such as the four forms of Eq. 6)
    has a row for each, and so more candidates than a method with one. The best of each family is therefore chosen once
    more among as many candidates as one row has, a fixed selection of its forms' candidates.

    Parameters
    ----------
    data : tuple of str
        Names of tables.
    methods : tuple of str
        Names from ``METHODS``, with "Vanilla" and "Logistic regression" among them.
    seeds : int, default=5
        Test splits.
    k, epsilon : int and float, default=8 and 0.5
        Size of the top set, and radius of the strong attacks. The paper's own attacks have radius 1 in 1,000 steps of
        1e-3. They are reported, but do not enter the lowest P@k.
    n_rows : int, default=500
        Test rows that are attacked.
    n_splits : int, default=3
        Validation splits.
    explainer : str, default="gradient"
        Explanation that is trained for, chosen by, attacked and measured, as in :class:`Cell`.
    """

    data: tuple[str, ...] = ("adult", "bank", "compas")
    methods: tuple[str, ...] = tuple(METHODS)
    seeds: int = 5
    k: int = 8
    epsilon: float = 0.5
    n_rows: int = 500
    n_splits: int = 3
    explainer: MeasuredExplainer = "gradient"

    _constraints = {
        "data": Each(NameOf(DATA, kind="data set"), least=1),
        "methods": Each(NameOf(METHODS, kind="method"), least=1),
        "seeds": COUNT,
        "k": COUNT,
        "epsilon": NOT_NEGATIVE,
        "n_rows": COUNT,
        "n_splits": COUNT,
        "explainer": EXPLAINED_BY,
    }

    def __post_init__(self) -> None:
        check_arguments(self, "")
        missing = {"Logistic regression", "Vanilla"} - set(self.methods)
        if missing:
            raise ValueError(f"The other methods are compared with {' and '.join(sorted(missing))}. Add it to methods.")

    @checked(out=PathName(), retrained=FLAG, flips=FLAG)
    def run(
        self,
        out: str | Path,
        *,
        retrained: bool = True,
        flips: bool = True,
        **options: Any,
    ) -> Study:
        """Run or resume everything under `out`; `options` as in :func:`run_cells`."""

        def rows(labeled: list[Labeled], **more: Any) -> pd.DataFrame:
            table = run_cells([cell for _, cell in labeled], out, **options, **more)
            return table.assign(method=[name for name, _ in labeled])

        search, finalists, means = self._race(self.search_cells(), rows)
        free = [name in UNCONSTRAINED for name, _ in finalists]
        winners = {
            "precision": most_stable(finalists, means),
            "merit": most_accurate(finalists, means, min_precision=STABLE + MARGIN),
            "auc": most_accurate(list(compress(finalists, free)), means[free]),
        }
        tests = [rows(self.test_cells(winner)).assign(choice=rule) for rule, winner in winners.items()]
        budget = self.family_cells()
        _, finalists, means = self._race([(family, cell) for family, _, cell in budget], rows)
        forms = {(cell.defense, cell.params): form for _, form, cell in budget}
        for rule, winner in {
            "family precision": most_stable(finalists, means),
            "family merit": most_accurate(finalists, means, min_precision=STABLE + MARGIN),
        }.items():
            cells = self.test_cells(winner)
            names = [forms[cell.defense, cell.params] for _, cell in cells]
            tests.append(rows(cells).assign(choice=rule, form=names))
        again, single = pd.DataFrame(), pd.DataFrame()
        if retrained:
            vanilla = {data: winners["precision"][data, "Vanilla"].params for data in self.data}
            _, finalists, means = self._race(self.retraining_cells(vanilla), rows)
            again = rows(self.test_cells(most_stable(finalists, means)))
        if flips:
            single = rows(self.flip_cells(winners["precision"]), run=run_flip_cell)
        return Study(search, pd.concat(tests, ignore_index=True), again, single)

    def _race(
        self, candidates: list[Labeled], rows: Callable[[list[Labeled]], pd.DataFrame]
    ) -> tuple[pd.DataFrame, list[Labeled], pd.DataFrame]:
        """Run all candidates on the first validation split, and each method's best on the other splits.

        Return all rows, the finalists with their cells of the first split, and their means over the splits.
        """
        first = rows(candidates)
        kept = best_of_each(candidates, first)
        finalists, parts = [candidates[place] for place in kept], [first.iloc[kept]]
        for seed in range(1, self.n_splits):
            parts.append(rows([(name, replace(cell, seed=seed)) for name, cell in finalists]))
        means = parts[0][["data", "method"]].reset_index(drop=True)
        for column in ("roc_auc", "precision_at_k"):
            means[column] = np.mean([part[column].to_numpy() for part in parts], axis=0)
        return pd.concat([first, *parts[1:]], ignore_index=True), finalists, means

    def search_cells(self) -> list[Labeled]:
        """Return the candidates of every method, on the validation part of split 0."""
        return [
            (name, self._search_cell(data, name, params=params))
            for data, name in product(self.data, self.methods)
            for params in METHODS[name].candidates
        ]

    def family_cells(self) -> list[tuple[str, str, Cell]]:
        """Return (family, form, cell): the candidates of every family at the budget of one row."""
        return [
            (family, form, self._search_cell(data, form, params=params))
            for data in self.data
            for family, forms in families(self.methods, METHODS).items()
            for form, params in family_candidates(forms, METHODS)
        ]

    def retraining_cells(self, vanilla: dict[str, Params]) -> list[Labeled]:
        """Return the candidates of every method for retraining the vanilla model with these parameters."""
        return [
            (
                name,
                self._search_cell(
                    data, name, params=params, retrain_params=how, start="vanilla", start_params=vanilla[data]
                ),
            )
            for data, name in product(self.data, self.methods)
            for params, how in METHODS[name].retrained
        ]

    def _search_cell(self, data: str, name: str, **fields: Any) -> Cell:
        how = {"k": self.k, "epsilon": self.epsilon, "explainer": self.explainer, **fields, **_SEARCH}
        return Cell(data, METHODS[name].defense, 0, **how)

    def test_cells(self, winners: Choice) -> list[Labeled]:
        """Return the winners on every seed's test rows."""
        fields: dict[str, Any] = {"part": "test", "max_iter": 100, "n_rows": self.n_rows, **_TEST}
        return [
            (name, replace(winner, seed=seed, **fields))
            for seed, ((_, name), winner) in product(range(self.seeds), winners.items())
        ]

    def flip_cells(self, winners: Choice) -> list[Labeled]:
        """Return the winners on split 0, row by row, for Figure 3."""
        how: dict[str, Any] = {"k": self.k, "n_rows": self.n_rows, "explainer": self.explainer}
        return [
            (name, FlipCell(data, winner.defense, 0, params=winner.params, **how))
            for (data, name), winner in winners.items()
            if name != "Logistic regression"  # its ranking never flips
        ]


def best_of_each(candidates: list[Labeled], results: pd.DataFrame, n: int = 2) -> list[int]:
    """Return the places of the candidates that a rule may choose: each method's n best by each rule, with slack."""
    kept: set[int] = set()
    rows = results.reset_index(drop=True)
    for (_, name), group, vanilla in _groups(candidates, rows):
        admissible = group[group["roc_auc"] >= vanilla - AUC_TOLERANCE]
        stable = group[group["precision_at_k"] >= STABLE - 2 * MARGIN]
        kept |= set(admissible.nlargest(n, ["precision_at_k", "roc_auc"]).index)
        kept |= set(stable.nlargest(n, "roc_auc").index)
        if name in UNCONSTRAINED or admissible.empty:
            kept |= set(group.nlargest(n, "roc_auc").index)
    return sorted(kept)


def most_stable(candidates: list[Labeled], results: pd.DataFrame) -> Choice:
    """Return each method's candidate with the highest P@k among those within a point of the best vanilla AUC.

    Among candidates whose P@k differ by no more than the standard error, the highest AUC wins. If no candidate is
    within a point, the highest AUC wins.
    """
    winners: Choice = {}
    for (data, name), group, vanilla in _groups(candidates, results):
        admissible = group[group["roc_auc"] >= vanilla - AUC_TOLERANCE]
        best = admissible[admissible["precision_at_k"] >= admissible["precision_at_k"].max() - MARGIN]
        winners[data, name] = (best if len(best) else group).nlargest(1, "roc_auc")["cell"].iloc[0]
    return winners


def most_accurate(candidates: list[Labeled], results: pd.DataFrame, min_precision: float = 0.0) -> Choice:
    """Return each method's most accurate candidate with P@k >= `min_precision`; leave out methods without one."""
    winners: Choice = {}
    for (data, name), group, _ in _groups(candidates, results):
        stable = group[group["precision_at_k"] >= min_precision]
        if len(stable):
            winners[data, name] = stable.nlargest(1, "roc_auc")["cell"].iloc[0]
    return winners


def _groups(candidates: list[Labeled], results: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame, float]]:
    """Yield (data set, method), its rows with their cells, and the best AUC of Vanilla on that data set."""
    rows = results.assign(cell=[cell for _, cell in candidates])
    for data, table in rows.groupby("data", sort=False):
        vanilla = table.loc[table["method"] == "Vanilla", "roc_auc"].max()
        for name, group in table.groupby("method", sort=False):
            yield (str(data), str(name)), group, vanilla


_AUC = Numbers(finite=False)


@checked(auc=_AUC, precision=_AUC, linear=_AUC, best=_AUC)
def figure_of_merit(auc: float, precision: float, linear: float, best: float) -> float:
    r"""Compute the share of the AUC gap between logistic regression and the best network that a method keeps.

    .. math:: \frac{\mathrm{AUC} - \mathrm{AUC}_\text{linear}}{\mathrm{AUC}_\text{best} - \mathrm{AUC}_\text{linear}}
        \quad \text{where } P@k \ge 0.95

    Parameters
    ----------
    auc, precision : float
        AUC of the method, and its P@k under the strongest attack.
    linear, best : float
        AUC of logistic regression, and of the best of Vanilla, WD and SP, each chosen by its AUC.

    Returns
    -------
    float
        NaN if the method is not stable, or the network has no higher AUC than logistic regression.
    """
    return (auc - linear) / (best - linear) if precision >= STABLE and best > linear else float("nan")
