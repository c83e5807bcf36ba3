"""Section 4.4 and Figure 4 of the ATEX paper: adversarial training of image classifiers after ATEX, with a control."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from robustxai._arguments import (
    COUNT,
    INTEGER_SEED,
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
from robustxai.benchmark import BaseCell, run_cells, stored_content
from robustxai.classifiers import (
    AdversarialTrainingClassifier,
    ATEXClassifier,
    BaseExplainableClassifier,
    SoftplusClassifier,
    VanillaClassifier,
)
from robustxai.experiments._precision import full_precision
from robustxai.experiments.atex._efficacy import SplitArrays, continued, moved, scores
from robustxai.experiments.atex._images_models import IMAGE_DATA, TOP_K
from robustxai.metrics import between_rows_precision
from robustxai.nets import ConvNet
from robustxai.perturbation import ThreatModel
from robustxai.protocols import ExperimentSize

__all__ = ["FIGURE_4_ARMS", "FIGURE_4_SIZES", "ATEXFigure4", "Figure4Cell", "Figure4Size", "run_figure_4_cell"]

#: Training in the iterations before the adversarial training.
Figure4Arm: TypeAlias = Literal["atex", "atex_wider", "plain"]
FIGURE_4_ARMS: tuple[Figure4Arm, ...] = get_args(Figure4Arm)
#: Radius of FGSM in training and testing, that of the paper.
_EPSILON = 0.1
#: Delta of the paper's ATEX: the largest that it uses. The paper does not say which one its Figure 4 has.
_DELTA = 0.08
#: Parameters that all classifiers share; a constant rate, so that three iterations continue two.
_COMMON: dict[str, Any] = {"explainer": "logit_gradient", "lr": 1.5e-3}
_CONSTANT_RATE: dict[str, Any] = {"callbacks__lr_schedule": None}
_BETA = 3.0
#: Network of the pretrained classifier, which all others continue.
_NET: dict[str, Any] = {"module": ConvNet}
#: Weight, copies of an image in a step and draws of SmoothGrad, as in the tables.
_COPIES: dict[str, Any] = {"alpha": 2.0, "n_along": 1, "n_across": 2, "n_draws": 4}
#: Parameters of the arms, as those of the same name in the tables.
_ARMS: dict[str, tuple[Callable[..., BaseExplainableClassifier], dict[str, Any]]] = {
    "atex": (ATEXClassifier.paper, {**_COPIES, "epsilon": _DELTA}),
    "atex_wider": (ATEXClassifier, {**_COPIES, "epsilon": 2.0, "epsilon_across": 20.0}),
    "plain": (VanillaClassifier, {}),
}
#: Attack on explanations: iterations and rows.
_STEPS, _ROWS = 25, 50


@dataclass(frozen=True)
class Figure4Size:
    """Numbers of images and epochs.

    Parameters
    ----------
    n_train : int
        Training images; as many FGSM samples are added to them.
    n_test : int
        Test images of all metrics.
    pretraining, adversarial : int
        Epochs of the first classifier, and of the adversarial training after the iterations.
    batch_size : int
        Images per step.
    """

    n_train: int
    n_test: int
    pretraining: int
    adversarial: int
    batch_size: int

    _constraints = dict.fromkeys(("n_train", "n_test", "pretraining", "adversarial", "batch_size"), COUNT)

    def __post_init__(self) -> None:
        check_arguments(self)


#: "small" is for two CPU cores. "full" has the paper's 50,000 FGSM samples, and needs a GPU.
FIGURE_4_SIZES: dict[str, Figure4Size] = {
    "small": Figure4Size(3_000, 500, pretraining=8, adversarial=3, batch_size=50),
    "full": Figure4Size(50_000, 10_000, pretraining=6, adversarial=3, batch_size=200),
}


@dataclass(frozen=True)
class Figure4Cell(BaseCell):
    """One image classifier after some iterations, and after each kind of adversarial training on top of them.

    The pretrained classifier is a softplus network. An iteration is one pass over the training images.

    Parameters
    ----------
    data : {"mnist", "fashion_mnist"}
        Name of the images.
    defense : {"atex", "atex_wider", "plain"}
        Objective of the iterations: the paper's ATEX, ATEX with longer moves across the explanation, or cross-entropy.
    seed : int
        Seed of the draw of images and of every training.
    iterations : int
        Number of iterations; 0 is pure adversarial training, of the same classifier for every defense.
    size : {"small", "full"}, default="small"
        Name from ``FIGURE_4_SIZES``.
    """

    data: str
    defense: Figure4Arm
    seed: int
    iterations: int
    size: ExperimentSize = "small"

    _constraints = {
        "data": Choice(IMAGE_DATA, kind="data set"),
        "defense": Choice(FIGURE_4_ARMS, kind="arm"),
        "seed": INTEGER_SEED,
        "iterations": Number(0, integer=True),
        "size": Text(),
    }

    def label(self) -> str:
        """As `BaseCell.label`."""
        return f"figure-4-{self.data}-{self.defense}-{self.seed}-{self.iterations}-{self.size}"

    def depends_on(self) -> Any:
        """As `BaseCell.depends_on`."""
        budget = FIGURE_4_SIZES[self.size]
        kind, params = _ARMS[self.defense]
        estimators = _teacher(self.seed, budget), kind(**params), AdversarialTrainingClassifier()
        data = self.data, IMAGE_DATA[self.data], stored_content(self.data)
        return data, budget, estimators, self.attacks(), _COMMON, _CONSTANT_RATE, _EPSILON, _ROWS

    def attacks(self) -> dict[str, Any]:
        """Build the attacks, still without an estimator: one on explanations, two on predictions."""
        threat = ThreatModel(_EPSILON, norm="inf", bounds=(0.0, 1.0))
        weaker = ThreatModel(_DELTA, norm="inf", bounds=(0.0, 1.0))
        return {
            "explanation": BoundaryMarginAttack(k=TOP_K, threat=weaker, max_iter=_STEPS, n_boundary=TOP_K // 2),
            "fgsm": FGSM(threat=threat),
            "pgd": PGD(threat=threat, max_iter=20),
        }


def _teacher(seed: int, budget: Figure4Size) -> SoftplusClassifier:
    params = {"batch_size": budget.batch_size, "max_epochs": budget.pretraining, "random_state": seed}
    return SoftplusClassifier(beta=_BETA, **_NET, **_COMMON, **params)


@lru_cache(maxsize=1)
def _images(data: str, seed: int, size: str) -> SplitArrays:
    budget, load = FIGURE_4_SIZES[size], IMAGE_DATA[data]
    options: dict[str, Any] = {"random_state": seed, "return_X_y": True}
    X, y = load(subset="train", n_rows=budget.n_train, **options)
    X_test, y_test = load(subset="test", n_rows=budget.n_test, **options)
    order, order_test = (
        np.random.RandomState(seed).permutation(len(X)),
        np.random.RandomState(seed).permutation(len(X_test)),
    )
    return X[order], X_test[order_test], y[order], y_test[order_test]


@lru_cache(maxsize=1)
def _pretrained(data: str, seed: int, size: str) -> SoftplusClassifier:
    """Return the classifier that all arms of a seed start from."""
    X, _, y, _ = _images(data, seed, size)
    return _teacher(seed, FIGURE_4_SIZES[size]).fit(X, y)


@checked(cell=Instance(Figure4Cell))
def run_figure_4_cell(cell: Figure4Cell) -> dict[str, Any]:
    """Iterate, train adversarially in both ways and measure; return fields and metrics in one flat dict."""
    with full_precision():
        return _measured(cell)


def _measured(cell: Figure4Cell) -> dict[str, Any]:
    X, X_test, y, y_test = _images(cell.data, cell.seed, cell.size)
    budget, attacks = FIGURE_4_SIZES[cell.size], cell.attacks()
    params = {**_COMMON, "batch_size": budget.batch_size, "random_state": cell.seed}
    model: BaseExplainableClassifier = _pretrained(cell.data, cell.seed, cell.size)
    start = time.perf_counter()
    if cell.iterations:
        kind, own = _ARMS[cell.defense]
        model = continued(kind, model, X, y, **{**params, **own, **_CONSTANT_RATE, "max_epochs": cell.iterations})
    params["max_epochs"] = budget.adversarial
    samples = moved(attacks["fgsm"], model, X, y)
    stages = {
        "before": model,
        "samples": continued(VanillaClassifier, model, np.concatenate([X, samples]), np.hstack([y, y]), **params),
        "online": continued(AdversarialTrainingClassifier, model, X, y, epsilon=_EPSILON, **params),
    }
    seconds = time.perf_counter() - start
    explained = X_test[:_ROWS]
    found = attacks["explanation"].set_params(estimator=model).fit(explained).run(explained)
    row = {**asdict(cell), "epsilon": _EPSILON, "k": TOP_K, "n_train": len(X), "n_rows": len(X_test)}
    row |= {"majority": float(np.unique(y_test, return_counts=True)[1].max() / len(y_test)), "fit_seconds": seconds}
    row["precision_at_k"] = float(found.precision_at_k.mean())
    row["between_rows_precision"] = between_rows_precision(found.attribution, TOP_K)
    for stage, fitted in stages.items():
        row |= {f"{name}_{stage}": value for name, value in scores(fitted, attacks, X_test, y_test).items()}
    return row


@dataclass(frozen=True)
class ATEXFigure4:
    r"""Section 4.4 and Figure 4 of *Defense against explanation manipulation*: images.

    As :class:`ATEXEfficacy` on tables: a pretrained classifier runs through 0, 1, 2, ... iterations of ATEX. Each of
    these models is fine-tuned by adversarial training with FGSM and attacked again.

    Parameters
    ----------
    data : tuple of str, default=("mnist", "fashion_mnist")
        Names of the images.
    seeds : int, default=3
        Number of draws of images, each with its own trainings.
    size : {"small", "full"}, default="small"
        Name from ``FIGURE_4_SIZES``.
    iterations : tuple of int, default=(0, 1, 3, 5)
        Passes before the adversarial training. The paper's figure has no numbers; its text runs ATEX for five.
    arms : tuple of str, default=FIGURE_4_ARMS
        Names of the objectives.

    References
    ----------
    Tang et al., *Defense against explanation manipulation*, 2021, Section 4.4.
    """

    data: tuple[str, ...] = ("mnist", "fashion_mnist")
    seeds: int = 3
    size: ExperimentSize = "small"
    iterations: tuple[int, ...] = (0, 1, 3, 5)
    arms: tuple[Figure4Arm, ...] = FIGURE_4_ARMS

    _constraints = {
        "data": Each(Choice(IMAGE_DATA, kind="data set"), least=1),
        "seeds": COUNT,
        "size": Choice(FIGURE_4_SIZES, kind="size"),
        "iterations": Each(Number(0, integer=True), least=1, called="iterations"),
        "arms": Each(Choice(FIGURE_4_ARMS, kind="arm"), least=1),
    }

    def __post_init__(self) -> None:
        check_arguments(self, "")

    def cells(self) -> list[Figure4Cell]:
        """Return all cells, seed by seed, so that a stopped run leaves whole lines of some seeds."""
        grid = product(range(self.seeds), self.data, self.arms, self.iterations)
        return list(dict.fromkeys(Figure4Cell(data, arm, seed, n, self.size) for seed, data, arm, n in grid))

    @checked(out=PathName())
    def run(self, out: str | Path, **options: Any) -> pd.DataFrame:
        """Run or resume everything under `out`; one row per cell. Options as in :func:`run_cells`."""
        return run_cells(self.cells(), out, run=run_figure_4_cell, **options)
