"""R2ET paper's experiments on images, pairs and graphs: cells and their grid."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from robustxai._arguments import COUNT, INTEGER_SEED, Choice, Each, Instance, PathName, check_arguments, checked
from robustxai.attacks import BoundaryMarginAttack, ERAttack, MSEAttack, RandomAttack
from robustxai.benchmark import PART, BaseCell, Params, run_cells, stored_content, with_warnings
from robustxai.classifiers import (
    BaseExplainableClassifier,
    EstimatedHessianClassifier,
    ExplanationATClassifier,
    LinearClassifier,
    R2ETClassifier,
    SoftplusClassifier,
    VanillaClassifier,
    WeightDecayClassifier,
)
from robustxai.experiments._precision import full_precision
from robustxai.experiments.r2et._shape_data import SHAPES, DataSpec, SplitArrays
from robustxai.experiments.r2et._shape_tables import EQ_6
from robustxai.metrics import roc_auc
from robustxai.model_selection import RobustnessScorer
from robustxai.perturbation import ThreatModel
from robustxai.protocols import EvaluatedPart, ExperimentSize

__all__ = ["SHAPE_METHODS", "R2ETShapes", "ShapeCell", "run_shape_cell"]

#: Forms of R2ET: without or with its Hessian term, over all pairs or the minimal ones.
_FORMS = ("R2ET\\H", "R2ET-mm\\H", "R2ET", "R2ET-mm")
#: Rows of the tables: the paper's names, and their estimators. "Eq. 6" is the paper's R2ET; "normalized" is this
#: library's, whose gaps and Hessian norm are relative to the length of the attribution.
SHAPE_METHODS: dict[str, type[BaseExplainableClassifier]] = {
    "Logistic regression": LinearClassifier,
    "Vanilla": VanillaClassifier,
    "WD": WeightDecayClassifier,
    "SP": SoftplusClassifier,
    "Est-H": EstimatedHessianClassifier,
    "AT": ExplanationATClassifier,
    **{f"{form}{kind}": R2ETClassifier for kind in (EQ_6, ", normalized") for form in _FORMS},
}
#: Classifiers that look at explanations in training.
_EXPLAINED = (R2ETClassifier, EstimatedHessianClassifier, ExplanationATClassifier)


@dataclass(frozen=True)
class ShapeCell(BaseCell):
    """One method on one data set and seed: trained, attacked by the paper's attacks and by stronger ones, measured.

    Parameters
    ----------
    data : {"mnist", "cifar10", "abide"}
        Name in ``SHAPES``.
    method : str
        Name in ``SHAPE_METHODS``.
    seed : int
        Seed of the split, the pairs and the training.
    size : {"small", "full"}, default="small"
        Numbers of samples, epochs and attacked rows.
    part : {"test", "validation"}, default="test"
        Rows that are attacked; weights were chosen on "validation".
    params : parameters
        Replace the chosen hyper-parameters.
    """

    data: str
    method: str
    seed: int
    size: ExperimentSize = "small"
    part: EvaluatedPart = "test"
    params: Params = ()

    _constraints = {
        "data": Choice(SHAPES, kind="data set"),
        "method": Choice(SHAPE_METHODS, kind="method"),
        "seed": INTEGER_SEED,
        "size": Choice(("small", "full")),
        "part": PART,
        "params": Instance(tuple),
    }

    def label(self) -> str:
        """As `BaseCell.label`."""
        return f"shape-{self.data}-{self.method.replace(chr(92), '-no-')}-{self.seed}-{self.size}"

    def depends_on(self) -> Any:
        """As `BaseCell.depends_on`."""
        shape = SHAPES[self.data]
        size = shape.sizes[self.size]
        attacks = _attacks(shape, self.seed), _published_attacks(shape, size.paper_steps)
        data = self.data, shape.load, stored_content(shape.stored)
        return data, size, self.estimator(), attacks, _DRAWS

    def estimator(self) -> BaseExplainableClassifier:
        """Build the unfitted estimator."""
        shape, kind = SHAPES[self.data], SHAPE_METHODS[self.method]
        if kind is LinearClassifier:
            return LinearClassifier(random_state=self.seed)
        size, own = shape.sizes[self.size], dict(self.params) or shape.weights.get(self.method, {})
        params: dict[str, Any] = {**shape.common, **size.net, "random_state": self.seed, "max_epochs": size.epochs}
        if kind in _EXPLAINED:  # equal numbers of epochs for all methods
            params |= {"warm_up_epochs": size.warm_up_epochs, "max_epochs": size.epochs - size.warm_up_epochs}
        if self.method.endswith(EQ_6):
            return R2ETClassifier.paper(shape.k, **{**params, **own})
        if kind in (R2ETClassifier, ExplanationATClassifier):
            params["k"] = shape.k
        return kind(**{**params, **own})


#: Iterations of the library's attacks, and draws of the thickness.
_STEPS, _DRAWS = 40, 10


@lru_cache(maxsize=1)
def _rows(data: str, seed: int, size: str, part: str) -> SplitArrays:
    return SHAPES[data].load(seed, part, SHAPES[data].sizes[size])


@checked(cell=Instance(ShapeCell))
def run_shape_cell(cell: ShapeCell) -> dict[str, Any]:
    """Train, attack and measure; return the cell's fields and every metric in one flat dict."""
    X, X_test, y, y_test = _rows(cell.data, cell.seed, cell.size, cell.part)
    estimator = cell.estimator()
    if isinstance(estimator, LinearClassifier):  # a linear model has one feature per entry
        X, X_test = X.reshape(len(X), -1), X_test.reshape(len(X_test), -1)
    with full_precision():
        return _measured(cell, estimator, X, y, X_test, y_test)


def _measured(
    cell: ShapeCell, estimator: BaseExplainableClassifier, X: np.ndarray, y: np.ndarray, X_test: np.ndarray, y_test: Any
) -> dict[str, Any]:
    shape, size = SHAPES[cell.data], SHAPES[cell.data].sizes[cell.size]
    start = time.perf_counter()
    estimator.fit(X, y)
    seconds = time.perf_counter() - start
    n_rows = size.n_rows
    shuffled = np.random.default_rng(cell.seed).permutation(len(X_test))  # the first rows are attacked
    X_test, y_test = X_test[shuffled], y_test[shuffled]
    scores: dict[str, Any] = {
        "roc_auc": roc_auc(estimator, X_test, y_test),
        "accuracy": float(estimator.score(X_test, y_test)),
    }
    published = _published_attacks(shape, size.paper_steps)
    options: dict[str, Any] = {"n_rows": n_rows, "reference": published, "n_draws": _DRAWS}
    flat = isinstance(estimator, LinearClassifier)
    own = RobustnessScorer(_attacks(shape, cell.seed, flat), **options)
    attacked, warning = with_warnings(lambda: own(estimator, X_test[:n_rows], y_test[:n_rows]))
    scores = {**attacked, **scores, "warning": warning}
    fields = {**asdict(cell), "params": json.dumps(dict(cell.params)), "k": shape.k, "epsilon": shape.epsilon}
    budget = {"epochs": size.epochs, "warm_up_epochs": size.warm_up_epochs, "paper_steps": size.paper_steps}
    return {**fields, "n_train": len(X), **budget, "n_rows": n_rows, "fit_seconds": seconds, **scores}


def _attacks(shape: DataSpec, seed: int, flat: bool = False) -> dict[str, Any]:
    """Build the library's attacks, on samples or on their entries in one row."""
    bounds = shape.bounds
    if flat and bounds is not None:
        low, high = (np.ravel(side) if np.ndim(side) else side for side in bounds)
        bounds = (low, high)
    threat = ThreatModel(shape.epsilon, norm=2, bounds=bounds)
    options: dict[str, Any] = {"k": shape.k, "threat": threat, "max_iter": _STEPS, "random_state": seed}
    kinds = {"er": ERAttack, "boundary": BoundaryMarginAttack, "random": RandomAttack}
    return {name: kind(**options) for name, kind in kinds.items()}


def _published_attacks(shape: DataSpec, max_iter: int) -> dict[str, Any]:
    """Build the paper's attacks: equal steps, the last iterate, and inputs that may leave the range of the data.

    Where the steps of the published code are shorter, its attacks and the library's at their radius come as well.
    """
    found: dict[str, Any] = {}
    for name, epsilon in (("paper", shape.epsilon), ("code", shape.code_epsilon)):
        if epsilon is not None:
            options: dict[str, Any] = {"k": shape.k, "max_iter": max_iter, "step_size": epsilon / max_iter}
            options["ranking"] = "magnitude"  # as in the published code, and as everything here is measured
            found |= {f"er_{name}": ERAttack.paper(**options), f"mse_{name}": MSEAttack.paper(**options)}
    if shape.code_epsilon is not None:
        found["boundary_code"] = BoundaryMarginAttack(
            k=shape.k, threat=ThreatModel(shape.code_epsilon), max_iter=_STEPS
        )
    return found


@dataclass(frozen=True)
class R2ETShapes:
    """Table 1 of *Robust ranking explanations* on images, pairs and graphs, with AUC and faithfulness.

    Parameters
    ----------
    data : tuple of str
        Names from ``SHAPES``.
    methods : tuple of str
        Names from ``SHAPE_METHODS``.
    seeds : int, default=3
        Number of splits, each with its own training; a multiple of five on connectomes, the next one, because a split
        has five folds.
    size : {"small", "full"}, default="small"
        "small" is for two CPU cores, "full" for a GPU.

    Raises
    ------
    ValueError
        An unknown name, with the nearest valid one.
    """

    data: tuple[str, ...] = tuple(SHAPES)
    methods: tuple[str, ...] = tuple(SHAPE_METHODS)
    seeds: int = 3
    size: ExperimentSize = "small"

    _constraints = {
        "data": Each(Choice(SHAPES, kind="data set"), least=1),
        "methods": Each(Choice(SHAPE_METHODS, kind="method"), least=1),
        "seeds": COUNT,
        "size": Choice(("small", "full")),
    }

    def __post_init__(self) -> None:
        check_arguments(self, "")

    def cells(self) -> list[ShapeCell]:
        """Return all cells, data set by data set, so that a stopped run leaves complete tables."""
        return [
            ShapeCell(data, method, seed, self.size)
            for data in self.data
            for seed, method in product(range(_n_splits(self.seeds, SHAPES[data].n_folds)), self.methods)
        ]

    @checked(out=PathName())
    def run(self, out: str | Path, **options: Any) -> pd.DataFrame:
        """Run or resume everything under `out`, one row per cell; `options` as in :func:`run_cells`."""
        return run_cells(self.cells(), out, run=run_shape_cell, **options)


def _n_splits(seeds: int, n_folds: int) -> int:
    """Return the number of seeds that makes whole cross-validations."""
    return math.ceil(seeds / n_folds) * n_folds
