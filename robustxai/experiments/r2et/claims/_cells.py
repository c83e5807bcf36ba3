"""Cells of two claims: steps until an attack is Pareto-critical, and thickness of training rows against test rows."""

from __future__ import annotations

import math
import warnings
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from robustxai._arguments import COUNT, INTEGER_SEED, NOT_NEGATIVE, Instance, Text, checked
from robustxai.attacks import ParetoAttack
from robustxai.benchmark import BaseCell, Cell, Params, prepare_rows
from robustxai.exceptions import EvaluationWarning
from robustxai.metrics import gamma_stability, ranking_thickness, roc_auc
from robustxai.perturbation import ThreatModel
from robustxai.ranking import top_k_mask, unit_scores

__all__ = [
    "DEFENSES_COMPARED",
    "NumericalCell",
    "StatisticalCell",
    "cells_of",
    "run_numerical_cell",
    "run_statistical_cell",
]

#: Names from ``DEFENSES`` whose networks are smooth: in a network of ReLUs every point is critical.
DEFENSES_COMPARED = ("softplus", "estimated_hessian", "r2et")
#: The network of all, so that only the objectives differ.
_NETWORK: Params = (("module__activation", "softplus"), ("module__beta", 5.0))
#: Numbers of training rows of the second claim.
SIZES = (250, 1000, 4000)
#: Steps of every training, so that the number of rows alone differs, and rows of a step.
_STEPS, _BATCH = 600, 128
#: Thickness: neighbors, and points on the way to each.
_DRAWS, _POINTS = 20, 5


@dataclass(frozen=True)
class NumericalCell(BaseCell):
    """One model, whose test rows are attacked until no direction lowers all pairwise gaps.

    Parameters
    ----------
    data, defense, seed, k
        As in :class:`Cell`.
    n_train : int, default=4000
        Training rows.
    epsilon : float, default=0.5
        Radius of the attack and of the thickness, in l2 and without a box.
    max_iter : int, default=60
        Iterations of the attack.
    n_rows : int, default=150
        Attacked test rows.
    """

    data: str
    defense: str
    seed: int
    n_train: int = 4000
    k: int = 8
    epsilon: float = 0.5
    max_iter: int = 60
    n_rows: int = 150

    _constraints = {
        "data": Text(),
        "defense": Text(),
        "seed": INTEGER_SEED,
        "n_train": COUNT,
        "k": COUNT,
        "epsilon": NOT_NEGATIVE,
        "max_iter": COUNT,
        "n_rows": COUNT,
    }

    def label(self) -> str:
        """As `BaseCell.label`."""
        return f"numerical-{self.n_train}-{self.model().label()}"

    def depends_on(self) -> Any:
        """As `BaseCell.depends_on`."""
        return self.model().digest, self.attack(), _STEPS, _BATCH, _DRAWS, _POINTS

    def model(self) -> Cell:
        """Return the cell that trains the model."""
        options: dict[str, Any] = {"k": self.k, "epsilon": self.epsilon, "n_rows": self.n_rows, "params": _NETWORK}
        return Cell(self.data, self.defense, self.seed, (), **options)

    def attack(self) -> ParetoAttack:
        """Build the attack, still without an estimator. It follows every row until it is critical."""
        return ParetoAttack(k=self.k, threat=ThreatModel(self.epsilon), max_iter=self.max_iter, keep="last")


@dataclass(frozen=True)
class StatisticalCell(BaseCell):
    """One model, whose thickness is measured on its training rows and on test rows.

    Parameters
    ----------
    data, defense, seed, k
        As in :class:`Cell`.
    n_train : int
        Training rows.
    epsilon : float, default=0.5
        Radius of the thickness, in l2.
    n_rows : int, default=200
        Rows of each part at most.
    """

    data: str
    defense: str
    seed: int
    n_train: int
    k: int = 8
    epsilon: float = 0.5
    n_rows: int = 200

    _constraints = {
        "data": Text(),
        "defense": Text(),
        "seed": INTEGER_SEED,
        "n_train": COUNT,
        "k": COUNT,
        "epsilon": NOT_NEGATIVE,
        "n_rows": COUNT,
    }

    def label(self) -> str:
        """As `BaseCell.label`."""
        return f"statistical-{self.n_train}-{self.model().label()}"

    def depends_on(self) -> Any:
        """As `BaseCell.depends_on`."""
        return self.model().digest, _STEPS, _BATCH, _DRAWS, _POINTS

    def model(self) -> Cell:
        """Return the cell that trains the model."""
        options: dict[str, Any] = {"k": self.k, "epsilon": self.epsilon, "n_rows": self.n_rows, "params": _NETWORK}
        return Cell(self.data, self.defense, self.seed, (), **options)


def _fitted(model: Cell, n_train: int) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Train on the first rows of the training part; return the model, these rows, the test rows and their labels."""
    X_train, X_test, y_train, y_test = prepare_rows(model)
    X_train, y_train = X_train[:n_train], y_train[:n_train]
    epochs = math.ceil(_STEPS / math.ceil(len(X_train) / _BATCH))
    estimator = model.estimator().set_params(max_epochs=epochs, batch_size=_BATCH).fit(X_train, y_train)
    return estimator, X_train, X_test, y_train, y_test


@checked(cell=Instance(NumericalCell))
def run_numerical_cell(cell: NumericalCell) -> dict[str, Any]:
    """Train and attack; return fields, numbers for every row and Spearman correlations in one dict.

    ``first_critical`` is the number of iterations plus one for a row that was never critical.
    """
    estimator, X_train, X_test, _, y_test = _fitted(cell.model(), cell.n_train)
    X = X_test[: cell.n_rows]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EvaluationWarning)
        result = cell.attack().set_params(estimator=estimator).run(X)
    thickness, steps = _thickness(cell, estimator, X), np.asarray(result.first_critical)
    rows: dict[str, np.ndarray] = {
        "first_critical": steps,
        "thickness": thickness,
        "gap": _mean_gap(result.attribution, cell.k),
        "gamma_stability": gamma_stability(estimator, X, epsilon=cell.epsilon, relative=True),
    }
    correlations = {f"spearman_{name}": _spearman(steps, rows[name]) for name in ("thickness", "gap")}
    return {
        "claim": "numerical",
        **asdict(cell),
        "n_train": len(X_train),
        "n_rows": len(X),
        "roc_auc": roc_auc(estimator, X_test, y_test),
        "precision_at_k": float(result.precision_at_k.mean()),
        "critical": float((steps <= cell.max_iter).mean()),
        "mean_steps": float(steps.mean()),
        "mean_thickness": float(thickness.mean()),
        "mean_gap": float(rows["gap"].mean()),
        "mean_gamma_stability": float(np.nanmean(rows["gamma_stability"])),
        **correlations,
        "first_critical": [int(value) for value in steps],
        "thickness": [float(value) for value in thickness],
    }


@checked(cell=Instance(StatisticalCell))
def run_statistical_cell(cell: StatisticalCell) -> dict[str, Any]:
    """Train and measure both parts; return fields and metrics in one flat dict."""
    estimator, X_train, X_test, y_train, y_test = _fitted(cell.model(), cell.n_train)
    found: dict[str, float] = {}
    for part, X, y in (("train", X_train, y_train), ("test", X_test, y_test)):
        thickness = _thickness(cell, estimator, X[: cell.n_rows])
        found |= {f"thickness_{part}": float(thickness.mean()), f"roc_auc_{part}": roc_auc(estimator, X, y)}
    fields = {**asdict(cell), "n_train": len(X_train), "n_rows": min(cell.n_rows, len(X_train), len(X_test))}
    return {"claim": "statistical", **fields, **found}


def _thickness(cell: NumericalCell | StatisticalCell, estimator: Any, X: np.ndarray) -> np.ndarray:
    """Return the thickness of each row, with the draws of the cell's seed."""
    options: dict[str, Any] = {"n_draws": _DRAWS, "n_points": _POINTS, "random_state": cell.seed}
    return np.asarray(ranking_thickness(estimator, X, cell.k, epsilon=cell.epsilon, **options))


def _mean_gap(attribution: np.ndarray, k: int) -> np.ndarray:
    """Mean score in the top-k set less that outside, in units of the mean score; shape (n_samples,)."""
    scores = unit_scores(torch.as_tensor(np.asarray(attribution)))
    top = top_k_mask(scores, k)
    inside = (scores * top).sum(dim=1) / top.sum(dim=1)
    outside = (scores * ~top).sum(dim=1) / (~top).sum(dim=1)
    return np.asarray((inside - outside) / scores.mean(dim=1))


def _spearman(steps: np.ndarray, values: np.ndarray) -> float | None:
    """Rank correlation; None where one of them is constant."""
    if np.ptp(steps) == 0 or np.ptp(values) == 0:
        return None
    return float(spearmanr(steps, values).statistic)


def cells_of(data: tuple[str, ...], seeds: int) -> tuple[list[NumericalCell], list[StatisticalCell]]:
    """Return the cells of both claims, seed by seed."""
    grid = list(product(range(seeds), data, DEFENSES_COMPARED))
    numerical = [NumericalCell(name, defense, seed) for seed, name, defense in grid]
    statistical = [StatisticalCell(name, defense, seed, n) for seed, name, defense in grid for n in SIZES]
    return numerical, statistical
