"""One cell: one model on the raw rows of a table, with contributions of columns attacked and certified."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from robustxai import (
    CertifiedR2ETClassifier,
    LinearClassifier,
    R2ETClassifier,
    SoftplusClassifier,
    VanillaClassifier,
)
from robustxai._arguments import COUNT, INTEGER_SEED, SHARE, Choice, Instance, Number, checked
from robustxai.attacks import AutoExplanationAttack, BlackBox
from robustxai.benchmark import BaseCell, Data, UserTable, identity, load, stem
from robustxai.certificates import certify_top_k
from robustxai.columns import TableThreat, column_map
from robustxai.datasets import make_preprocessor
from robustxai.exceptions import EvaluationWarning, SharedExplanationWarning
from robustxai.explainers import ColumnContributions, TreeShap
from robustxai.metrics import between_rows_precision, comprehensiveness, roc_auc, sufficiency
from robustxai.protocols import AttackPreset, ContributionMethod, Estimator

__all__ = ["MODELS", "ColumnsCell", "run_columns_cell"]

#: Sums of smooth functions of single columns.
_ADDITIVE: dict[str, Any] = {"module": "additive", "module__beta": 5.0, "lr": 5e-3, "max_epochs": 12}
#: R2ET's weight, chosen on a fifth of the training rows of split 0: AUC and attacked P@4 are above those of logistic
#: regression there with 1e-3 on Adult and with 3e-4 on COMPAS, where 3e-3 ruins the AUC.
_LAMBDA_HESSIAN = 3e-4
#: Radius of the certified R2ET in scaled features, of the size of the budgets.
_EPSILON = 0.05
#: Models by name: k and the explainer to an estimator at its other defaults.
MODELS: dict[str, Callable[[int, ColumnContributions], Any]] = {
    "logistic_regression": lambda k, explainer: LinearClassifier(explainer=explainer),
    "gradient_boosting": lambda k, explainer: HistGradientBoostingClassifier(),
    "vanilla": lambda k, explainer: VanillaClassifier(explainer=explainer),
    "softplus": lambda k, explainer: SoftplusClassifier(explainer=explainer),
    "additive": lambda k, explainer: SoftplusClassifier(explainer=explainer, **_ADDITIVE),
    "r2et": lambda k, explainer: R2ETClassifier(k, lambda_hessian=_LAMBDA_HESSIAN, explainer=explainer, **_ADDITIVE),
    "certified_r2et": lambda k, explainer: CertifiedR2ETClassifier(
        k, epsilon=_EPSILON, n_bounds=200, explainer=explainer, **_ADDITIVE
    ),
}
#: Models whose contributions are Shapley values, without gradients and without proofs.
_TREES = ("gradient_boosting",)
#: Budget of the ensemble.
_PRESET: AttackPreset = "fast"
#: Rows that are explained at once where that is trees: their Shapley values take half the time of smaller batches.
_TREE_ROWS = 8192


@dataclass(frozen=True)
class ColumnsCell(BaseCell):
    """One model, whose contributions of raw columns are attacked and certified under budgets.

    Rows are split as in :class:`~robustxai.benchmark.Cell`; the threat model is made of the raw training rows.

    "gradient_boosting" is scikit-learn's ``HistGradientBoostingClassifier`` on one feature per raw column: numbers as
    they are, categories as codes, gaps as gaps. Its contributions are Shapley values (:class:`TreeShap`), in log-odds
    like those of the others. It has no gradients, so that of the ensemble only random directions,
    :class:`~robustxai.attacks.NESAttack` and the steps among raw rows attack it; the rows of a small lattice are tried
    all, as those of every model. Nothing is proven of it: its certified P@k is nan.

    "additive", "r2et" and "certified_r2et" are sums of smooth functions of single columns
    (:class:`~robustxai.nets.AdditiveNet`), in which no switch of one column changes what another one contributes.

    Where a column is removed for the faithfulness, it takes the median or the mode of the raw training rows.

    Parameters
    ----------
    data : str or UserTable
        Name of a table, or a user's file.
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
    method : {"integrated_gradients", "gradient_times_input"}, default="integrated_gradients"
        Of the contributions that are trained for, attacked and certified, from the medians and modes of the training
        rows.
    n_points : int, default=4
        Points of the midpoint rule of integrated gradients. Few, because trainings, attacks and proofs take time in
        proportion.
    n_rows : int, default=200
        Test rows that are attacked.
    """

    data: Data
    defense: str
    seed: int
    k: int = 4
    share: float = 0.05
    max_switches: int = 1
    method: ContributionMethod = "integrated_gradients"
    n_points: int = 4
    n_rows: int = 200

    _constraints = {
        "data": Instance((str, UserTable)),
        "defense": Choice(MODELS),
        "seed": INTEGER_SEED,
        "k": COUNT,
        "share": SHARE,
        "max_switches": Number(0, integer=True),
        "method": Choice(get_args(ContributionMethod)),
        "n_points": COUNT,
        "n_rows": COUNT,
    }

    def label(self) -> str:
        """As `BaseCell.label`."""
        return f"columns-{stem(self.data)}-{self.defense}-{self.seed}"

    def depends_on(self) -> Any:
        """As `BaseCell.depends_on`."""
        return identity(self.data), self.estimator(), self.attack()

    def estimator(self) -> Any:
        """Build the classifier, unfitted."""
        made = MODELS[self.defense](self.k, ColumnContributions(self.method, n_points=self.n_points))
        return made.set_params(random_state=self.seed)

    def attack(self) -> AutoExplanationAttack:
        """Build the attack, still without an estimator and a threat model."""
        batch_size = _TREE_ROWS if self.defense in _TREES else None
        return AutoExplanationAttack(k=self.k, preset=_PRESET, batch_size=batch_size, random_state=self.seed)

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
    if cell.defense in _TREES:
        pipe = _explained(pipe)
    inside = np.flatnonzero(_inside(threat, X_test, cell.n_rows))
    rows = X_test.iloc[inside]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EvaluationWarning)
        warnings.simplefilter("ignore", SharedExplanationWarning)  # B is in the table
        found = cell.attack().set_params(estimator=pipe, threat=threat).run(rows)
    contributions = np.asarray(found.attribution)
    removed = np.asarray(pipe[:-1].transform(_typical(X_train)))[0]
    return {
        **asdict(cell),
        "data": stem(cell.data),
        "n_rows": len(rows),
        "n_columns": contributions.shape[1],
        "n_features": len(column_map(pipe).records),
        "fit_seconds": fit_seconds,
        "roc_auc": roc_auc(pipe, X_test, y_test),
        "precision_at_k": float(found.precision_at_k.mean()),
        "certified_precision_at_k": _certified(cell, pipe, rows, threat),
        "exhaustive": float(np.asarray(found.exhaustive).mean()),
        "between_rows_precision": between_rows_precision(contributions, cell.k),
        "comprehensiveness": float(comprehensiveness(pipe, rows, baseline=removed).mean()),
        "sufficiency": float(sufficiency(pipe, rows, baseline=removed).mean()),
    }


def _fitted(cell: ColumnsCell, X: pd.DataFrame, y: np.ndarray) -> Pipeline:
    """Train the pipeline; a network's explainer then has the groups of its column map."""
    made = cell.estimator()
    if cell.defense in _TREES:
        codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
        others = make_column_selector(dtype_exclude="number")
        encoder = make_column_transformer((codes, others), remainder="passthrough", verbose_feature_names_out=False)
        return make_pipeline(encoder, made).fit(X, y)
    preprocessor = make_preprocessor(X).fit(X)
    columns = column_map(preprocessor)
    groups, names = [group.tolist() for group in columns.groups], [str(name) for name in columns.columns]
    explainer = ColumnContributions(cell.method, n_points=cell.n_points, groups=groups, names=names)
    estimator: Estimator = made.set_params(explainer=explainer)
    return make_pipeline(preprocessor, estimator).fit(X, y)


def _explained(pipe: Pipeline) -> Pipeline:
    """Return a pipeline of trees that explains itself by Shapley values."""
    return Pipeline([*pipe.steps[:-1], ("trees", BlackBox(pipe[-1], TreeShap(pipe[-1])))])


def _certified(cell: ColumnsCell, pipe: Pipeline, rows: pd.DataFrame, threat: TableThreat) -> float:
    """Return the mean certified P@k, nan of trees."""
    if cell.defense in _TREES:
        return float("nan")
    return float(certify_top_k(pipe, rows, k=cell.k, threat=threat, method="affine").precision_at_k.mean())


def _typical(X: pd.DataFrame) -> pd.DataFrame:
    """Return one row of the medians (values of the table) and the modes of some raw rows, with their dtypes."""
    row = X.iloc[[0]].copy()
    for name in X:
        number = pd.api.types.is_numeric_dtype(X[name]) and not pd.api.types.is_bool_dtype(X[name])
        value = X[name].quantile(0.5, interpolation="lower") if number else X[name].mode().iloc[0]
        row[name] = pd.Series([value], index=row.index).astype(X[name].dtype)
    return row


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
