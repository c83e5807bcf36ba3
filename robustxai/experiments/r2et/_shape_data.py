"""Images, pairs and graphs of the R2ET paper, with the network and hyper-parameters of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from sklearn.model_selection import train_test_split

from robustxai.datasets import load_abide, load_cifar10, load_mnist, make_pairs, pair_folds
from robustxai.nets import ResNet9

__all__ = ["SHAPES", "DataSpec", "SplitArrays"]

#: Training samples, test samples, and the labels of both.
SplitArrays: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _digit_pairs(seed: int, part: str, size: dict[str, int]) -> SplitArrays:
    """Load pairs of digits, same or not. Each test digit is paired with a training digit."""
    X, y = load_mnist(subset="train", n_rows=size["n_train"] + size["n_test"], random_state=seed, return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=size["n_test"], stratify=y, random_state=seed)
    if part == "test":
        X_test, y_test = load_mnist(subset="test", n_rows=size["n_test"], random_state=seed, return_X_y=True)
    train = make_pairs(X, y, n_pairs=size["n_pairs"], random_state=seed)
    test = make_pairs(
        np.concatenate([X, X_test]),
        np.concatenate([y, y_test]),
        items=np.arange(len(X), len(X) + len(X_test)),
        partners=np.arange(len(X)),
        n_pairs=4 * size["n_test"],
        random_state=seed,
    )
    return train.X, test.X, train.y, test.y


def _color_images(seed: int, part: str, size: dict[str, int]) -> SplitArrays:
    """Load images of two classes; the validation part is held out from the training images."""
    options: dict[str, Any] = {"classes": ("deer", "ship"), "return_X_y": True, "random_state": seed}
    X, y = load_cifar10(subset="train", **options)
    X, X_held, y, y_held = train_test_split(X, y, test_size=size["n_test"], stratify=y, random_state=seed)
    X, y = X[: size["n_train"]], y[: size["n_train"]]
    if part == "test":
        X_held, y_held = load_cifar10(subset="test", **options)
    return X, X_held, y, y_held


def _connectome_pairs(seed: int, part: str, size: dict[str, int]) -> SplitArrays:
    """Load pairs of subjects, same diagnosis or not; three folds of subjects train, one validates, one tests."""
    X, y = load_abide(site="nyu", return_X_y=True)
    folds = list(pair_folds(X, y, n_train_pairs=size["n_pairs"], random_state=seed // 5))
    fold = folds[seed % 5]
    held_out = fold.test if part == "test" else fold.validation
    return fold.train.X, held_out.X, fold.train.y, held_out.y


@dataclass(frozen=True)
class DataSpec:
    """A data set with its network and its attack.

    Parameters
    ----------
    load : callable
        (seed, "validation" or "test", size) -> training and test samples with their labels.
    stored : str
        Name of the data set that `load` reads.
    sizes : dict
        "small" and "full": numbers for `load` and the training, of attacked rows, and of steps of the paper's attacks.
        Methods that use explanations in training spend the first `warm_up_epochs` epochs on plain training:
        the network has to have learnt something that can be explained.
    k, epsilon : int and float
        Size of the paper's top set, and the l2 radius at which its equal steps end.
    bounds : (float, float), optional
        Box of the inputs.
    common : parameters
        Parameters of every method: network, learning rate, batch size.
    weights : dict
        Method -> its own parameters, chosen on validation samples of seed 0.
    """

    load: Callable[[int, str, dict[str, int]], SplitArrays]
    stored: str
    sizes: dict[str, dict[str, int]]
    k: int
    epsilon: float
    bounds: tuple[float, float] | None
    common: dict[str, Any]
    weights: dict[str, dict[str, Any]] = field(default_factory=dict)


_SIAMESE_CONV = {"module__encoder_params": {"channels": (16, 32), "hidden": (64,), "pool": "average"}}


def _weights(
    *,
    beta: float,
    decay: float,
    hessian: float,
    gap: float,
    relative: float,
    minimal: float,
    minimal_relative: float | None = None,
    n_pairs: int | None = None,
) -> dict[str, dict[str, Any]]:
    """Return the parameters of every method; all share one softplus, sharp enough to be as accurate as ReLU."""
    smooth = {"module__beta": beta}
    every = {**smooth, "pairs": "all", "lambda_gap": gap}
    return {
        "WD": {"weight_decay": decay},
        "SP": smooth,
        "Est-H": {**smooth, "lambda_hessian": hessian},
        "R2ET\\H": {**every, "lambda_hessian": 0.0},
        "R2ET": {**every, "lambda_hessian": relative},
        "R2ET-mm": {
            **smooth,
            "pairs": "minimal",
            "n_pairs": n_pairs,
            "lambda_gap": minimal,
            "lambda_hessian": relative if minimal_relative is None else minimal_relative,
        },
    }


SHAPES: dict[str, DataSpec] = {
    "mnist": DataSpec(
        _digit_pairs,
        "mnist",
        {
            "small": {
                "n_train": 3000,
                "n_test": 500,
                "n_pairs": 8000,
                "epochs": 6,
                "warm_up_epochs": 2,
                "n_rows": 30,
                "paper_steps": 50,
            },
            "full": {
                "n_train": 50_000,
                "n_test": 2500,
                "n_pairs": 200_000,
                "epochs": 20,
                "warm_up_epochs": 7,
                "n_rows": 500,
                "paper_steps": 100,
            },
        },
        k=50,
        epsilon=1.0,
        bounds=(0.0, 1.0),
        common={"lr": 0.002, "batch_size": 64, **_SIAMESE_CONV},
        weights=_weights(beta=10.0, decay=1e-4, hessian=0.05, gap=0.01, relative=0.03, minimal=0.03),
    ),
    "cifar10": DataSpec(
        _color_images,
        "cifar10",
        {
            "small": {
                "n_train": 2000,
                "n_test": 500,
                "epochs": 8,
                "warm_up_epochs": 4,
                "n_rows": 30,
                "paper_steps": 50,
            },
            "full": {
                "n_train": 2500,
                "n_test": 500,
                "epochs": 60,
                "warm_up_epochs": 30,
                "n_rows": 500,
                "paper_steps": 100,
            },
        },
        k=100,
        epsilon=0.5,
        bounds=(0.0, 1.0),
        weights=_weights(beta=10.0, decay=1e-4, hessian=0.002, gap=0.001, relative=0.001, minimal=0.003),
        common={"lr": 0.005, "batch_size": 64, "module": ResNet9, "module__width": 8, "module__pool": "average"},
    ),
    "abide": DataSpec(
        _connectome_pairs,
        "abide_nyu",
        {
            "small": {"n_pairs": 1000, "epochs": 20, "warm_up_epochs": 10, "n_rows": 30, "paper_steps": 50},
            "full": {"n_pairs": 5000, "epochs": 20, "warm_up_epochs": 10, "n_rows": 300, "paper_steps": 100},
        },
        k=50,
        epsilon=1.0,
        bounds=(-1.0, 1.0),
        common={"lr": 0.005, "batch_size": 32, "module__encoder": "graph"},
        weights=_weights(
            beta=30.0,
            decay=1e-5,
            hessian=0.002,
            gap=0.001,
            relative=0.01,
            minimal=0.03,
            minimal_relative=0.03,
            n_pairs=20,
        ),
    ),
}
