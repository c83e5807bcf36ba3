"""Section 4.2 of the ATEX paper: explanations of images under attack, with additional controls."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from robustxai._arguments import (
    COUNT,
    INTEGER_SEED,
    NOT_NEGATIVE,
    Choice,
    Each,
    Instance,
    PathName,
    Text,
    check_arguments,
    checked,
)
from robustxai.attacks import (
    AttackResult,
    BoundaryMarginAttack,
    MSEAttack,
    TargetedManipulation,
    TopKManipulation,
)
from robustxai.benchmark import PART, BaseCell, run_cells, stored_content
from robustxai.classifiers import BaseExplainableClassifier
from robustxai.exceptions import EvaluationWarning
from robustxai.experiments._precision import full_precision
from robustxai.experiments.atex._images_models import (
    IMAGE_ARMS,
    IMAGE_DATA,
    OWN_EPSILON,
    SIZES,
    TOP_K,
    ImageArm,
    as_input,
    fitted_arm,
    image_estimator,
    image_rows,
    pretrained,
)
from robustxai.explainers import SmoothGrad
from robustxai.metrics import (
    between_rows_precision,
    comprehensiveness,
    spearman_correlation,
    ssim,
    sufficiency,
    top_k_intersection,
)
from robustxai.perturbation import ThreatModel
from robustxai.protocols import EvaluatedPart, ExperimentSize

__all__ = ["EPSILONS", "IMAGE_ATTACKS", "ATEXImages", "ImageCell", "run_image_cell"]

#: l-infinity radii of the paper.
EPSILONS = (0.02, 0.04, 0.08)
#: The two attacks of the paper, and the lowest value of these and the library's attacks, for every row and metric.
IMAGE_ATTACKS = ("untargeted", "targeted", "strongest")
#: Side of a target region in pixels, as in the paper, and the number of regions that share the rows.
_REGION, _N_REGIONS = 5, 4
#: Numbers of a size that stand in the results.
_BUDGET = ("n_train", "max_epochs", "n_tuned", "fine_tuning", "n_across", "max_iter")
#: Total length of the steps of the paper's attacks, in radii: 200 of .002 at radius .08, as in the published code.
_REACH = 5.0


@dataclass(frozen=True)
class ImageCell(BaseCell):
    """One model of images, attacked in every way at every radius, or at its own one.

    Pixels lie in [0, 1]. Tuned arms continue from the weights of the softplus classifier of the same seed. The arm
    "plain" continues its cross-entropy for as many passes, which separates a defense from longer training. The arms
    "atex_0.02", "atex_0.04" and "atex_0.08" are the paper's ATEX, whose Delta is the radius of the attack: each is
    attacked at that radius only.

    Parameters
    ----------
    data : {"mnist", "fashion_mnist"}
        Name of the images.
    arm : str
        Name from ``IMAGE_ARMS``.
    seed : int
        Seed of the draw of images, of every training, of the target regions and of the attacks.
    size : str, default="small"
        Name from ``SIZES``.
    part : {"test", "validation"}, default="test"
        "validation" attacks held-out training images instead of the test images.
    """

    data: str
    arm: ImageArm
    seed: int
    size: ExperimentSize = "small"
    part: EvaluatedPart = "test"

    _constraints = {
        "data": Choice(IMAGE_DATA, kind="data set"),
        "arm": Choice(IMAGE_ARMS, kind="arm"),
        "seed": INTEGER_SEED,
        "size": Text(),
        "part": PART,
    }

    def label(self) -> str:
        """As `BaseCell.label`."""
        return f"images-{self.data}-{self.arm}-{self.seed}-{self.size}-{self.part}"

    def depends_on(self) -> Any:
        """As `BaseCell.depends_on`."""
        budget = SIZES[self.size]
        estimators = [image_estimator(arm, self.seed, budget) for arm in (self.arm, "softplus")]
        attacks = [self.attacks(epsilon) for epsilon in self.epsilons]
        data = self.data, IMAGE_DATA[self.data], stored_content(self.data)
        return data, budget, estimators, attacks, self.epsilons, TOP_K, _REGION, _N_REGIONS

    @property
    def epsilons(self) -> tuple[float, ...]:
        """Radii of the attacks."""
        return (OWN_EPSILON[self.arm],) if self.arm in OWN_EPSILON else EPSILONS

    @checked(epsilon=NOT_NEGATIVE)
    def attacks(self, epsilon: float) -> dict[str, Any]:
        """Build the attacks at one radius, still without an estimator; the targeted one without its region."""
        max_iter = SIZES[self.size].max_iter
        options: dict[str, Any] = {
            "k": TOP_K,
            "threat": ThreatModel(epsilon, norm="inf", bounds=(0.0, 1.0)),
            "max_iter": max_iter,
            "random_state": self.seed,
        }
        published = {**options, "step_size": _REACH * epsilon / max_iter, "momentum": 0.0, "keep": "last"}
        return {
            "untargeted": TopKManipulation(**published),
            "targeted": TargetedManipulation(**published),
            # half of the top set: three units at its edge, the default, are few of fifty
            "boundary": BoundaryMarginAttack(n_boundary=TOP_K // 2, **options),
            "mse": MSEAttack(**options),
        }


@checked(cell=Instance(ImageCell))
def run_image_cell(cell: ImageCell) -> dict[str, Any]:
    """Train, run all attacks at every radius and measure; return fields and metrics in one flat dict."""
    with full_precision():
        return _measured(cell)


def _measured(cell: ImageCell) -> dict[str, Any]:
    key, budget = (cell.data, cell.seed, cell.size, cell.part), SIZES[cell.size]
    _, (X_test, y_test) = image_rows(*key)
    reference = pretrained(*key)
    model = fitted_arm(cell.arm, *key)
    images, X_test = X_test[: budget.n_rows], as_input(cell.arm, X_test)
    X, labels = X_test[: budget.n_rows], model.predict(X_test[: budget.n_rows])
    own = model.explain(X, y=labels).reshape(images.shape)
    # from the history, because the softplus classifier may have been trained for another cell
    seconds = sum(float(epoch["dur"]) for epoch in model.history_)
    row: dict[str, Any] = {**asdict(cell), "fit_seconds": seconds, "n_rows": len(X)}
    row |= {name: getattr(budget, name) for name in _BUDGET}
    row["accuracy"] = float(model.score(X_test[: budget.n_test], y_test[: budget.n_test]))
    row["between_rows_precision"] = between_rows_precision(own, TOP_K)
    row["comprehensiveness"] = float(comprehensiveness(model, X).mean())
    row["sufficiency"] = float(sufficiency(model, X).mean())
    smooth = SmoothGrad(budget.n_draws, 0.1, output="logit", internal_batch_size=256)
    row["smoothness"] = float(ssim(own, _map(smooth, reference, images, reference.predict(images))).mean())
    row["own_smoothness"] = float(ssim(own, _map(smooth, model, X, labels).reshape(images.shape)).mean())
    for epsilon in cell.epsilons:
        for attack, figures in _attacked(cell, model, X, images.shape, epsilon).items():
            row |= {f"{metric}_{attack}_{epsilon:g}": float(np.nanmean(values)) for metric, values in figures.items()}
    return row


def _map(explainer: SmoothGrad, model: BaseExplainableClassifier, X: np.ndarray, labels: np.ndarray) -> np.ndarray:
    x = torch.tensor(X, dtype=torch.float32, device=model.device_)
    return explainer(model.module_, x, model.encode_target(X, labels)).detach().cpu().numpy()


def _attacked(
    cell: ImageCell, model: BaseExplainableClassifier, X: np.ndarray, shape: tuple[int, ...], epsilon: float
) -> dict[str, dict[str, np.ndarray]]:
    """Return every metric of every row under each of ``IMAGE_ATTACKS``."""
    attacks = {name: attack.set_params(estimator=model) for name, attack in cell.attacks(epsilon).items()}
    with warnings.catch_warnings():
        # linear models, whose logits have constant gradients, stand in the table as a reference
        warnings.simplefilter("ignore", EvaluationWarning)
        results = [
            attacks["untargeted"].run(X),
            _targeted(attacks["targeted"], X, cell.seed),
            attacks["boundary"].run(X),
            attacks["mse"].run(X),
        ]
    found = [_similarity(result, shape) for result in results]
    strongest = {metric: np.min([figures[metric] for figures in found], axis=0) for metric in found[0]}
    return dict(zip(IMAGE_ATTACKS, [*found[:2], strongest]))


def _similarity(result: AttackResult, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    clean, moved = (np.asarray(a).reshape(shape) for a in (result.attribution, result.attribution_adv))
    return {
        "rank_correlation": spearman_correlation(clean, moved),
        "top_k_intersection": top_k_intersection(clean, moved, TOP_K),
        "ssim": ssim(clean, moved),
    }


def _targeted(attack: TargetedManipulation, X: np.ndarray, seed: int) -> AttackResult:
    """Run the paper's targeted attack, with a random region for each part of the rows."""
    draws = np.random.RandomState(seed)
    parts = []
    for rows in np.array_split(X, min(_N_REGIONS, len(X))):
        top, left = draws.randint(28 - _REGION + 1, size=2)
        target = np.zeros((28, 28), dtype=bool)
        target[top : top + _REGION, left : left + _REGION] = True
        parts.append(attack.set_params(target_units=target.ravel()).run(rows))
    names = ("X_adv", "attribution", "attribution_adv", "precision_at_k", "first_flip")
    fields: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return AttackResult(**fields, n_iter=attack.max_iter)


@dataclass(frozen=True)
class ATEXImages:
    r"""Tables 1 to 4 of *Defense against explanation manipulation*, with additional controls.

    Parameters
    ----------
    data : tuple of str, default=("mnist", "fashion_mnist")
        Names of the images.
    seeds : int, default=3
        Number of draws of images, each with its own trainings.
    size : {"small", "full"}, default="small"
        Name from ``SIZES``: half an hour on two cores, or the numbers of the paper.
    arms : tuple of str, default=IMAGE_ARMS
        Names of the models.
    part : {"test", "validation"}, default="test"
        As in :class:`ImageCell`.

    Raises
    ------
    ValueError
        An unknown name (the message has the nearest valid one), or no name.

    References
    ----------
    Tang et al., *Defense against explanation manipulation*, 2021, Section 4.2.
    """

    data: tuple[str, ...] = ("mnist", "fashion_mnist")
    seeds: int = 3
    size: ExperimentSize = "small"
    arms: tuple[ImageArm, ...] = IMAGE_ARMS
    part: EvaluatedPart = "test"

    _constraints = {
        "data": Each(Choice(IMAGE_DATA, kind="data set"), least=1),
        "seeds": COUNT,
        "size": Choice(SIZES, kind="size"),
        "arms": Each(Choice(IMAGE_ARMS, kind="arm"), least=1),
        "part": PART,
    }

    def __post_init__(self) -> None:
        check_arguments(self, "")

    def cells(self) -> list[ImageCell]:
        """Return all cells, seed by seed, so that a stopped run leaves all arms and data sets of some seeds."""
        grid = product(range(self.seeds), self.data, self.arms)
        return list(dict.fromkeys(ImageCell(data, arm, seed, self.size, self.part) for seed, data, arm in grid))

    @checked(out=PathName())
    def run(self, out: str | Path, **options: Any) -> pd.DataFrame:
        """Run or resume everything under `out`; one row per cell. Options as in :func:`run_cells`."""
        return run_cells(self.cells(), out, run=run_image_cell, **options)
