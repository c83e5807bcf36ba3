"""The R2ET paper's experiments beyond tables, as data: pairs of digits, colour images, pairs of connectomes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from robustxai._validation import check_choice, check_number
from robustxai.attacks import BoundaryMarginAttack, ERAttack, MSEAttack, RandomAttack
from robustxai.benchmark._cell import Params
from robustxai.benchmark._experiment import check_names, run_cells
from robustxai.classifiers import (
    BaseExplainableClassifier,
    EstimatedHessianClassifier,
    LinearClassifier,
    R2ETClassifier,
    SoftplusClassifier,
    VanillaClassifier,
    WeightDecayClassifier,
)
from robustxai.datasets import load_abide, load_cifar10, load_mnist, make_pairs, pair_folds
from robustxai.metrics import roc_auc
from robustxai.model_selection import RobustnessScorer
from robustxai.nets import ResNet9
from robustxai.perturbation import ThreatModel

__all__ = ["SHAPES", "SHAPE_METHODS", "R2ETShapes", "ShapeCell", "run_shape_cell", "shapes_markdown"]

#: Training and test samples with their labels.
Rows = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

#: Raised by one whenever a change of this file makes older results incomparable.
_PROTOCOL = 1


def _digit_pairs(seed: int, part: str, size: dict[str, int]) -> Rows:
    """Pairs of digits, same or not. Digits of the test part are paired with digits that were trained on."""
    X, y = load_mnist(subset="train", n_samples=size["n_train"] + size["n_test"], random_state=seed, return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=size["n_test"], stratify=y, random_state=seed)
    if part == "test":
        X_test, y_test = load_mnist(subset="test", n_samples=size["n_test"], random_state=seed, return_X_y=True)
    train = make_pairs(X, y, n_pairs=size["n_pairs"], random_state=seed)
    test = make_pairs(
        np.concatenate([X, X_test]),
        np.concatenate([y, y_test]),
        items=np.arange(len(X), len(X) + len(X_test)),
        partners=np.arange(len(X)),
        n_pairs=4 * size["n_test"],
        random_state=seed,
    )
    return train.X, test.X, train.y, test.y


def _colour_images(seed: int, part: str, size: dict[str, int]) -> Rows:
    """Images of the classes that are asked for; the validation part is held out from the training images."""
    options: dict[str, Any] = {"classes": ("deer", "ship"), "return_X_y": True, "random_state": seed}
    X, y = load_cifar10(subset="train", **options)
    X, X_held, y, y_held = train_test_split(X, y, test_size=size["n_test"], stratify=y, random_state=seed)
    X, y = X[: size["n_train"]], y[: size["n_train"]]
    if part == "test":
        X_held, y_held = load_cifar10(subset="test", **options)
    return X, X_held, y, y_held


def _connectome_pairs(seed: int, part: str, size: dict[str, int]) -> Rows:
    """Pairs of subjects, same diagnosis or not: three folds to train on, one to validate, one to test, by subject."""
    X, y = load_abide(site="nyu", return_X_y=True)
    folds = list(pair_folds(X, y, n_train_pairs=size["n_pairs"], random_state=seed // 5))
    fold = folds[seed % 5]
    held_out = fold.test if part == "test" else fold.validation
    return fold.train.X, held_out.X, fold.train.y, held_out.y


@dataclass(frozen=True)
class Shape:
    """A data set with its network and its attack.

    Parameters
    ----------
    load : callable
        (seed, "validation" or "test", size) -> training and test samples with their labels.
    sizes : dict
        "small" and "full": what `load` and the training take.
    k, epsilon : int and float
        Top set of the paper, and the l2 radius at which its equal steps end.
    bounds : (float, float), optional
        Box of the inputs.
    common : parameters
        Of every method: network, learning rate, batch.
    weights : dict
        Method -> parameters of its own, chosen on validation samples of seed 0.
    """

    load: Callable[[int, str, dict[str, int]], Rows]
    sizes: dict[str, dict[str, int]]
    k: int
    epsilon: float
    bounds: tuple[float, float] | None
    common: dict[str, Any]
    weights: dict[str, dict[str, Any]] = field(default_factory=dict)


_SIAMESE_CONV = {"module__encoder_params": {"channels": (16, 32), "hidden": (64,), "pool": "average"}}


def _weights(
    *,
    beta: float,
    decay: float,
    hessian: float,
    gap: float,
    relative: float,
    minimal: float,
    n_pairs: int | None = None,
) -> dict[str, dict[str, Any]]:
    """Parameters of every method; one softplus for all that have one, sharp enough to be as accurate as the ReLU."""
    smooth = {"module__beta": beta}
    every = {**smooth, "pairs": "all", "lambda_gap": gap}
    return {
        "WD": {"weight_decay": decay},
        "SP": smooth,
        "Est-H": {**smooth, "lambda_hessian": hessian},
        "R2ET\\H": {**every, "lambda_hessian": 0.0},
        "R2ET": {**every, "lambda_hessian": relative},
        "R2ET-mm": {
            **smooth,
            "pairs": "minimal",
            "n_pairs": n_pairs,
            "lambda_gap": minimal,
            "lambda_hessian": relative,
        },
    }


#: Chen et al., 2023, Table 1: P@k in % under ERAttack and under the MSE attack. Beside abide stands ADHD, another set.
_PUBLISHED: dict[str, dict[str, tuple[float, float]]] = {
    "mnist": {
        "Vanilla": (59.0, 64.0),
        "WD": (59.1, 64.8),
        "SP": (62.9, 66.9),
        "Est-H": (85.2, 90.2),
        "R2ET\\H": (82.8, 89.7),
        "R2ET": (85.7, 90.8),
        "R2ET-mm": (85.3, 91.4),
    },
    "cifar10": {
        "Vanilla": (66.5, 68.3),
        "WD": (64.2, 65.6),
        "SP": (67.2, 71.9),
        "Est-H": (77.1, 78.7),
        "R2ET\\H": (67.3, 72.2),
        "R2ET": (75.0, 77.4),
        "R2ET-mm": (78.0, 79.1),
    },
    "abide": {
        "Vanilla": (45.5, 81.1),
        "WD": (47.6, 79.4),
        "SP": (42.5, 81.3),
        "Est-H": (58.2, 83.7),
        "R2ET\\H": (60.7, 86.8),
        "R2ET": (71.6, 91.3),
        "R2ET-mm": (58.8, 87.5),
    },
}

SHAPES: dict[str, Shape] = {
    "mnist": Shape(
        _digit_pairs,
        {
            "small": {"n_train": 3000, "n_test": 500, "n_pairs": 8000, "epochs": 6, "n_attacked": 30},
            "full": {"n_train": 50_000, "n_test": 2500, "n_pairs": 200_000, "epochs": 20, "n_attacked": 500},
        },
        k=50,
        epsilon=1.0,
        bounds=(0.0, 1.0),
        common={"lr": 0.002, "batch_size": 64, **_SIAMESE_CONV},
        weights=_weights(beta=10.0, decay=1e-4, hessian=0.05, gap=0.01, relative=0.03, minimal=0.03),
    ),
    "cifar10": Shape(
        _colour_images,
        {
            "small": {"n_train": 2000, "n_test": 500, "epochs": 8, "n_attacked": 30},
            "full": {"n_train": 2500, "n_test": 500, "epochs": 60, "n_attacked": 500},
        },
        k=100,
        epsilon=0.5,
        bounds=(0.0, 1.0),
        weights=_weights(beta=10.0, decay=1e-4, hessian=0.002, gap=0.001, relative=0.001, minimal=0.003),
        common={"lr": 0.005, "batch_size": 64, "module": ResNet9, "module__width": 8, "module__pool": "average"},
    ),
    "abide": Shape(
        _connectome_pairs,
        {
            "small": {"n_pairs": 1000, "epochs": 10, "n_attacked": 30},
            "full": {"n_pairs": 5000, "epochs": 10, "n_attacked": 300},
        },
        k=50,
        epsilon=1.0,
        bounds=(-1.0, 1.0),
        common={"lr": 0.005, "batch_size": 32, "module__encoder": "graph"},
        weights=_weights(beta=30.0, decay=1e-5, hessian=0.002, gap=0.003, relative=0.003, minimal=0.003, n_pairs=20),
    ),
}


#: Rows of the tables: the paper's names, and the defences behind them.
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
class ShapeCell:
    """One method on one data set and seed: trained, attacked by the paper's attacks and by stronger ones, measured.

    Parameters
    ----------
    data : {"mnist", "cifar10", "abide"}
        Name in ``SHAPES``.
    method : str
        Name in ``SHAPE_METHODS``.
    seed : int
        Of the split, the pairs and the training.
    size : {"small", "full"}, default="small"
        How many samples, epochs and attacked rows.
    part : {"test", "validation"}, default="test"
        What is attacked; weights were chosen on "validation".
    params : parameters
        Instead of the chosen ones.
    """

    data: str
    method: str
    seed: int
    size: str = "small"
    part: str = "test"
    params: Params = ()

    @property
    def name(self) -> str:
        """File name of the result; the digest changes with anything that could change the numbers."""
        shape = SHAPES[self.data]
        estimator = sorted(self.estimator().get_params().items())
        settings = repr((estimator, shape.sizes[self.size], shape.k, shape.epsilon, shape.bounds, _STEPS, _PAPER_STEPS))
        fields = {**asdict(self), "protocol": _PROTOCOL, "settings": settings}
        digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]
        return f"shape-{self.data}-{self.method.replace(chr(92), '-no-')}-{self.seed}-{self.size}-{digest}.json"

    def estimator(self) -> BaseExplainableClassifier:
        """The unfitted estimator."""
        shape, kind = SHAPES[self.data], SHAPE_METHODS[self.method]
        if kind is LinearClassifier:
            return LinearClassifier(random_state=self.seed)
        own = dict(self.params) or shape.weights.get(self.method, {})
        params: dict[str, Any] = {"random_state": self.seed, "max_epochs": shape.sizes[self.size]["epochs"]}
        if kind is R2ETClassifier:  # half of the epochs are plain ones: every method sees the data as often
            params |= {"k": shape.k, "warm_up": params["max_epochs"] // 2}
            params["max_epochs"] -= params["warm_up"]
        return kind(**{**params, **shape.common, **own})


#: Steps of the library's attacks, and of the paper's.
_STEPS, _PAPER_STEPS = 40, 100


@lru_cache(maxsize=1)
def _rows(data: str, seed: int, size: str, part: str) -> Rows:
    return SHAPES[data].load(seed, part, SHAPES[data].sizes[size])


def run_shape_cell(cell: ShapeCell) -> dict[str, Any]:
    """Train, attack and measure; the cell's fields and every metric in one flat dict."""
    shape = SHAPES[cell.data]
    X, X_test, y, y_test = _rows(cell.data, cell.seed, cell.size, cell.part)
    estimator = cell.estimator()
    if isinstance(estimator, LinearClassifier):  # of a table: every entry is a feature
        X, X_test = X.reshape(len(X), -1), X_test.reshape(len(X_test), -1)
    start = time.perf_counter()
    estimator.fit(X, y)
    seconds = time.perf_counter() - start
    n_attacked = shape.sizes[cell.size]["n_attacked"]
    shuffled = np.random.default_rng(cell.seed).permutation(len(X_test))  # the first rows are what is attacked
    X_test, y_test = X_test[shuffled], y_test[shuffled]
    scores = {"roc_auc": roc_auc(estimator, X_test, y_test), "accuracy": float(estimator.score(X_test, y_test))}
    own = RobustnessScorer(_attacks(shape, cell.seed), max_samples=n_attacked, reference=_published_attacks(shape))
    scores = {**own(estimator, X_test[:n_attacked], y_test[:n_attacked]), **scores}
    fields = {**asdict(cell), "params": json.dumps(dict(cell.params)), "k": shape.k, "epsilon": shape.epsilon}
    return {**fields, "n_train": len(X), "n_attacked": n_attacked, "fit_seconds": seconds, **scores}


def _attacks(shape: Shape, seed: int) -> dict[str, Any]:
    options: dict[str, Any] = {"k": shape.k, "threat": _threat(shape), "max_iter": _STEPS, "random_state": seed}
    kinds = {"er": ERAttack, "boundary": BoundaryMarginAttack, "random": RandomAttack}
    return {name: kind(**options) for name, kind in kinds.items()}


def _published_attacks(shape: Shape) -> dict[str, Any]:
    """Equal steps and the last iterate, as in the paper."""
    options: dict[str, Any] = {"k": shape.k, "threat": _threat(shape), "max_iter": _PAPER_STEPS, "keep": "last"}
    options |= {"step_size": shape.epsilon / _PAPER_STEPS, "momentum": 0.0}
    return {"er_paper": ERAttack(**options), "mse_paper": MSEAttack(**options)}


def _threat(shape: Shape) -> ThreatModel:
    return ThreatModel(shape.epsilon, norm=2, bounds=shape.bounds)


@dataclass(frozen=True)
class R2ETShapes:
    """Table 1 of *Robust ranking explanations* for what is no table, faithfulness and AUC beside every stability.

    Parameters
    ----------
    data : tuple of str
        Names from ``SHAPES``.
    methods : tuple of str
        Names from ``SHAPE_METHODS``.
    seeds : int, default=3
        Splits, each with its own training.
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
    size: str = "small"

    def __post_init__(self) -> None:
        check_names("data set", self.data, SHAPES)
        check_names("method", self.methods, SHAPE_METHODS)
        check_number("seeds", self.seeds, minimum=1, integer=True)
        check_choice("size", self.size, ("small", "full"))

    def cells(self) -> list[ShapeCell]:
        """All cells, data set by data set, so that a stopped run leaves whole tables behind."""
        grid = product(self.data, range(self.seeds), self.methods)
        return [ShapeCell(data, method, seed, self.size) for data, seed, method in grid]

    def run(self, out: str | Path, **options: Any) -> pd.DataFrame:
        """Run or resume everything under `out`, one row per cell; `options` as in :func:`run_cells`."""
        return run_cells(self.cells(), out, run=run_shape_cell, **options)


#: Column of the cells -> heading, decimals, and factor.
_COLUMNS: dict[str, tuple[str, int, float]] = {
    "roc_auc": ("AUC", 4, 1.0),
    "accuracy": ("accuracy", 3, 1.0),
    "precision_at_k_er_paper": ("P@{k} ER, paper's attack (paper's figure)", 1, 100.0),
    "precision_at_k_mse_paper": ("P@{k} MSE, paper's attack (paper's figure)", 1, 100.0),
    "precision_at_k": ("P@{k} worst of ours", 1, 100.0),
    "precision_at_k_boundary": ("P@{k} boundary", 1, 100.0),
    "precision_at_k_random": ("P@{k} random", 1, 100.0),
    "thickness": ("thickness", 4, 1.0),
    "comprehensiveness": ("COMP ↑", 3, 1.0),
    "sufficiency": ("SUFF ↓", 3, 1.0),
    "decision_flip_fraction": ("DFFOT ↓", 3, 1.0),
    "fit_seconds": ("fit s", 0, 1.0),
}


def shapes_markdown(results: pd.DataFrame) -> str:
    """A table for each data set, values as mean ± s.d. over seeds; P@k in per cent, as in the paper."""
    lines: list[str] = []
    for data, rows in results.groupby("data", sort=False):
        first = rows.iloc[0]
        heads = [heading.format(k=first["k"]) for heading, _, _ in _COLUMNS.values()]
        lines += [
            f"## {data} ({first['size']}, {first['n_train']} training samples, {first['n_attacked']} attacked, "
            f"epsilon {first['epsilon']:g} in l2, {rows['seed'].nunique()} seeds)",
            "",
            "| method | " + " | ".join(heads) + " |",
            "|---" * (len(heads) + 1) + "|",
        ]
        for method, group in rows.groupby("method", sort=False):
            cells = [_entry(group, name, str(data), str(method)) for name in _COLUMNS]
            lines.append(f"| {method} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _entry(group: pd.DataFrame, column: str, data: str, method: str) -> str:
    _, decimals, factor = _COLUMNS[column]
    if column not in group or group[column].isna().all():
        return "-"
    values = group[column] * factor
    text = f"{values.mean():.{decimals}f}" + (f" ± {values.std(ddof=1):.{decimals}f}" if len(values) > 1 else "")
    place = ("precision_at_k_er_paper", "precision_at_k_mse_paper")
    published = _PUBLISHED[data].get(method)
    return f"{text} ({published[place.index(column)]:g})" if column in place and published else text
