"""R2ET paper's experiments on images, pairs and graphs: cells and their grid."""

from __future__ import annotations

import json
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
    LinearClassifier,
    R2ETClassifier,
    SoftplusClassifier,
    VanillaClassifier,
    WeightDecayClassifier,
)
from robustxai.experiments.r2et._shape_data import SHAPES, DataSpec, SplitArrays
from robustxai.metrics import roc_auc
from robustxai.model_selection import RobustnessScorer
from robustxai.perturbation import ThreatModel
from robustxai.protocols import EvaluatedPart, ExperimentSize

__all__ = ["SHAPE_METHODS", "R2ETShapes", "ShapeCell", "run_shape_cell"]

#: Rows of the tables: the paper's names, and their estimators.
SHAPE_METHODS: dict[str, type[BaseExplainableClassifier]] = {
    "Logistic regression": LinearClassifier,
    "Vanilla": VanillaClassifier,
    "WD": WeightDecayClassifier,
    "SP": SoftplusClassifier,
    "Est-H": EstimatedHessianClassifier,
    "R2ET\\H": R2ETClassifier,
    "R2ET": R2ETClassifier,
    "R2ET-mm": R2ETClassifier,
}


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
        attacks = _attacks(shape, self.seed), _published_attacks(shape, size["paper_steps"])
        data = self.data, shape.load, stored_content(shape.stored)
        return data, size, self.estimator(), attacks, _DRAWS

    def estimator(self) -> BaseExplainableClassifier:
        """Build the unfitted estimator."""
        shape, kind = SHAPES[self.data], SHAPE_METHODS[self.method]
        if kind is LinearClassifier:
            return LinearClassifier(random_state=self.seed)
        own = dict(self.params) or shape.weights.get(self.method, {})
        size = shape.sizes[self.size]
        params: dict[str, Any] = {"random_state": self.seed, "max_epochs": size["epochs"]}
        if kind in (R2ETClassifier, EstimatedHessianClassifier):  # equal numbers of epochs for all methods
            params |= {"warm_up_epochs": size["warm_up_epochs"], "max_epochs": size["epochs"] - size["warm_up_epochs"]}
        if kind is R2ETClassifier:
            params["k"] = shape.k
        return kind(**{**params, **shape.common, **own})


#: Iterations of the library's attacks, and draws of the thickness.
_STEPS, _DRAWS = 40, 10


@lru_cache(maxsize=1)
def _rows(data: str, seed: int, size: str, part: str) -> SplitArrays:
    return SHAPES[data].load(seed, part, SHAPES[data].sizes[size])


@checked(cell=Instance(ShapeCell))
def run_shape_cell(cell: ShapeCell) -> dict[str, Any]:
    """Train, attack and measure; return the cell's fields and every metric in one flat dict."""
    shape = SHAPES[cell.data]
    X, X_test, y, y_test = _rows(cell.data, cell.seed, cell.size, cell.part)
    estimator = cell.estimator()
    if isinstance(estimator, LinearClassifier):  # a linear model has one feature per entry
        X, X_test = X.reshape(len(X), -1), X_test.reshape(len(X_test), -1)
    start = time.perf_counter()
    estimator.fit(X, y)
    seconds = time.perf_counter() - start
    n_rows = shape.sizes[cell.size]["n_rows"]
    shuffled = np.random.default_rng(cell.seed).permutation(len(X_test))  # the first rows are attacked
    X_test, y_test = X_test[shuffled], y_test[shuffled]
    scores: dict[str, Any] = {
        "roc_auc": roc_auc(estimator, X_test, y_test),
        "accuracy": float(estimator.score(X_test, y_test)),
    }
    published = _published_attacks(shape, shape.sizes[cell.size]["paper_steps"])
    options: dict[str, Any] = {"n_rows": n_rows, "reference": published, "n_draws": _DRAWS}
    own = RobustnessScorer(_attacks(shape, cell.seed), **options)
    attacked, warning = with_warnings(lambda: own(estimator, X_test[:n_rows], y_test[:n_rows]))
    scores = {**attacked, **scores, "warning": warning}
    fields = {**asdict(cell), "params": json.dumps(dict(cell.params)), "k": shape.k, "epsilon": shape.epsilon}
    return {**fields, "n_train": len(X), "n_rows": n_rows, "fit_seconds": seconds, **scores}


def _attacks(shape: DataSpec, seed: int) -> dict[str, Any]:
    options: dict[str, Any] = {"k": shape.k, "threat": _threat(shape), "max_iter": _STEPS, "random_state": seed}
    kinds = {"er": ERAttack, "boundary": BoundaryMarginAttack, "random": RandomAttack}
    return {name: kind(**options) for name, kind in kinds.items()}


def _published_attacks(shape: DataSpec, max_iter: int) -> dict[str, Any]:
    """Build the paper's attacks: equal steps and the last iterate."""
    options: dict[str, Any] = {"k": shape.k, "threat": _threat(shape), "max_iter": max_iter, "keep": "last"}
    options |= {"step_size": shape.epsilon / max_iter, "momentum": 0.0}
    return {"er_paper": ERAttack(**options), "mse_paper": MSEAttack(**options)}


def _threat(shape: DataSpec) -> ThreatModel:
    return ThreatModel(shape.epsilon, norm=2, bounds=shape.bounds)


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
        Number of splits, each with its own training.
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
        grid = product(self.data, range(self.seeds), self.methods)
        return [ShapeCell(data, method, seed, self.size) for data, seed, method in grid]

    @checked(out=PathName())
    def run(self, out: str | Path, **options: Any) -> pd.DataFrame:
        """Run or resume everything under `out`, one row per cell; `options` as in :func:`run_cells`."""
        return run_cells(self.cells(), out, run=run_shape_cell, **options)
