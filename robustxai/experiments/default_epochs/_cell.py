"""One cell of the evidence for ``max_epochs="auto"``: one training on some rows of a table."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits, load_wine, make_moons
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from robustxai._arguments import COUNT, INTEGER_SEED, Choice, Each, Instance, Text, checked
from robustxai.benchmark import DATA, DEFENSES, BaseCell, library_content
from robustxai.datasets import make_preprocessor
from robustxai.exceptions import OverfittingWarning
from robustxai.metrics import roc_auc

__all__ = [
    "CLASSIFIERS",
    "SCHEDULES",
    "SIZES",
    "EpochsCell",
    "cells_of",
    "credit_like",
    "moons_in_noise",
    "run_epochs_cell",
    "split_rows",
]

#: Size of the top set, for defenses that need one.
_K = 8
#: Test rows at most.
_N_TEST = 5_000
#: Rows of the two synthetic tables.
_N_SYNTHETIC = 30_000
#: Tables, and how many rows are trained on.
SIZES: dict[str, tuple[int, ...]] = {
    "credit_like": (200, 1_000, 5_000, 20_000),
    "breast_cancer": (426,),
    "wine": (133,),
    "digits": (300, 1_347),
    "moons_in_noise": (2_000,),
    "compas": (200, 1_000, 4_600),
    "adult": (200, 1_000, 5_000, 30_000),
    "bank": (200, 1_000, 5_000, 30_000),
}
#: Numbers of epochs: the old default (2,000 steps, 15 to 200 epochs), parts of it, and the default.
EpochsSchedule: TypeAlias = Literal["eighth", "quarter", "old", "default"]
SCHEDULES: tuple[EpochsSchedule, ...] = ("eighth", "quarter", "old", "default")
CLASSIFIERS = ("vanilla", "r2et")


def credit_like(n_rows: int = _N_SYNTHETIC, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Draw a table like German credit: 7 numbers, 13 categories of 2 to 10 levels, about 30 % of the labels 1.

    The log odds are a sum of one term per column, so that no model outperforms logistic regression with enough rows.
    """
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    score = np.zeros(n_rows)
    for number in range(7):
        values = rng.lognormal(0, 0.6, n_rows) if number % 2 else rng.normal(size=n_rows)
        columns[f"number_{number}"] = values
        score += rng.normal(0, 0.35) * (values - values.mean()) / values.std()
    for number in range(13):
        n_levels = int(rng.integers(2, 11))
        shares = rng.dirichlet(np.full(n_levels, 1.5))
        codes = rng.choice(n_levels, n_rows, p=shares)
        effects = rng.normal(0, 0.45, n_levels)
        columns[f"category_{number}"] = pd.Categorical([f"level_{code}" for code in codes])
        score += effects[codes] - effects @ shares
    return pd.DataFrame(columns), (score + rng.logistic(size=n_rows) > np.log(7 / 3)).astype(int)


def moons_in_noise(n_rows: int = _N_SYNTHETIC, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Draw two moons and eight columns of noise: a curved boundary, which a short training does not find."""
    X, y = make_moons(n_rows, noise=0.25, random_state=seed)
    noise = np.random.default_rng(seed).normal(size=(n_rows, 8))
    return pd.DataFrame(np.hstack([X, noise])).add_prefix("x"), y


#: Tables of this experiment beside those of ``DATA``.
_TABLES: dict[str, Callable[[], tuple[pd.DataFrame, Any]]] = {
    "wine": lambda: load_wine(return_X_y=True, as_frame=True),
    "digits": lambda: load_digits(return_X_y=True, as_frame=True),
    "credit_like": credit_like,
    "moons_in_noise": moons_in_noise,
}


@dataclass(frozen=True)
class EpochsCell(BaseCell):
    """One training on some rows of a table.

    A quarter of the table, at most 5,000 rows, is for testing only. It is the same for all seeds and sizes. The seed
    draws `n_train` of the other rows. The schedule "default" chooses the number of epochs on them.

    Parameters
    ----------
    data : str
        Name from ``SIZES``.
    n_train : int
        Training rows.
    seed : int
        Seed of the draw of rows and of the training.
    defense : str
        Name from ``DEFENSES``.
    schedule : {"eighth", "quarter", "old", "default"}
        Number of epochs: the old default, a part of it, or ``max_epochs="auto"``.
    """

    data: str
    n_train: int
    seed: int
    defense: str
    schedule: EpochsSchedule

    _constraints = {
        "data": Choice(SIZES, kind="data set"),
        "n_train": COUNT,
        "seed": INTEGER_SEED,
        "defense": Text(),
        "schedule": Choice(SCHEDULES, kind="schedule"),
    }

    def label(self) -> str:
        return f"epochs-{self.data}-{self.n_train}-{self.defense}-{self.schedule}-{self.seed}"

    def depends_on(self) -> Any:
        content = _TABLES[self.data] if self.data in _TABLES else library_content(self.data)
        return (self.data, content), DEFENSES[self.defense](_K, self.seed), _N_TEST


@lru_cache(maxsize=1)
def _table(data: str, content: Any) -> tuple[pd.DataFrame, np.ndarray]:
    X, y = (_TABLES.get(data) or DATA[data])()
    return X, np.asarray(y)


def split_rows(data: str, n_train: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return X_train, X_test, y_train, y_test, preprocessed by statistics of the training rows."""
    X, y = _table(data, None if data in _TABLES else library_content(data))
    pool, X_test, y_pool, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    if n_train < len(pool) - 10:
        pool, _, y_pool, _ = train_test_split(pool, y_pool, train_size=n_train, stratify=y_pool, random_state=seed)
    X_test, y_test = X_test[:_N_TEST], y_test[:_N_TEST]
    preprocessor = make_preprocessor(pool).fit(pool)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Found unknown categories")  # few rows do not show every level
        return preprocessor.transform(pool), preprocessor.transform(X_test), y_pool, y_test


@checked(cell=Instance(EpochsCell))
def run_epochs_cell(cell: EpochsCell) -> dict[str, Any]:
    """Train a cell's model and return its fields and metrics in one flat dict."""
    X_train, X_test, y_train, y_test = split_rows(cell.data, cell.n_train, cell.seed)
    estimator = DEFENSES[cell.defense](_K, cell.seed)
    old = estimator._n_epochs(len(X_train))
    if cell.schedule != "default":
        share = {"eighth": 8, "quarter": 4, "old": 1}[cell.schedule]
        estimator.set_params(max_epochs=max(-(-old // share), 1))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(X_train, y_train)
    schedule = estimator.schedule_
    return {
        **asdict(cell),
        "n_train": len(X_train),
        "n_features": X_train.shape[1],
        "max_epochs": schedule.max_epochs,
        "weight_decay": schedule.weight_decay,
        "log_loss": float(log_loss(y_test, estimator.predict_proba(X_test), labels=estimator.classes_)),
        "roc_auc": roc_auc(estimator, X_test, y_test),
        "warned": any(issubclass(warning.category, OverfittingWarning) for warning in caught),
    }


def cells_of(data: tuple[str, ...], seeds: int, max_rows: int = 10**9) -> list[EpochsCell]:
    """Return all cells, seed by seed."""
    Each(Choice(SIZES, kind="data set")).check("data", data)
    found = []
    for seed in range(seeds):
        for name in data:
            for n_train in (size for size in SIZES[name] if size <= max_rows):
                found.append(EpochsCell(name, n_train, seed, "logistic_regression", "default"))
                found += [EpochsCell(name, n_train, seed, d, s) for d in CLASSIFIERS for s in SCHEDULES]
    return found
