"""One cell of an experiment: one defense on one table with one seed, explained in one way."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, TypeAlias, get_args

import numpy as np
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split

from robustxai._arguments import (
    COUNT,
    FLAG,
    INTEGER_SEED,
    NORM,
    NOT_NEGATIVE,
    Choice,
    Each,
    Instance,
    Text,
    checked,
    optional,
)
from robustxai.benchmark._base_cell import BaseCell
from robustxai.benchmark._explanation import EXPLAINED_BY, TRAINED_ON, explainer_for, own_explainer, reads_explanation
from robustxai.benchmark._registry import ATTACKS, DEFENSES
from robustxai.benchmark._user_table import Data, UserTable, identity, load, stem
from robustxai.classifiers import retrain
from robustxai.datasets import make_preprocessor
from robustxai.exceptions import EvaluationWarning
from robustxai.metrics import roc_auc
from robustxai.model_selection import CertifiedPrecisionScorer, RobustnessScorer
from robustxai.perturbation import ThreatModel, canonical_norm
from robustxai.protocols import EvaluatedPart, FirstWeights, MeasuredExplainer, Norm, NormName, TrainingExplainer

__all__ = [
    "PART",
    "Cell",
    "FittedModel",
    "Params",
    "fit_model",
    "norm_name",
    "prepare_rows",
    "run_cell",
    "with_warnings",
]

#: Names and values of parameters, hashable.
Params: TypeAlias = tuple[tuple[str, Any], ...]

PART = Choice(get_args(EvaluatedPart))


@dataclass(frozen=True)
class Cell(BaseCell):
    """One defense on one table with one seed, explained in one way.

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
    explainer : str, default="gradient"
        Name of the explanation that is ranked, attacked and measured: every metric of the row refers to it. "own" is
        the explainer that the defense has at its defaults. "integrated_gradients" starts from the mean of the training
        rows, as the faithfulness metrics replace a removed feature by it. From zeros the attribution of every absent
        category would be zero, so that on Adult the top 8 would be the eight columns of the table in any model.
    training_explainer : str, default="same"
        Explanation that the defense's objective uses: "same" as `explainer`, "own", or a name. Without effect on
        defenses whose objective uses none.
    n_train : int, optional
        Training rows at most: the first of the shuffled training part. All by default.
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
    explainer: MeasuredExplainer = "gradient"
    training_explainer: TrainingExplainer = "same"
    n_train: int | None = None

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
        "explainer": EXPLAINED_BY,
        "training_explainer": TRAINED_ON,
        "n_train": optional(COUNT),
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

    def model(self) -> Cell:
        """Return the cell of the training alone: cells of one model differ in attacks, rows and explanation."""
        trained_on = self.explainer if self.training_explainer == "same" else self.training_explainer
        if trained_on == "own":
            trained_on = own_explainer(self.estimator())
        training = {name: getattr(self, name) for name in _TRAINING}
        return Cell(**training, attacks=(), explainer=trained_on)

    def group(self) -> Cell:
        """As `BaseCell.group`."""
        return self.model()

    def threat(self) -> ThreatModel:
        """Build the threat model; features are scaled to [0, 1] and stay there."""
        return ThreatModel(self.epsilon, norm=self.norm, bounds=(0.0, 1.0))


#: Fields that a training depends on, the explanation aside.
_TRAINING = ("data", "defense", "seed", "k", "params", "part", "start", "start_params", "retrain_params", "n_train")


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
    X_train, y_train = X_train[: cell.n_train], y_train[: cell.n_train]
    preprocessor = make_preprocessor(X_train).fit(X_train)
    return preprocessor.transform(X_train), preprocessor.transform(X_test), y_train, y_test


@dataclass(frozen=True, eq=False)
class FittedModel:
    """A trained model with the rows that it is tested on.

    Parameters
    ----------
    estimator : estimator
        The fitted model.
    X_test, y_test : ndarray
        Preprocessed test rows, and their labels.
    seconds : float
        Time of the training.
    extra : mapping of str to int
        Further results of the training, for the row of the cell.
    own : str or Explainer
        Explainer of the estimator at its defaults.
    """

    estimator: Any
    X_test: np.ndarray
    y_test: np.ndarray
    seconds: float
    extra: Mapping[str, int]
    own: Any

    def explained_by(self, explainer: str) -> Any:
        """Return the estimator, which explains in this way until the next call."""
        if hasattr(self.estimator, "explainer"):
            chosen = self.own if explainer == "own" else explainer
            self.estimator.set_params(explainer=explainer_for(chosen, self.estimator.feature_means_))
        return self.estimator


@checked(cell=Instance(Cell))
def fit_model(cell: Cell) -> FittedModel:
    """Train the model of a cell, or return it if the last call in this process was for the same model."""
    model = cell.model()
    return _fitted(model, model.digest)


@lru_cache(maxsize=1)
def _fitted(model: Cell, digest: str) -> FittedModel:
    """Train; the digest, as a part of the cache's key, covers the content of tables and what users register."""
    X_train, X_test, y_train, y_test = prepare_rows(model)
    if model.start == "vanilla":
        X_train, X_guard, y_train, y_guard = train_test_split(
            X_train, y_train, test_size=0.2, stratify=y_train, random_state=model.seed
        )
        old = model.old_estimator().fit(X_train, y_train)
    estimator = model.estimator()
    own = getattr(estimator, "explainer", "own")
    if hasattr(estimator, "explainer"):
        means = np.asarray(X_train, dtype=np.float32).mean(axis=0, dtype=np.float64)  # as the estimator has them
        estimator.set_params(explainer=explainer_for(own if model.explainer == "own" else model.explainer, means))
    extra: dict[str, int] = {}
    start = time.perf_counter()
    if model.start == "vanilla":
        options = {"k": model.k, "validation_data": (X_guard, y_guard), **dict(model.retrain_params)}
        with warnings.catch_warnings():
            # a retraining that keeps the old weights is a valid result, and kept_epochs reports it
            warnings.filterwarnings("ignore", "No epoch of the retraining", EvaluationWarning)
            estimator = retrain(estimator, old, X_train, y_train, **options)
        extra["kept_epochs"] = dict(estimator.net_.callbacks)["explanation_guard"].best_epoch_
    else:
        estimator = estimator.fit(X_train, y_train)
    return FittedModel(estimator, X_test, y_test, time.perf_counter() - start, extra, own)


@checked(cell=Instance(Cell))
def run_cell(cell: Cell) -> dict[str, Any]:
    """Train, explain, attack and measure; return the cell's fields and every metric in one flat dict.

    ``training_explainer`` of the row is a name, or "none" for a defense whose objective uses no explanation.
    """
    model = fit_model(cell)
    estimator, X_test, y_test = model.explained_by(cell.explainer), model.X_test, model.y_test
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
    trained_on = cell.model().explainer if reads_explanation(cell.estimator()) else "none"
    fields = {**asdict(cell), "data": stem(cell.data), "training_explainer": trained_on}
    for name in ("attacks", "reference_attacks"):
        fields[name] = ",".join(fields[name])
    for name in ("params", "start_params", "retrain_params"):
        fields[name] = json.dumps(dict(fields[name]))
    measured = {"n_features": X_test.shape[1], "fit_seconds": model.seconds, **model.extra}
    return {**fields, **measured, **scores, "warning": warning}


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
