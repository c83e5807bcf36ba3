"""Models of the ATEX paper's images: sizes, data and arms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from robustxai._arguments import COUNT, check_arguments, optional
from robustxai.classifiers import (
    ATEXClassifier,
    BaseExplainableClassifier,
    LinearClassifier,
    R2ETClassifier,
    SoftplusClassifier,
    VanillaClassifier,
)
from robustxai.datasets import load_fashion_mnist, load_mnist
from robustxai.nets import ConvNet

__all__ = [
    "IMAGE_ARMS",
    "IMAGE_DATA",
    "OWN_EPSILON",
    "SIZES",
    "TOP_K",
    "ImageArm",
    "Size",
    "as_input",
    "fitted_arm",
    "image_estimator",
    "image_rows",
    "pretrained",
]

#: Images and their labels.
LabeledImages: TypeAlias = tuple[np.ndarray, np.ndarray]

#: Size of the top set.
TOP_K = 50
IMAGE_DATA: dict[str, Callable[..., Any]] = {"mnist": load_mnist, "fashion_mnist": load_fashion_mnist}
ImageArm: TypeAlias = Literal[
    "logistic_regression",
    "vanilla",
    "softplus",
    "plain",
    "atex_0.02",
    "atex_0.04",
    "atex_0.08",
    "atex_wider",
    "atex_code",
    "r2et",
]
IMAGE_ARMS: tuple[ImageArm, ...] = get_args(ImageArm)
#: Arms that are the paper's ATEX -> their Delta, the only radius at which they are attacked.
OWN_EPSILON: dict[str, float] = {"atex_0.02": 0.02, "atex_0.04": 0.04, "atex_0.08": 0.08}


@dataclass(frozen=True)
class Size:
    """Numbers of images, epochs and steps.

    Parameters
    ----------
    n_train : int
        Training images.
    n_test : int
        Test images for the accuracy.
    n_rows : int
        Test images that are attacked, and that all other figures are of.
    max_iter : int
        Maximum number of iterations of each attack.
    max_epochs : int
        Epochs of the classifiers that start from random weights.
    fine_tuning : int
        Epochs of the classifiers that start from the softplus classifier.
    n_tuned : int
        Training images of the classifiers that start from the softplus classifier.
    n_across : int
        Copies of every image in a step of every kind of ATEX; the published code has 8.
    batch_size : int, default=50
        Images per step.
    internal_batch_size : int, optional
        Images that are computed at once; all of a batch by default.
    n_draws : int
        Draws of the SmoothGrad maps for the smoothness.
    """

    n_train: int
    n_test: int
    n_rows: int
    max_iter: int
    max_epochs: int
    fine_tuning: int
    n_tuned: int
    n_across: int
    batch_size: int = 50
    internal_batch_size: int | None = None
    n_draws: int = 100

    _constraints = {
        **dict.fromkeys(
            (
                "n_train",
                "n_test",
                "n_rows",
                "max_iter",
                "max_epochs",
                "fine_tuning",
                "n_tuned",
                "n_across",
                "batch_size",
                "n_draws",
            ),
            COUNT,
        ),
        "internal_batch_size": optional(COUNT),
    }

    def __post_init__(self) -> None:
        check_arguments(self)


#: "small" takes half an hour on two cores. "full" needs a GPU: all images, and half of the published code's 200 steps.
SIZES: dict[str, Size] = {
    "small": Size(
        10_000,
        10_000,
        50,
        25,
        max_epochs=8,
        fine_tuning=3,
        n_tuned=5_000,
        n_across=2,
        # parts with activations below 32 MB let the allocator reuse memory, which saves a tenth of the time
        internal_batch_size=25,
    ),
    "full": Size(60_000, 10_000, 1_000, 100, max_epochs=8, fine_tuning=5, n_tuned=60_000, n_across=8, batch_size=200),
}
#: Network of the paper with its optimizer settings, explained by the gradient of the logit.
_COMMON: dict[str, Any] = {"explainer": "logit_gradient", "module": ConvNet, "lr": 1.5e-3}
#: Sharpness of every softplus.
_BETA = 3.0
#: Weight of the ATEX term, summed over all copies.
_WEIGHT = 4.0


#: Parameters of an arm that differ from its classifier's defaults. The wider ATEX moves further across the explanation
#: than along it; it was chosen on validation images. The published code also moves further across, by noise in every
#: pixel.
_PARAMS: dict[str, dict[str, Any]] = {
    "vanilla": {},
    "softplus": {"beta": _BETA},
    "plain": {"beta": _BETA},
    **{
        arm: {"module__beta": _BETA, "epsilon": epsilon, "n_along": 1, "n_draws": 4}
        for arm, epsilon in OWN_EPSILON.items()
    },
    "atex_wider": {"module__beta": _BETA, "epsilon": 2.0, "epsilon_across": 20.0, "n_along": 1, "n_draws": 4},
    "atex_code": {"module__beta": _BETA, "variant": "reference", "epsilon": 0.08, "n_along": 2},
    "r2et": {"module__beta": _BETA, "k": TOP_K},
}
#: Arms that continue from the softplus classifier, with a higher learning rate, because there are few steps.
_TUNED: dict[str, type[BaseExplainableClassifier]] = {
    "plain": SoftplusClassifier,
    **dict.fromkeys(OWN_EPSILON, ATEXClassifier),
    "atex_wider": ATEXClassifier,
    "atex_code": ATEXClassifier,
    "r2et": R2ETClassifier,
}
_TUNED_RATE = 5e-3


def image_estimator(arm: str, seed: int, budget: Size, init: Any = None) -> BaseExplainableClassifier:
    """Build the unfitted classifier of an arm."""
    if arm == "logistic_regression":
        return LinearClassifier(explainer=_COMMON["explainer"], random_state=seed)
    params = {**_COMMON, **_PARAMS[arm], "random_state": seed, "max_epochs": budget.max_epochs}
    params |= {"batch_size": budget.batch_size, "internal_batch_size": budget.internal_batch_size}
    if arm in _TUNED:
        params |= {"init": init, "lr": _TUNED_RATE, "max_epochs": budget.fine_tuning}
    if arm.startswith("atex"):
        params["n_across"] = budget.n_across
    if arm in OWN_EPSILON or arm == "atex_wider":
        params["alpha"] = _WEIGHT / (params["n_along"] * budget.n_across)
    if arm in OWN_EPSILON:
        return ATEXClassifier.paper(**params)
    if arm == "vanilla":
        return VanillaClassifier(**params)
    return _TUNED.get(arm, SoftplusClassifier)(**params)


@lru_cache(maxsize=1)
def image_rows(data: str, seed: int, size: str, part: str) -> tuple[LabeledImages, LabeledImages]:
    """Return training images and evaluated images, both in random order."""
    budget, load = SIZES[size], IMAGE_DATA[data]
    options: dict[str, Any] = {"random_state": seed, "return_X_y": True}
    n_evaluated = max(budget.n_test, budget.n_rows)
    if part == "test":
        train = load(subset="train", n_rows=budget.n_train, **options)
        evaluated = load(subset="test", n_rows=n_evaluated, **options)
    else:
        n_evaluated = min(n_evaluated, 2_000)
        X, y = load(subset="train", n_rows=None, **options)
        order = np.random.RandomState(seed).permutation(len(X))
        evaluated = X[order[:n_evaluated]], y[order[:n_evaluated]]
        train = X[order[n_evaluated:][: budget.n_train]], y[order[n_evaluated:][: budget.n_train]]
    return _shuffled(train, seed), _shuffled(evaluated, seed)


def _shuffled(images: LabeledImages, seed: int) -> LabeledImages:
    X, y = images
    order = np.random.RandomState(seed).permutation(len(X))
    return X[order], y[order]


@lru_cache(maxsize=1)
def pretrained(data: str, seed: int, size: str, part: str) -> BaseExplainableClassifier:
    """Return the softplus classifier of a seed, from which the tuned arms start."""
    (X, y), _ = image_rows(data, seed, size, part)
    return image_estimator("softplus", seed, SIZES[size]).fit(X, y)


def fitted_arm(arm: str, data: str, seed: int, size: str, part: str) -> BaseExplainableClassifier:
    """Return the fitted model of an arm."""
    budget = SIZES[size]
    if arm == "softplus":
        return pretrained(data, seed, size, part)
    (X, y), _ = image_rows(data, seed, size, part)
    if arm in _TUNED:
        X, y = X[: budget.n_tuned], y[: budget.n_tuned]
        return image_estimator(arm, seed, budget, init=pretrained(data, seed, size, part)).fit(X, y)
    return image_estimator(arm, seed, budget).fit(as_input(arm, X), y)


def as_input(arm: str, X: np.ndarray) -> np.ndarray:
    """Return X in the shape of the arm's input: a linear model has one column per pixel."""
    return X.reshape(len(X), -1) if arm == "logistic_regression" else X
