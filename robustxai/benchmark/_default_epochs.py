"""What ``max_epochs="auto"`` is worth: log loss and AUC against the number of epochs, on small and large tables.

``python -m robustxai.benchmark._default_epochs OUT`` writes OUT/default-epochs.csv and OUT/default-epochs.png; finished
cells are kept under OUT/cells. With ``--seeds`` and ``--data`` a part of it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits, load_wine, make_moons
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from robustxai._files import written_at_once
from robustxai.benchmark._experiment import run_cells
from robustxai.benchmark._registry import DATA, DEFENSES
from robustxai.datasets import make_preprocessor
from robustxai.exceptions import OverfittingWarning
from robustxai.metrics import roc_auc

__all__ = ["SIZES", "EpochsCell", "credit_like", "epochs_markdown", "moons_in_noise", "run_epochs_cell", "split_rows"]

#: Raised by one whenever a change of this file makes older results incomparable.
_PROTOCOL = 1
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
#: Lengths of a training: the old default (2,000 steps, 15 to 200 epochs), parts of it, and the default.
SCHEDULES = ("eighth", "quarter", "old", "default")
_CLASSIFIERS = ("vanilla", "r2et")


def credit_like(n_rows: int = _N_SYNTHETIC, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """A table like German credit: 7 numbers, 13 categories of 2 to 10 levels, about 30 % of the labels 1.

    The log odds are a sum of one term per column: no model can do better than logistic regression with enough rows.
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
    """Two moons and eight columns of noise: a curved boundary, which a short training does not find."""
    X, y = make_moons(n_rows, noise=0.25, random_state=seed)
    noise = np.random.default_rng(seed).normal(size=(n_rows, 8))
    return pd.DataFrame(np.hstack([X, noise])).add_prefix("x"), y


_TABLES: dict[str, Callable[[], tuple[pd.DataFrame, Any]]] = {
    **DATA,
    "wine": lambda: load_wine(return_X_y=True, as_frame=True),
    "digits": lambda: load_digits(return_X_y=True, as_frame=True),
    "credit_like": credit_like,
    "moons_in_noise": moons_in_noise,
}


@dataclass(frozen=True)
class EpochsCell:
    """One training on some rows of a table.

    A quarter of the table, at most 5,000 rows, the same for all seeds and sizes, is for testing only; the seed draws
    `n_train` of the others. The default chooses among these by itself; nothing else chooses anything here.

    Parameters
    ----------
    data : str
        Name from ``SIZES``.
    n_train, seed : int
        How many rows, and which.
    defense : str
        Name from ``DEFENSES``.
    schedule : {"eighth", "quarter", "old", "default"}
        Number of epochs: the old default, a part of it, or ``max_epochs="auto"``.
    """

    data: str
    n_train: int
    seed: int
    defense: str
    schedule: str

    @property
    def name(self) -> str:
        """File name of the result; the digest changes with anything that could change the numbers."""
        params = repr(sorted(DEFENSES[self.defense](8, self.seed).get_params().items()))
        digest = hashlib.sha256(json.dumps([_PROTOCOL, asdict(self), params]).encode()).hexdigest()[:12]
        return f"epochs-{self.data}-{self.n_train}-{self.defense}-{self.schedule}-{self.seed}-{digest}.json"


@lru_cache(maxsize=1)
def _table(data: str) -> tuple[pd.DataFrame, np.ndarray]:
    X, y = _TABLES[data]()
    return X, np.asarray(y)


def split_rows(data: str, n_train: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """X_train, X_test, y_train, y_test, preprocessed by what the training rows show."""
    X, y = _table(data)
    pool, X_test, y_pool, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    if n_train < len(pool) - 10:
        pool, _, y_pool, _ = train_test_split(pool, y_pool, train_size=n_train, stratify=y_pool, random_state=seed)
    X_test, y_test = X_test[:_N_TEST], y_test[:_N_TEST]
    preprocessor = make_preprocessor(pool).fit(pool)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Found unknown categories")  # few rows do not show every level
        return preprocessor.transform(pool), preprocessor.transform(X_test), y_pool, y_test


def run_epochs_cell(cell: EpochsCell) -> dict[str, Any]:
    """Train and measure."""
    X_train, X_test, y_train, y_test = split_rows(cell.data, cell.n_train, cell.seed)
    estimator = DEFENSES[cell.defense](8, cell.seed)
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
    """All cells, seed by seed."""
    found = []
    for seed in range(seeds):
        for name in data:
            for n_train in (size for size in SIZES[name] if size <= max_rows):
                found.append(EpochsCell(name, n_train, seed, "logistic_regression", "default"))
                found += [EpochsCell(name, n_train, seed, d, s) for d in _CLASSIFIERS for s in SCHEDULES]
    return found


def epochs_markdown(table: pd.DataFrame) -> str:
    """Log loss and AUC of logistic regression, and what the others have more, mean over seeds, one line per size.

    A star marks a default that warned in at least half of the seeds.
    """
    keys = ["data", "n_train", "n_features"]
    table = table.assign(n_features=table.groupby(["data", "n_train"])["n_features"].transform("max"))
    means = table.groupby([*keys, "defense", "schedule"], sort=False)[["log_loss", "roc_auc", "warned"]].mean()
    names = [(d, s) for d in _CLASSIFIERS for s in SCHEDULES]
    header = ["table", "rows", "features", "logistic regression", *(f"{d}, {s}" for d, s in names)]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for key in dict.fromkeys(zip(*(table[k] for k in keys))):
        base = means.loc[(*key, "logistic_regression", "default")]
        cells = [str(k) for k in key] + [f"{base.log_loss:.3f} / {base.roc_auc:.3f}"]
        for name in names:
            own = means.loc[(*key, *name)] - base
            star = " *" if name[1] == "default" and own.warned >= 0.5 else ""
            cells.append(f"{own.log_loss:+.3f} / {100 * own.roc_auc:+.1f}{star}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _figure(table: pd.DataFrame, path: Path) -> None:
    from matplotlib.figure import Figure

    sizes = list(dict.fromkeys(zip(table["data"], table["n_train"])))
    n_columns = 5
    n_rows = -(-len(sizes) // n_columns)
    figure = Figure(figsize=(3.0 * n_columns, 2.5 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for ax in axes[len(sizes) :]:
        ax.set_axis_off()
    for (data, n_train), ax in zip(sizes, axes):
        rows = table[(table["data"] == data) & (table["n_train"] == n_train)]
        base = rows[rows["defense"] == "logistic_regression"]["log_loss"].mean()
        ax.axhline(base, color="0.4", linestyle="--", label="logistic regression")
        for color, defense in zip(("tab:blue", "tab:orange"), _CLASSIFIERS):
            own = rows[rows["defense"] == defense]
            curve = own[own["schedule"] != "default"].groupby("max_epochs")["log_loss"].mean()
            ax.plot(curve.index, curve, "o-", color=color, markersize=3, label=f"{defense}, fixed epochs")
            chosen = own[own["schedule"] == "default"]
            ax.plot(
                chosen["max_epochs"], chosen["log_loss"], "*", color=color, markersize=9, label=f"{defense}, default"
            )
        ax.set_title(f"{data}, {n_train:,} rows", fontsize=9)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.minorticks_off()
        epochs = sorted({*rows[rows["defense"] != "logistic_regression"]["max_epochs"]})
        ax.set_xticks([epochs[0], epochs[-1]], [str(epochs[0]), str(epochs[-1])])
        ticks = [base, rows["log_loss"].max()]
        ax.set_yticks(ticks, [f"{tick:.2f}" for tick in ticks])
    figure.supxlabel("epochs")
    figure.supylabel("log loss of test rows")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    with written_at_once(path) as file:
        figure.savefig(file, format="png", dpi=110)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, help="folder for the results")
    parser.add_argument("--data", nargs="+", choices=SIZES, default=list(SIZES), help="tables")
    parser.add_argument("--seeds", type=int, default=3, help="drawings of the training rows")
    parser.add_argument("--max-rows", type=int, default=10**9, help="sizes up to this")
    parser.add_argument("--n-jobs", type=int, default=1, help="processes")
    options = parser.parse_args(arguments)
    cells = cells_of(tuple(options.data), options.seeds, options.max_rows)
    table = run_cells(cells, options.out, run=run_epochs_cell, n_jobs=options.n_jobs)
    with written_at_once(options.out / "default-epochs.csv", "w") as file:
        table.to_csv(file, index=False, lineterminator="\n")
    _figure(table, options.out / "default-epochs.png")
    print(epochs_markdown(table))


if __name__ == "__main__":
    main()
