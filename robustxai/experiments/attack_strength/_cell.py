"""One cell: one model, attacked by the ensemble and by one search per pair of units."""

from __future__ import annotations

import time
import warnings
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np

from robustxai._arguments import COUNT, INTEGER_SEED, NOT_NEGATIVE, Instance, Text, checked
from robustxai.attacks import AutoExplanationAttack
from robustxai.benchmark import BaseCell, Cell, prepare_rows
from robustxai.exceptions import EvaluationWarning
from robustxai.experiments.attack_strength._pair_attack import PairAttack
from robustxai.metrics import between_rows_precision, roc_auc
from robustxai.protocols import AttackPreset

__all__ = ["StrengthCell", "run_strength_cell"]

#: Budget of the ensemble.
_PRESET: AttackPreset = "standard"


@dataclass(frozen=True)
class StrengthCell(BaseCell):
    """One model at its defaults, attacked by the ensemble and by a search for every pair at the boundary.

    Rows are split, imputed, scaled and encoded as in :class:`Cell`. Every pair of a unit of the top set and one of the
    strongest outsiders has a search of its own. The lowest P@k over them is that of an attacker who aims at each pair
    alone.

    Parameters
    ----------
    data, defense, seed, k, epsilon, n_rows
        As in :class:`Cell`.
    max_iter : int, default=50
        Iterations of each pair's search. The ensemble has its own budget.
    n_outsiders : int, default=8
        Outsiders in the pairs, the strongest first; all of them if there are fewer. As many as the top set has units
        are the outsiders nearest to the boundary.
    """

    data: str
    defense: str
    seed: int
    k: int = 8
    epsilon: float = 0.5
    n_rows: int = 200
    max_iter: int = 50
    n_outsiders: int = 8

    _constraints = {
        "data": Text(),
        "defense": Text(),
        "seed": INTEGER_SEED,
        "k": COUNT,
        "epsilon": NOT_NEGATIVE,
        "n_rows": COUNT,
        "max_iter": COUNT,
        "n_outsiders": COUNT,
    }

    def label(self) -> str:
        """As `BaseCell.label`."""
        return f"strength-{self.model().label()}"

    def depends_on(self) -> Any:
        """As `BaseCell.depends_on`."""
        return self.model().digest, self.ensemble(), self.pair_attack()

    def model(self) -> Cell:
        """Return the cell that trains the model."""
        return Cell(self.data, self.defense, self.seed, (), k=self.k, epsilon=self.epsilon, n_rows=self.n_rows)

    def ensemble(self) -> AutoExplanationAttack:
        """Build the ensemble, still without an estimator."""
        return AutoExplanationAttack(k=self.k, threat=self.model().threat(), preset=_PRESET, random_state=self.seed)

    def pair_attack(self) -> PairAttack:
        """Build the attack on the first pair, still without an estimator."""
        return PairAttack(k=self.k, threat=self.model().threat(), max_iter=self.max_iter, random_state=self.seed)


@checked(cell=Instance(StrengthCell))
def run_strength_cell(cell: StrengthCell) -> dict[str, Any]:
    """Train, attack in both ways and compare row by row; return fields and metrics in one flat dict."""
    X_train, X_test, y_train, y_test = prepare_rows(cell.model())
    start = time.perf_counter()
    estimator = cell.model().estimator().fit(X_train, y_train)
    fit_seconds = time.perf_counter() - start
    X = X_test[: cell.n_rows]
    n_outsiders = min(cell.n_outsiders, X.shape[1] - cell.k)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EvaluationWarning)  # the page is about what they warn of
        start = time.perf_counter()
        found = cell.ensemble().set_params(estimator=estimator).run(X)
        ensemble, auto_seconds = found.precision_at_k, time.perf_counter() - start
        pairs, nearest = np.ones(len(X)), np.ones(len(X))
        attack = cell.pair_attack().set_params(estimator=estimator)
        start = time.perf_counter()
        for weakness, rank in product(range(1, cell.k + 1), range(1, n_outsiders + 1)):
            own = attack.set_params(weakness=weakness, rank=rank).run(X).precision_at_k
            pairs = np.fmin(pairs, own)
            if (weakness, rank) == (1, 1):
                nearest = own
    return {
        **asdict(cell),
        "n_rows": len(X),
        "n_features": X.shape[1],
        "n_pairs": cell.k * n_outsiders,
        "fit_seconds": fit_seconds,
        "roc_auc": roc_auc(estimator, X_test, y_test),
        "between_rows_precision": between_rows_precision(found.attribution, cell.k),
        "precision_at_k_auto": float(ensemble.mean()),
        "precision_at_k_pairs": float(pairs.mean()),
        "precision_at_k_nearest": float(nearest.mean()),
        "precision_at_k_both": float(np.fmin(ensemble, pairs).mean()),
        "auto_lower": float((ensemble < pairs - 1e-9).mean()),
        "pairs_lower": float((pairs < ensemble - 1e-9).mean()),
        "auto_seconds": auto_seconds,
        "pairs_seconds": time.perf_counter() - start,
    }
