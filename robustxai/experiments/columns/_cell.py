"""One cell: one model on the raw rows of a table, with contributions of columns attacked and certified."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline

from robustxai import (
    CertifiedR2ETClassifier,
    LinearClassifier,
    R2ETClassifier,
    SoftplusClassifier,
    VanillaClassifier,
)
from robustxai._arguments import COUNT, INTEGER_SEED, SHARE, Choice, Instance, Number, Text, checked
from robustxai.attacks import AutoExplanationAttack
from robustxai.benchmark import BaseCell, identity, load
from robustxai.certificates import certify_top_k
from robustxai.columns import TableThreat, column_map
from robustxai.datasets import make_preprocessor
from robustxai.exceptions import EvaluationWarning, SharedExplanationWarning
from robustxai.explainers import ColumnContributions
from robustxai.metrics import between_rows_precision, comprehensiveness, roc_auc, sufficiency
from robustxai.protocols import AttackPreset, ContributionMethod, Estimator

__all__ = ["MODELS", "ColumnsCell", "run_columns_cell"]

#: Models by name: k and the explainer to an estimator at its other defaults.
MODELS: dict[str, Callable[[int, ColumnContributions], Any]] = {
    "logistic_regression": lambda k, explainer: LinearClassifier(explainer=explainer),
    "vanilla": lambda k, explainer: VanillaClassifier(explainer=explainer),
    "softplus": lambda k, explainer: SoftplusClassifier(explainer=explainer),
    "r2et": lambda k, explainer: R2ETClassifier(k, explainer=explainer),
    "certified_r2et": lambda k, explainer: CertifiedR2ETClassifier(k, epsilon=0.1, explainer=explainer),
}
#: Budget of the ensemble.
_PRESET: AttackPreset = "fast"


@dataclass(frozen=True)
class ColumnsCell(BaseCell):
    """One model at its defaults, whose contributions of raw columns are attacked and certified under budgets.

    Rows are split as in :class:`~robustxai.benchmark.Cell`; the threat model is made of the raw training rows.

    Parameters
    ----------
    data : str
        Table of the benchmark.
    defense : str
        Key of ``MODELS``.
    seed : int
        Of the split and the training.
    k : int, default=4
        Number of reasons: four are customary in notices of adverse action.
    share : float, default=0.05
        Budget of every numeric column, as a share of its observed range.
    max_switches : int, default=1
        Most columns of categories that switch, each to any other category.
    method : {"gradient_times_input", "integrated_gradients"}, default="gradient_times_input"
        Of the contributions that are trained for, attacked and certified, from the medians and modes of the training
        rows.
    n_rows : int, default=200
        Test rows that are attacked.
    """

    data: str
    defense: str
    seed: int
    k: int = 4
    share: float = 0.05
    max_switches: int = 1
    method: ContributionMethod = "gradient_times_input"
    n_rows: int = 200

    _constraints = {
        "data": Text(),
        "defense": Choice(MODELS),
        "seed": INTEGER_SEED,
        "k": COUNT,
        "share": SHARE,
        "max_switches": Number(0, integer=True),
        "method": Choice(get_args(ContributionMethod)),
        "n_rows": COUNT,
    }

    def label(self) -> str:
        """As `BaseCell.label`."""
        return f"columns-{self.data}-{self.defense}-{self.seed}"

    def depends_on(self) -> Any:
        """As `BaseCell.depends_on`."""
        return identity(self.data), self.estimator(), self.attack()

    def estimator(self) -> Any:
        """Build the classifier, unfitted."""
        made = MODELS[self.defense](self.k, ColumnContributions(self.method))
        return made.set_params(random_state=self.seed)

    def attack(self) -> AutoExplanationAttack:
        """Build the attack, still without an estimator and a threat model."""
        return AutoExplanationAttack(k=self.k, preset=_PRESET, random_state=self.seed)

    def threat(self, X: pd.DataFrame) -> TableThreat:
        """Return the budgets, of raw training rows."""
        budgets = {name: f"{100 * self.share:g}%" for name in X.select_dtypes("number") if X[name].nunique() > 2}
        return TableThreat.from_frame(X, budgets=budgets, max_switches=self.max_switches)


@checked(cell=Instance(ColumnsCell))
def run_columns_cell(cell: ColumnsCell) -> dict[str, Any]:
    """Train on features, attack and certify raw rows; return fields and metrics in one flat dict."""
    X, y = load(cell.data)
    X_train, X_test, y_train, y_test = train_test_split(
        X, np.asarray(y), test_size=0.25, stratify=y, random_state=cell.seed
    )
    X_train, X_test = X_train.reset_index(drop=True), X_test.reset_index(drop=True)
    threat = cell.threat(X_train)
    start = time.perf_counter()
    pipe = _fitted(cell, X_train, y_train)
    fit_seconds = time.perf_counter() - start
    inside = np.flatnonzero(_inside(threat, X_test, cell.n_rows))
    rows = X_test.iloc[inside]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EvaluationWarning)
        warnings.simplefilter("ignore", SharedExplanationWarning)  # B is in the table
        found = cell.attack().set_params(estimator=pipe, threat=threat).run(rows)
    proven = certify_top_k(pipe, rows, k=cell.k, threat=threat, method="affine").precision_at_k
    contributions = np.asarray(found.attribution)
    return {
        **asdict(cell),
        "n_rows": len(rows),
        "n_columns": contributions.shape[1],
        "n_features": len(column_map(pipe).records),
        "fit_seconds": fit_seconds,
        "roc_auc": roc_auc(pipe, X_test, y_test),
        "precision_at_k": float(found.precision_at_k.mean()),
        "certified_precision_at_k": float(proven.mean()),
        "between_rows_precision": between_rows_precision(contributions, cell.k),
        "comprehensiveness": float(comprehensiveness(pipe, rows).mean()),
        "sufficiency": float(sufficiency(pipe, rows).mean()),
    }


def _fitted(cell: ColumnsCell, X: pd.DataFrame, y: np.ndarray) -> Pipeline:
    """Train the pipeline, whose explainer then has the groups of its column map."""
    preprocessor = make_preprocessor(X).fit(X)
    columns = column_map(preprocessor)
    groups, names = [group.tolist() for group in columns.groups], [str(name) for name in columns.columns]
    explainer = ColumnContributions(cell.method, groups=groups, names=names)
    estimator: Estimator = cell.estimator().set_params(explainer=explainer)
    return make_pipeline(preprocessor, estimator).fit(X, y)


def _inside(threat: TableThreat, X: pd.DataFrame, n_rows: int) -> np.ndarray:
    """Return True for the first test rows whose numbers and categories occur in the training rows."""
    kept = np.zeros(len(X), dtype=bool)
    for place in range(len(X)):
        try:
            threat.count(X.iloc[[place]])
        except ValueError:  # beyond the observed range, or a category never seen
            continue
        kept[place] = True
        if kept.sum() == n_rows:
            break
    return kept
