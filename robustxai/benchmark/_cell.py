"""One cell of an experiment: one defense on one table with one seed."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias, get_args

import numpy as np
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split

from robustxai._arguments import COUNT, FLAG, INTEGER_SEED, NORM, NOT_NEGATIVE, Choice, Each, Instance, Text, checked
from robustxai.benchmark._base_cell import BaseCell
from robustxai.benchmark._registry import ATTACKS, DEFENSES
from robustxai.benchmark._user_table import Data, UserTable, identity, load, stem
from robustxai.classifiers import retrain
from robustxai.datasets import make_preprocessor
from robustxai.exceptions import EvaluationWarning
from robustxai.metrics import roc_auc
from robustxai.model_selection import CertifiedPrecisionScorer, RobustnessScorer
from robustxai.perturbation import ThreatModel, canonical_norm
from robustxai.protocols import EvaluatedPart, FirstWeights, Norm, NormName

__all__ = ["PART", "Cell", "Params", "norm_name", "prepare_rows", "run_cell", "with_warnings"]

#: Names and values of parameters, hashable.
Params: TypeAlias = tuple[tuple[str, Any], ...]

PART = Choice(get_args(EvaluatedPart))


@dataclass(frozen=True)
class Cell(BaseCell):
    """One defense on one table with one seed.

    Protocol: rows are split 75 : 25, stratified, by the seed. Features are imputed, scaled to [0, 1] and one-hot
    encoded with statistics of the training part. The defense is trained at its defaults with the same seed. AUC and
    accuracy refer to the whole test part, all other metrics to its first `n_rows` rows.

    Parameters
    ----------
    data : str or UserTable
        Name from ``DATA``, path of a table, or path with options.
    defense : str
        Name from ``DEFENSES``.
    seed : int
        Seed of the split, the training and the attacks.
    attacks : tuple of str
        Names from ``ATTACKS`` that enter the lowest P@k.
    k : int, default=8
        Size of the top set.
    epsilon, norm : float and {"2", "inf"}, default=0.5 and "2"
        Ball of the attacks; features lie in [0, 1].
    max_iter : int, default=100
        Maximum number of iterations of each attack.
    n_rows : int, default=1000
        Test rows that are attacked.
    params : parameters
        Hyper-parameters of the defense that differ from its defaults.
    part : {"test", "validation"}, default="test"
        "validation" does not use the test rows: it splits the training part again, 75 : 25.
    start : {"random", "vanilla"}, default="random"
        "vanilla" retrains a vanilla model with :func:`retrain`. The guard of the retraining gets a fifth of the
        training part, which neither training uses.
    start_params, retrain_params : parameters
        Hyper-parameters of that vanilla model, and options of :func:`retrain`.
    reference_attacks : tuple of str
        Names from ``ATTACKS`` that are only reported.
    certify : bool, default=False
        Add ``certified_precision_at_k``, the certified P@k of the attacked rows at the same radius. A model without a
        certificate gets no such column.
    """

    data: Data
    defense: str
    seed: int
    attacks: tuple[str, ...]
    k: int = 8
    epsilon: float = 0.5
    norm: Norm = "2"
    max_iter: int = 100
    n_rows: int = 1000
    params: Params = ()
    part: EvaluatedPart = "test"
    start: FirstWeights = "random"
    start_params: Params = ()
    retrain_params: Params = ()
    reference_attacks: tuple[str, ...] = ()
    certify: bool = False

    _constraints = {
        "data": Instance((str, UserTable)),
        "defense": Text(),
        "seed": INTEGER_SEED,
        "attacks": Each(Text()),
        "k": COUNT,
        "epsilon": NOT_NEGATIVE,
        "norm": NORM,
        "max_iter": COUNT,
        "n_rows": COUNT,
        "params": Instance(tuple),
        "part": PART,
        "start": Choice(get_args(FirstWeights)),
        "start_params": Instance(tuple),
        "retrain_params": Instance(tuple),
        "reference_attacks": Each(Text()),
        "certify": FLAG,
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "norm", norm_name(self.norm))

    def label(self) -> str:
        """As `BaseCell.label`."""
        return f"{stem(self.data)}-{self.defense}-{self.seed}"

    def depends_on(self) -> Any:
        """As `BaseCell.depends_on`."""
        return (
            identity(self.data),
            self.estimator(),
            self.old_estimator() if self.start == "vanilla" else None,
            self.built(self.attacks),
            self.built(self.reference_attacks),
        )

    def built(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Build the attacks of these names, still without an estimator."""
        return {name: ATTACKS[name](self.k, self.threat(), self.max_iter, self.seed) for name in names}

    def estimator(self) -> Any:
        """Build the unfitted estimator."""
        return DEFENSES[self.defense](self.k, self.seed).set_params(**dict(self.params))

    def old_estimator(self) -> Any:
        """Build the unfitted vanilla model that is retrained."""
        return DEFENSES["vanilla"](self.k, self.seed).set_params(**dict(self.start_params))

    def threat(self) -> ThreatModel:
        """Build the threat model; features are scaled to [0, 1] and stay there."""
        return ThreatModel(self.epsilon, norm=self.norm, bounds=(0.0, 1.0))


def norm_name(norm: Norm) -> NormName:
    """Return the name of a norm in results."""
    return "2" if canonical_norm(norm) == 2 else "inf"


def prepare_rows(cell: Cell) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return preprocessed training and test rows and their labels: X_train, X_test, y_train, y_test."""
    X, y = load(cell.data)
    X_train, X_test, y_train, y_test = train_test_split(
        X, np.asarray(y), test_size=0.25, stratify=y, random_state=cell.seed
    )
    if cell.part == "validation":
        X_train, X_test, y_train, y_test = train_test_split(
            X_train, y_train, test_size=0.25, stratify=y_train, random_state=cell.seed
        )
    preprocessor = make_preprocessor(X_train).fit(X_train)
    return preprocessor.transform(X_train), preprocessor.transform(X_test), y_train, y_test


@checked(cell=Instance(Cell))
def run_cell(cell: Cell) -> dict[str, Any]:
    """Train, attack and measure; return the cell's fields and every metric in one flat dict."""
    X_train, X_test, y_train, y_test = prepare_rows(cell)
    if cell.start == "vanilla":
        X_train, X_guard, y_train, y_guard = train_test_split(
            X_train, y_train, test_size=0.2, stratify=y_train, random_state=cell.seed
        )
        old = cell.old_estimator().fit(X_train, y_train)
    extra: dict[str, int] = {}
    start = time.perf_counter()
    if cell.start == "vanilla":
        options = {"k": cell.k, "validation_data": (X_guard, y_guard), **dict(cell.retrain_params)}
        with warnings.catch_warnings():
            # a retraining that keeps the old weights is a valid result, and kept_epochs reports it
            warnings.filterwarnings("ignore", "No epoch of the retraining", EvaluationWarning)
            estimator = retrain(cell.estimator(), old, X_train, y_train, **options)
        extra["kept_epochs"] = dict(estimator.net_.callbacks)["explanation_guard"].best_epoch_
    else:
        estimator = cell.estimator().fit(X_train, y_train)
    seconds = time.perf_counter() - start
    if hasattr(estimator, "explain"):
        attacks, reference = cell.built(cell.attacks), cell.built(cell.reference_attacks)
        scorer = RobustnessScorer(attacks, n_rows=cell.n_rows, reference=reference)
        scores, warning = with_warnings(lambda: scorer(estimator, X_test, y_test) | _certified(cell, estimator, X_test))
    else:
        warning = ""
        scores = {
            "roc_auc": roc_auc(estimator, X_test, y_test),
            "accuracy": float(accuracy_score(y_test, estimator.predict(X_test))),
        }
    fields = {**asdict(cell), "data": stem(cell.data)}
    for name in ("attacks", "reference_attacks"):
        fields[name] = ",".join(fields[name])
    for name in ("params", "start_params", "retrain_params"):
        fields[name] = json.dumps(dict(fields[name]))
    return {**fields, "n_features": X_train.shape[1], "fit_seconds": seconds, **extra, **scores, "warning": warning}


def with_warnings(score: Callable[[], dict[str, float]]) -> tuple[dict[str, float], str]:
    """Return scores and the text of their EvaluationWarnings, for the row of the cell that they belong to."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", EvaluationWarning)
        scores = score()
    texts: dict[str, None] = {}
    for message in caught:
        if issubclass(message.category, EvaluationWarning):
            texts[str(message.message)] = None
        else:
            warnings.warn_explicit(message.message, message.category, message.filename, message.lineno)
    return scores, " ".join(texts)


def _certified(cell: Cell, estimator: Any, X: np.ndarray) -> dict[str, float]:
    """Return the mean certified P@k of the attacked rows; nothing if not requested or without a certificate."""
    threat = cell.threat()
    if not cell.certify:
        return {}
    scorer = CertifiedPrecisionScorer(cell.k, threat, n_rows=cell.n_rows)
    try:
        return {"certified_precision_at_k": scorer(estimator, X)}
    except NotImplementedError:
        return {}
