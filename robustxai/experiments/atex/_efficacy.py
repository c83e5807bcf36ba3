"""Section 4.4 of the ATEX paper: adversarial training after ATEX, with controls."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import train_test_split

from robustxai._arguments import (
    COUNT,
    INTEGER_SEED,
    NOT_NEGATIVE,
    Choice,
    Each,
    Instance,
    Number,
    PathName,
    Text,
    check_arguments,
    checked,
)
from robustxai.attacks import FGSM, PGD, BoundaryMarginAttack
from robustxai.benchmark import DATA, EXPLAINED_BY, BaseCell, explainer_for, library_content, run_cells
from robustxai.classifiers import (
    AdversarialTrainingClassifier,
    ATEXClassifier,
    BaseExplainableClassifier,
    LinearClassifier,
    SoftplusClassifier,
    VanillaClassifier,
)
from robustxai.datasets import make_preprocessor
from robustxai.metrics import (
    between_rows_precision,
    comprehensiveness,
    prediction_sensitivity,
    roc_auc,
    sufficiency,
)
from robustxai.perturbation import ThreatModel
from robustxai.protocols import MeasuredExplainer

__all__ = [
    "ARMS",
    "ATEXEfficacy",
    "EfficacyCell",
    "SplitArrays",
    "continued",
    "moved",
    "run_efficacy_cell",
    "scores",
]

SplitArrays: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

#: Training in the iterations before the adversarial training; logistic regression has no such iterations.
EfficacyArm: TypeAlias = Literal["atex", "atex_code", "plain", "adversarial", "logistic_regression"]
ARMS: tuple[EfficacyArm, ...] = ("atex", "atex_code", "plain", "adversarial", "logistic_regression")
#: Constant learning rate of these iterations, so that eight iterations continue seven.
_CONSTANT_RATE: dict[str, Any] = {"callbacks__lr_schedule": None}
#: Parameters of the published code. Its epsilon means noise of 0.32 per feature, on tables far more than the paper's.
_PUBLISHED_CODE: dict[str, Any] = {"variant": "reference", "epsilon": 0.08, "n_across": 8}
#: Attack on explanations: top set, radius, iterations and rows.
_K, _RADIUS, _STEPS, _ROWS = 8, 0.5, 30, 300


@dataclass(frozen=True)
class EfficacyCell(BaseCell):
    """One model after some iterations, and after each kind of adversarial training on top of them.

    Rows are split, imputed, scaled and encoded as in :class:`Cell`. The pretrained classifier is softplus with ATEX's
    sharpness. An iteration is one pass over the training rows.

    Parameters
    ----------
    data : str
        Name of a table.
    defense : {"atex", "atex_code", "plain", "adversarial", "logistic_regression"}
        Objective of the iterations: ATEX as in the paper, at its defaults, with the pretrained classifier as teacher;
        ATEX as in its published code; cross-entropy; cross-entropy at FGSM samples. Logistic regression has none.
    seed : int
        Seed of the split and of every training.
    iterations : int
        Number of iterations; 0 is pure adversarial training, of the same classifier in every arm.
    epsilon : float, default=0.1
        l-infinity radius of FGSM and PGD, in training and testing; features lie in [0, 1].
    max_epochs : int, default=10
        Epochs of the adversarial training.
    n_train, n_rows : int, default=5_000 and 2_000
        Training rows, and test rows of all metrics.
    explainer : str, default="gradient"
        Explanation whose P@8 and B are measured, as in :class:`Cell`. No training of an arm uses it.
    """

    data: str
    defense: EfficacyArm
    seed: int
    iterations: int
    epsilon: float = 0.1
    max_epochs: int = 10
    n_train: int = 5_000
    n_rows: int = 2_000
    explainer: MeasuredExplainer = "gradient"

    _constraints = {
        "data": Text(),
        "defense": Choice(ARMS),
        "seed": INTEGER_SEED,
        "iterations": Number(0, integer=True),
        "epsilon": NOT_NEGATIVE,
        "max_epochs": COUNT,
        "n_train": COUNT,
        "n_rows": COUNT,
        "explainer": EXPLAINED_BY,
    }

    def label(self) -> str:
        """As `BaseCell.label`."""
        return f"efficacy-{self.data}-{self.defense}-{self.seed}-{self.iterations}"

    def depends_on(self) -> Any:
        """As `BaseCell.depends_on`."""
        estimators = (_teacher(self.seed), *(kind() for kind in _KINDS))
        data = self.data, library_content(self.data)
        return data, estimators, self.attacks(), _CONSTANT_RATE, _PUBLISHED_CODE, _ROWS

    def attacks(self) -> dict[str, Any]:
        """Build the attacks, still without an estimator: one on explanations, two on predictions."""
        threat = ThreatModel(self.epsilon, norm="inf", bounds=(0.0, 1.0))
        return {
            "explanation": BoundaryMarginAttack(k=_K, threat=ThreatModel(_RADIUS, bounds=(0.0, 1.0)), max_iter=_STEPS),
            "fgsm": FGSM(threat=threat),
            "pgd": PGD(threat=threat, max_iter=20),
        }


#: Classifiers that continue from the teacher, and logistic regression.
_KINDS = (ATEXClassifier, VanillaClassifier, AdversarialTrainingClassifier, LinearClassifier)


def _teacher(seed: int) -> SoftplusClassifier:
    # 15 epochs, because the default number of steps overfits 5,000 rows
    return SoftplusClassifier(beta=3.0, max_epochs=15, random_state=seed)


@lru_cache(maxsize=1)
def _rows(data: str, seed: int, n_train: int, n_rows: int) -> SplitArrays:
    """Return training and test rows and their labels; the first rows of the shuffled split are a random choice."""
    X, y = DATA[data]()
    X_train, X_test, y_train, y_test = train_test_split(X, np.asarray(y), test_size=0.25, stratify=y, random_state=seed)
    X_train, X_test = X_train[:n_train], X_test[:n_rows]
    preprocessor = make_preprocessor(X_train).fit(X_train)
    return preprocessor.transform(X_train), preprocessor.transform(X_test), y_train[:n_train], y_test[:n_rows]


@lru_cache(maxsize=1)
def _pretrained(data: str, seed: int, n_train: int, n_rows: int) -> SoftplusClassifier:
    """Return the classifier that all arms of a split start from."""
    X, _, y, _ = _rows(data, seed, n_train, n_rows)
    return _teacher(seed).fit(X, y)


def continued(
    kind: Callable[..., BaseExplainableClassifier],
    model: BaseExplainableClassifier,
    X: np.ndarray,
    y: np.ndarray,
    **params: Any,
) -> BaseExplainableClassifier:
    """Fit a classifier of `kind` that continues from the network and weights of `model`."""
    return kind(init=model, module=copy.deepcopy(model.module_), **params).fit(X, y)


def _stabilized(cell: EfficacyCell) -> BaseExplainableClassifier:
    """Return the model after its iterations, before the adversarial training."""
    X, _, y, _ = _rows(cell.data, cell.seed, cell.n_train, cell.n_rows)
    if cell.defense == "logistic_regression":
        return LinearClassifier(random_state=cell.seed).fit(X, y)
    teacher = _pretrained(cell.data, cell.seed, cell.n_train, cell.n_rows)
    if cell.iterations == 0:
        return teacher
    params = {"random_state": cell.seed, "max_epochs": cell.iterations, **_CONSTANT_RATE}
    if cell.defense == "atex":
        return continued(ATEXClassifier, teacher, X, y, **params)
    if cell.defense == "atex_code":
        return continued(ATEXClassifier, teacher, X, y, **_PUBLISHED_CODE, **params)
    if cell.defense == "plain":
        return continued(VanillaClassifier, teacher, X, y, **params)
    return continued(AdversarialTrainingClassifier, teacher, X, y, epsilon=cell.epsilon, **params)


@checked(cell=Instance(EfficacyCell))
def run_efficacy_cell(cell: EfficacyCell) -> dict[str, Any]:
    """Stabilize, train adversarially in both ways and measure; return fields and metrics in one flat dict."""
    X, X_test, y, y_test = _rows(cell.data, cell.seed, cell.n_train, cell.n_rows)
    start = time.perf_counter()
    model = _stabilized(cell)
    samples = moved(cell.attacks()["fgsm"], model, X, y)
    params: dict[str, Any] = {"random_state": cell.seed, "max_epochs": cell.max_epochs}
    stages = {
        "before": model,
        "samples": continued(VanillaClassifier, model, np.vstack([X, samples]), np.hstack([y, y]), **params),
        "online": continued(AdversarialTrainingClassifier, model, X, y, epsilon=cell.epsilon, **params),
    }
    seconds = time.perf_counter() - start
    explained = X_test[:_ROWS]
    if cell.explainer != "own":
        # a copy: the teacher is shared with other cells of this process
        model = copy.copy(model).set_params(explainer=explainer_for(cell.explainer, model.feature_means_))
    attack = cell.attacks()["explanation"].set_params(estimator=model)
    found = attack.fit(explained).run(explained)
    row = {**asdict(cell), "majority": float(np.unique(y_test, return_counts=True)[1].max() / len(y_test))}
    row |= {"n_features": X.shape[1], "fit_seconds": seconds}
    row |= {
        "precision_at_k": float(found.precision_at_k.mean()),
        "between_rows_precision": between_rows_precision(found.attribution, _K),
        "prediction_sensitivity": float(prediction_sensitivity(model, explained, found.X_adv).mean()),
        "comprehensiveness": float(comprehensiveness(model, explained, found.attribution).mean()),
        "sufficiency": float(sufficiency(model, explained, found.attribution).mean()),
    }
    for stage, fitted in stages.items():
        row |= {f"{name}_{stage}": value for name, value in scores(fitted, cell.attacks(), X_test, y_test).items()}
    return row


def moved(attack: Any, model: BaseExplainableClassifier, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the rows, moved so as to change the prediction of `model`."""
    return attack.set_params(estimator=model).fit(X).transform(X, y)


def scores(model: BaseExplainableClassifier, attacks: dict[str, Any], X: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Return the metrics of a model on test rows, clean and moved by FGSM and PGD."""
    fgsm, pgd = (moved(attacks[name], model, X, y) for name in ("fgsm", "pgd"))
    return {
        "roc_auc": roc_auc(model, X, y),
        "accuracy": float(model.score(X, y)),
        "fgsm_accuracy": float(model.score(fgsm, y)),
        "fgsm_balanced": float(balanced_accuracy_score(y, model.predict(fgsm))),
        "pgd_accuracy": float(model.score(pgd, y)),
    }


@dataclass(frozen=True)
class ATEXEfficacy:
    r"""Section 4.4 of *Defense against explanation manipulation* on tables, with additional controls.

    A pretrained classifier runs through 0, 1, 2, ... iterations of ATEX. Each of these models is fine-tuned by
    adversarial training with FGSM and attacked again. The paper finds that FGSM accuracy rises with the iterations. Two
    arms separate ATEX from longer training: as many passes of plain cross-entropy, and as many additional passes of
    adversarial training. Each model is trained adversarially in two ways:

    * ``samples``, as in the paper: FGSM samples of all training rows are computed once and added to the rows;
    * ``online``: FGSM samples are computed from the current model at every step (Goodfellow et al., 2015).

    Parameters
    ----------
    data : tuple of str
        Names of tables.
    seeds : int, default=3
        Number of splits.
    iterations : tuple of int, default=(0, 1, 2, 4, 8)
        Passes before the adversarial training.
    epsilons : tuple of float, default=(0.03, 0.1)
        l-infinity radii; 0.1 is the paper's, on features in [0, 1].
    max_epochs, n_train, n_rows, explainer
        As in :class:`EfficacyCell`.

    References
    ----------
    Tang et al., *Defense against explanation manipulation*, 2021, Section 4.4.
    """

    data: tuple[str, ...] = ("adult", "bank", "compas")
    seeds: int = 3
    iterations: tuple[int, ...] = (0, 1, 2, 4, 8)
    epsilons: tuple[float, ...] = (0.03, 0.1)
    max_epochs: int = 10
    n_train: int = 5_000
    n_rows: int = 2_000
    explainer: MeasuredExplainer = "gradient"

    _constraints = {
        "data": Each(Choice(DATA, kind="data set"), least=1),
        "seeds": COUNT,
        "iterations": Each(Number(0, integer=True), least=1, called="iterations"),
        "epsilons": Each(NOT_NEGATIVE, least=1, called="epsilon"),
        "max_epochs": COUNT,
        "n_train": COUNT,
        "n_rows": COUNT,
        "explainer": EXPLAINED_BY,
    }

    def __post_init__(self) -> None:
        check_arguments(self, "")

    def cells(self) -> list[EfficacyCell]:
        """Return all cells, split by split."""
        rest = (self.max_epochs, self.n_train, self.n_rows, self.explainer)
        grid = product(self.data, range(self.seeds), self.epsilons, ARMS)
        cells = (
            EfficacyCell(data, arm, seed, count, epsilon, *rest)
            for data, seed, epsilon, arm in grid
            for count in ((0,) if arm == "logistic_regression" else self.iterations)
        )
        return list(dict.fromkeys(cells))  # repeated values count once

    @checked(out=PathName())
    def run(self, out: str | Path, **options: Any) -> pd.DataFrame:
        """Run or resume everything under `out`; one row per cell. Options as in :func:`run_cells`."""
        return run_cells(self.cells(), out, run=run_efficacy_cell, **options)
