"""One cell of an experiment: one defense on one table with one seed."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split

from robustxai._arguments import COUNT, FLAG, INTEGER_SEED, NOT_NEGATIVE, Choice, Each, Instance, OneOf, Text, checked
from robustxai.benchmark._base_cell import BaseCell
from robustxai.benchmark._registry import ATTACKS, DEFENSES
from robustxai.benchmark._user_table import Data, UserTable, identity, load, stem
from robustxai.classifiers import retrain
from robustxai.datasets import make_preprocessor
from robustxai.exceptions import EvaluationWarning
from robustxai.metrics import roc_auc
from robustxai.model_selection import CertifiedPrecisionScorer, RobustnessScorer
from robustxai.perturbation import ThreatModel
from robustxai.protocols import EvaluatedPart, FirstWeights, NormName

__all__ = ["Cell", "Params", "prepare_rows", "run_cell", "with_words"]

#: Names and values of parameters, hashable.
Params = tuple[tuple[str, Any], ...]

#: What may be given for `norm` and `part`.
TEXT_NORM = OneOf(("2", "inf"))
PART = Choice(("test", "validation"))


@dataclass(frozen=True)
class Cell(BaseCell):
    """One defense on one table with one seed.

    The protocol: the rows are split 75 : 25, stratified, by the seed; features are imputed, scaled to [0, 1] and
    one-hot encoded by what the training part shows; the defense is trained at its defaults with the same seed; AUC and
    accuracy are those of the whole test part, the rest of its first `n_rows` rows.

    `attacks` count towards the lowest P@k; `reference_attacks` are only reported. `params` changes the defense's
    hyper-parameters. `part` "validation" leaves the test rows alone: the training part is split again, 75 : 25.

    `certify` adds ``certified_precision_at_k``, what is proven of the attacked rows at the same radius; it is left out
    of a result whose network or explainer has no certificate.

    `start` "vanilla" retrains a vanilla model with `start_params` and the same seed, by :func:`retrain` with
    `retrain_params`. A fifth of the training part is then kept from both for the guard of the retraining.
    """

    data: Data
    defense: str
    seed: int
    attacks: tuple[str, ...]
    k: int = 8
    epsilon: float = 0.5
    norm: NormName = "2"
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
        "norm": TEXT_NORM,
        "max_iter": COUNT,
        "n_rows": COUNT,
        "params": Instance(tuple),
        "part": PART,
        "start": Choice(("random", "vanilla")),
        "start_params": Instance(tuple),
        "retrain_params": Instance(tuple),
        "reference_attacks": Each(Text()),
        "certify": FLAG,
    }

    def label(self) -> str:
        return f"{stem(self.data)}-{self.defense}-{self.seed}"

    def depends_on(self) -> Any:
        return (
            identity(self.data),
            self.estimator(),
            self.old_estimator() if self.start == "vanilla" else None,
            self.built(self.attacks),
            self.built(self.reference_attacks),
        )

    def built(self, names: tuple[str, ...]) -> dict[str, Any]:
        """The attacks of these names, each of which still lacks its estimator."""
        return {name: ATTACKS[name](self.k, self.threat(), self.max_iter, self.seed) for name in names}

    def estimator(self) -> Any:
        """The unfitted estimator."""
        return DEFENSES[self.defense](self.k, self.seed).set_params(**dict(self.params))

    def old_estimator(self) -> Any:
        """The unfitted vanilla model that is retrained."""
        return DEFENSES["vanilla"](self.k, self.seed).set_params(**dict(self.start_params))

    def threat(self) -> ThreatModel:
        """The threat model: features are scaled to [0, 1], and there they must stay."""
        return ThreatModel(self.epsilon, norm=2 if self.norm == "2" else "inf", bounds=(0.0, 1.0))


def prepare_rows(cell: Cell) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Preprocessed training and test rows, and their labels: X_train, X_test, y_train, y_test."""
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
    """Train, attack and measure; the cell's fields and every metric in one flat dict."""
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
            # that the old weights remain is a result like any other, and kept_epochs says it
            warnings.filterwarnings("ignore", "No epoch of the retraining", EvaluationWarning)
            estimator = retrain(cell.estimator(), old, X_train, y_train, **options)
        extra["kept_epochs"] = dict(estimator.net_.callbacks)["explanation_guard"].best_epoch_
    else:
        estimator = cell.estimator().fit(X_train, y_train)
    seconds = time.perf_counter() - start
    if hasattr(estimator, "explain"):
        attacks, reference = cell.built(cell.attacks), cell.built(cell.reference_attacks)
        scorer = RobustnessScorer(attacks, n_rows=cell.n_rows, reference=reference)
        scores, warning = with_words(lambda: scorer(estimator, X_test, y_test) | _certified(cell, estimator, X_test))
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


def with_words(score: Callable[[], dict[str, float]]) -> tuple[dict[str, float], str]:
    """Scores, and what the attacks had to say about them: in a table of many cells nobody sees where it belongs."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", EvaluationWarning)
        scores = score()
    words: dict[str, None] = {}
    for message in caught:
        if issubclass(message.category, EvaluationWarning):
            words[str(message.message)] = None
        else:
            warnings.warn_explicit(message.message, message.category, message.filename, message.lineno)
    return scores, " ".join(words)


def _certified(cell: Cell, estimator: Any, X: np.ndarray) -> dict[str, float]:
    """Mean proven P@k of the attacked rows; nothing where it was not asked for, or there is no certificate."""
    threat = cell.threat()
    if not cell.certify:
        return {}
    scorer = CertifiedPrecisionScorer(cell.k, threat, n_rows=cell.n_rows)
    try:
        return {"certified_precision_at_k": scorer(estimator, X)}
    except NotImplementedError:
        return {}
