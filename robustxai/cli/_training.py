"""Training on a table of one's own: rows that are held out, the model, and its progress."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.progress import Progress
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from skorch import NeuralNet

from robustxai._arguments import Choice
from robustxai._table_bytes import table_bytes
from robustxai.cli._own_table import TRAINED
from robustxai.columns import column_map
from robustxai.datasets import load_table, make_preprocessor, text_table
from robustxai.engine import batch_size_of
from robustxai.exceptions import TableError
from robustxai.experiments.columns import MODELS
from robustxai.explainers import ColumnContributions
from robustxai.protocols import ContributionMethod
from robustxai.training import TrainingProgress

__all__ = ["METHOD", "N_POINTS", "check_defense", "content_of", "held_out_rows", "read_training_table", "train"]

#: From so many rows on, the larger batches and steps of additive networks: a third of the time, the same AUC and P@4 on
#: Adult. Fewer rows would be too few steps.
_LARGE, _LARGE_STEPS = 20_000, {"batch_size": 512, "lr": 0.01}
#: Explanation that the models are trained for: one gradient, whose trainings are the fastest.
_TRAINED_FOR: ContributionMethod = "gradient_times_input"
#: Explanation that the commands give, attack and prove: its contributions add up. Four points are enough for sums of
#: functions of single columns; time of the proofs is in proportion.
METHOD: ContributionMethod = "integrated_gradients"
N_POINTS = 4


def check_defense(name: str) -> None:
    """Raise ValueError for a name that is none of the models."""
    Choice(TRAINED, kind="defense").check("--defense", name)


def read_training_table(path: Path, target: str | None, **options: Any) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the columns and the labels of a file.

    Raises
    ------
    TableError
        As :func:`load_table`; no target.
    """
    if target is None:
        names = text_table(path, options.get("sep"), options.get("encoding"), lambda said: None).names
        raise TableError(
            f"Say which column holds the label: --target NAME. {path} has the columns {', '.join(names[:40])}"
            f"{' and more' if len(names) > 40 else ''}."
        )
    X, y = load_table(path, target, return_X_y=True, **options)
    return X, np.asarray(y)


def content_of(path: Path) -> str:
    """Return a digest of what a file holds, by which it is known again."""
    return hashlib.sha256(table_bytes(path)).hexdigest()


def held_out_rows(y: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of the training rows and of the rows that are held out, with the same shares of the classes.

    Raises
    ------
    ValueError
        A share that leaves nothing on a side, or a class with a single row.
    """
    if not 0 < share < 1:
        raise ValueError(f"--test-size must be a share between 0 and 1, such as 0.2, got {share:g}.")
    values, counts = np.unique(y, return_counts=True)
    needed = max(2, int(np.ceil(1 / min(share, 1 - share))))
    if counts.min() < needed:
        raise TableError(
            f"The class {values[counts.argmin()]!s} has {counts.min()} row{'s' * (counts.min() != 1)}, and --test-size "
            f"{share:g} needs {needed} of every class. Give more rows, join classes, or leave rare ones out."
        )
    train, test = train_test_split(np.arange(len(y)), test_size=share, stratify=y, random_state=seed)
    return np.sort(train), np.sort(test)


def train(
    X: pd.DataFrame, y: np.ndarray, defense: str, *, k: int, seed: int, min_frequency: int, progress: Progress
) -> Pipeline:
    """Train a model on raw rows, with a bar that shows the time left; rare categories have one feature together."""
    preprocessor = make_preprocessor(X, min_frequency=min_frequency).fit(X)
    columns = column_map(preprocessor)
    groups, names = [group.tolist() for group in columns.groups], [str(name) for name in columns.columns]
    explainer = ColumnContributions(_TRAINED_FOR, groups=groups, names=names)
    clf = MODELS[defense](k, explainer).set_params(random_state=seed, callbacks=[("progress", _Bar(progress))])
    if len(X) >= _LARGE and clf.get_params().get("module") == "additive":
        clf.set_params(**_LARGE_STEPS)
    pipe = make_pipeline(preprocessor, clf).fit(X, y)
    # the bar is no part of the model, and its file could not hold it
    explainer = ColumnContributions(METHOD, n_points=N_POINTS, groups=groups, names=names)
    clf.set_params(callbacks=None, explainer=explainer)
    return pipe


class _Bar(TrainingProgress):
    """The training in a bar of a command."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def _open(self, net: NeuralNet, n_rows: int) -> None:
        self._bar = self.progress
        self._task = self.progress.add_task("", total=-(-n_rows // batch_size_of(net)) * net.max_epochs)

    def close(self) -> None:
        """Leave the bar to the command."""
        self._bar = None

    def __deepcopy__(self, memo: Any) -> _Bar:
        return self
