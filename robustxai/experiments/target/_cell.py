"""One cell: one model on one table with one seed, its AUC and its stability in two ways of ranking features."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np

from robustxai._arguments import COUNT, INTEGER_SEED, NOT_NEGATIVE, Choice, Instance, Number, checked
from robustxai.attacks import AutoExplanationAttack
from robustxai.benchmark import ATTACKS, DEFENSES, BaseCell, Cell, Data, UserTable, identity, prepare_rows, stem
from robustxai.exceptions import EvaluationWarning, SharedExplanationWarning, ShortfallWarning
from robustxai.metrics import between_rows_precision, chance_corrected_precision, roc_auc
from robustxai.perturbation import ThreatModel
from robustxai.protocols import EvaluatedPart

__all__ = ["MODELS", "TargetCell", "run_target_cell"]

_WIDE: dict[str, Any] = {"module__hidden": (256, 128)}


def _teacher(seed: int) -> Any:
    """Return the boosted trees that teach, unfitted."""
    return DEFENSES["vanilla_teacher"](1, seed).teacher


def _unconstrained(k: int, seed: int, **params: Any) -> dict[str, Any]:
    """Return the networks of which no stability is asked; validation rows choose one."""
    return {
        "vanilla": DEFENSES["vanilla"](k, seed).set_params(**params),
        "softplus": DEFENSES["softplus"](k, seed).set_params(**params),
        "wide": DEFENSES["vanilla"](k, seed).set_params(**params, **_WIDE),
    }


#: Models by name: k and the seed to one estimator, or to several by name, of which validation rows choose.
MODELS: dict[str, Callable[[int, int], Any]] = {
    "logistic_regression": DEFENSES["logistic_regression"],
    "teacher": lambda k, seed: _teacher(seed),
    "plain": _unconstrained,
    "plain_teacher": lambda k, seed: _unconstrained(k, seed, teacher=_teacher(seed)),
    "r2et": DEFENSES["r2et"],
    "r2et_target": DEFENSES["r2et_target"],
    "r2et_target_teacher": DEFENSES["r2et_target_teacher"],
    "r2et_centered": lambda k, seed: DEFENSES["r2et"](k, seed).set_params(explainer="auto"),
    "r2et_target_centered": lambda k, seed: DEFENSES["r2et_target"](k, seed).set_params(explainer="auto"),
    "r2et_target_teacher_centered": lambda k, seed: DEFENSES["r2et_target_teacher"](k, seed).set_params(
        explainer="auto"
    ),
}
#: Prefix of the columns of a row -> explanation that is attacked.
_EXPLANATIONS = {"": "gradient", "centered_": "auto"}


@dataclass(frozen=True)
class TargetCell(BaseCell):
    """One model, whose gradients and centered gradients are attacked.

    Rows are split and prepared as in :class:`~robustxai.benchmark.Cell`.

    Parameters
    ----------
    data : str or UserTable
        Name of a table, or a user's file.
    defense : str
        Key of ``MODELS``. Of "plain" and "plain_teacher", networks of which no stability is asked, the one with the
        highest AUC on a quarter of the training rows is trained again on all of them.
    seed : int
        Of the split, the training and the attack.
    k : int, default=8
        Size of the top set.
    epsilon : float, default=0.5
        Radius of the l2 ball, of the training to a target and of the attack alike; features stay in [0, 1].
    target : float, default=0.95
        P@k that "r2et_target" and its relatives train to.
    n_rows : int, default=1000
        Test rows that are attacked.
    """

    data: Data
    defense: str
    seed: int
    k: int = 8
    epsilon: float = 0.5
    target: float = 0.95
    n_rows: int = 1000

    _constraints = {
        "data": Instance((str, UserTable)),
        "defense": Choice(MODELS),
        "seed": INTEGER_SEED,
        "k": COUNT,
        "epsilon": NOT_NEGATIVE,
        "target": Number(0, 1, above=True, below=True),
        "n_rows": COUNT,
    }

    def label(self) -> str:
        """As `BaseCell.label`."""
        return f"target-{stem(self.data)}-{self.defense}-{self.seed}"

    def depends_on(self) -> Any:
        """As `BaseCell.depends_on`."""
        return identity(self.data), self.estimators(), self.attack()

    def threat(self) -> ThreatModel:
        """Build the threat model of training and attack."""
        return ThreatModel(self.epsilon, bounds=(0, 1))

    def estimators(self) -> dict[str, Any]:
        """Build the unfitted estimators, by name; more than one where validation rows choose."""
        made = MODELS[self.defense](self.k, self.seed)
        found = made if isinstance(made, dict) else {self.defense: made}
        for estimator in found.values():
            if getattr(estimator, "target_precision", None) is not None:
                estimator.set_params(target_precision=self.target, threat=self.threat())
        return found

    def attack(self) -> AutoExplanationAttack:
        """Build the attack, still without an estimator."""
        return ATTACKS["auto"](self.k, self.threat(), 100, self.seed)

    @checked(part=Choice(get_args(EvaluatedPart)))
    def rows(self, part: EvaluatedPart = "test") -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return X_train, X_test, y_train, y_test; of "validation" none is a test row."""
        return prepare_rows(Cell(self.data, "vanilla", self.seed, (), part=part))


@checked(cell=Instance(TargetCell))
def run_target_cell(cell: TargetCell) -> dict[str, Any]:
    """Train and attack; return fields and metrics in one flat dict, nan where a model has no such figure."""
    estimators = cell.estimators()
    X, X_test, y, y_test = cell.rows()
    start = time.perf_counter()
    chosen = _chosen(cell, estimators)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator = estimators[chosen].fit(X, y)
    seconds = time.perf_counter() - start
    _pass_on(caught)
    row: dict[str, Any] = {
        **asdict(cell),
        "data": stem(cell.data),
        "chosen": chosen,
        "n_features": X.shape[1],
        "fit_seconds": seconds,
        "roc_auc": roc_auc(estimator, X_test, y_test),
        "teacher_auc": getattr(estimator, "teacher_auc_", float("nan")),
        "shortfall": int(any(issubclass(warning.category, ShortfallWarning) for warning in caught)),
        "held_out_precision": getattr(estimator, "precision_", float("nan")),
        "n_held_out": getattr(estimator, "precision_n_rows_", 0),
    }
    for prefix, explainer in _EXPLANATIONS.items():
        row |= {prefix + name: value for name, value in _stability(cell, estimator, X_test, explainer).items()}
    return row


def _chosen(cell: TargetCell, estimators: dict[str, Any]) -> str:
    """Return the name of the estimator with the highest AUC on validation rows; estimators are fitted for it."""
    if len(estimators) == 1:
        return next(iter(estimators))
    X, X_validation, y, y_validation = cell.rows("validation")
    areas = {name: roc_auc(made.fit(X, y), X_validation, y_validation) for name, made in estimators.items()}
    return max(areas, key=areas.__getitem__)


def _stability(cell: TargetCell, estimator: Any, X: np.ndarray, explainer: str) -> dict[str, float]:
    """Return attacked P@k, P@k between rows and the corrected P@k; nan for a model without gradients."""
    precision = between = float("nan")
    if hasattr(estimator, "explainer"):
        estimator = estimator.set_params(explainer=explainer)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", EvaluationWarning)
            warnings.simplefilter("ignore", SharedExplanationWarning)  # B is in the table
            found = cell.attack().set_params(estimator=estimator).run(X[: cell.n_rows])
        precision = float(found.precision_at_k.mean())
        between = between_rows_precision(found.attribution, cell.k)
    corrected = float("nan") if between != between or between == 1 else chance_corrected_precision(precision, between)
    return {
        "precision_at_k": precision,
        "between_rows_precision": between,
        "corrected_precision_at_k": float(corrected),
    }


def _pass_on(caught: Iterable[warnings.WarningMessage]) -> None:
    """Give recorded warnings again, but those of which the row tells."""
    for one in caught:
        if not issubclass(one.category, (ShortfallWarning, SharedExplanationWarning)):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
