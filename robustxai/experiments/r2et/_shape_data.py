"""Images, pairs and graphs of the R2ET paper, with the network and hyper-parameters of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from sklearn.model_selection import train_test_split

from robustxai._arguments import COUNT, Instance, Number, check_arguments, optional
from robustxai.datasets import load_abide, load_cifar10, load_mnist, make_pairs, pair_folds
from robustxai.nets import ResNet9

__all__ = ["SHAPES", "DataSpec", "ShapeSize", "SplitArrays"]

#: Training samples, test samples, and the labels of both.
SplitArrays: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class ShapeSize:
    """Numbers of samples, epochs and steps of one data set.

    Parameters
    ----------
    epochs : int
        Passes over the training samples, the same for every method.
    warm_up_epochs : int
        Those of them that methods which use explanations spend on plain training: the network has to have learnt
        something that can be explained.
    n_rows : int
        Attacked rows.
    paper_steps : int
        Equal steps of the paper's attacks; the paper has 100.
    n_train, n_test : int, optional
        Training and held-out samples, of which pairs are made; None for all that there are.
    n_pairs : int, optional
        Training pairs; None for all that there are with both labels equally often.
    net : dict
        Parameters of every classifier: learning rate, batch size, width.
    """

    epochs: int
    warm_up_epochs: int
    n_rows: int
    paper_steps: int
    n_train: int | None = None
    n_test: int | None = None
    n_pairs: int | None = None
    net: dict[str, Any] = field(default_factory=dict)

    _constraints = {
        "epochs": COUNT,
        "warm_up_epochs": Number(0, integer=True),
        "n_rows": COUNT,
        "paper_steps": COUNT,
        "n_train": optional(COUNT),
        "n_test": optional(COUNT),
        "n_pairs": optional(COUNT),
        "net": Instance(dict),
    }

    def __post_init__(self) -> None:
        check_arguments(self)


def _digit_pairs(seed: int, part: str, size: ShapeSize) -> SplitArrays:
    """Load pairs of digits, same or not. Each test digit is paired with a training digit."""
    n_train, n_test = size.n_train or 0, size.n_test or 0
    X, y = load_mnist(subset="train", n_rows=n_train + n_test, random_state=seed, return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=n_test, stratify=y, random_state=seed)
    if part == "test":
        X_test, y_test = load_mnist(subset="test", n_rows=n_test, random_state=seed, return_X_y=True)
    train = make_pairs(X, y, n_pairs=size.n_pairs, random_state=seed)
    test = make_pairs(
        np.concatenate([X, X_test]),
        np.concatenate([y, y_test]),
        items=np.arange(len(X), len(X) + len(X_test)),
        partners=np.arange(len(X)),
        n_pairs=4 * n_test,
        random_state=seed,
    )
    return train.X, test.X, train.y, test.y


#: Means and standard deviations of the channels of ImageNet, with which the published code standardizes CIFAR-10.
_MEANS = np.array((0.485, 0.456, 0.406), np.float32)[:, None, None]
_DEVIATIONS = np.array((0.229, 0.224, 0.225), np.float32)[:, None, None]


def _standardized(X: np.ndarray) -> np.ndarray:
    return (X - _MEANS) / _DEVIATIONS


def _color_images(seed: int, part: str, size: ShapeSize) -> SplitArrays:
    """Load standardized images of ten classes; the validation part is held out from the training images."""
    X, y = load_cifar10(subset="train", return_X_y=True)
    X, X_held, y, y_held = train_test_split(X, y, test_size=size.n_test, stratify=y, random_state=seed)
    X, y = X[: size.n_train], y[: size.n_train]
    if part == "test":
        X_held, y_held = load_cifar10(subset="test", n_rows=size.n_test, random_state=seed, return_X_y=True)
    return _standardized(X), _standardized(X_held), y, y_held


#: Folds of subjects.
_N_FOLDS = 5


def _connectome_pairs(seed: int, part: str, size: ShapeSize) -> SplitArrays:
    """Load pairs of subjects, same diagnosis or not; three folds of subjects train, one validates, one tests."""
    X, y = load_abide(site="nyu", return_X_y=True)
    folds = pair_folds(X, y, n_splits=_N_FOLDS, n_train_pairs=size.n_pairs or "all", random_state=seed // _N_FOLDS)
    fold = list(folds)[seed % _N_FOLDS]
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
        Name -> ShapeSize.
    k : int
        Size of the paper's top set.
    epsilon : float
        l2 radius at which the equal steps of the paper's attacks end.
    bounds : (low, high), optional
        Box of the inputs, for the library's attacks. The paper's attacks have none.
    common : parameters
        Parameters of every method.
    weights : dict
        Method -> its own parameters, chosen on validation samples of seed 0.
    n_folds : int, default=1
        Number of consecutive seeds that are the folds of one split.
    code_epsilon : float, optional
        l2 radius at which the steps of the published code's attacks end, where they are shorter than the paper's.
    """

    load: Callable[[int, str, ShapeSize], SplitArrays]
    stored: str
    sizes: dict[str, ShapeSize]
    k: int
    epsilon: float
    bounds: tuple[Any, Any] | None
    common: dict[str, Any]
    weights: dict[str, dict[str, Any]] = field(default_factory=dict)
    n_folds: int = 1
    code_epsilon: float | None = None


#: Radius at which AT trains: the one step of the published code has length 1.
_AT_EPSILON = 1.0


def _weights(
    *,
    n_all: int,
    beta: float,
    decay: float,
    hessian: float,
    linear: float,
    linear_minimal: float,
    gap: float,
    relative: float,
    minimal: float,
    minimal_relative: float | None = None,
    n_pairs: int,
) -> dict[str, dict[str, Any]]:
    """Return the parameters of every method; all share one softplus, sharp enough to be as accurate as ReLU.

    Parameters
    ----------
    n_all : int
        Number of pairs of a unit of the top set and another one.
    beta : float
        Sharpness of the softplus.
    decay : float
        Weight decay of WD.
    hessian, linear, linear_minimal : float
        Weights of the plain Hessian norm, and of the plain gap of Eq. 6 as a mean over all pairs and over the minimal
        ones. At these the gap is a few to twenty per cent of the cross-entropy of a trained network on validation
        samples.
    gap, minimal, relative, minimal_relative : float
        Weights of the library's forms: of the normalized gap over all pairs and over the minimal ones, and of the
        relative Hessian norm beside each.
    n_pairs : int
        k' of the minimal pairs.
    """
    smooth: dict[str, Any] = {"module__beta": beta}
    pairs: dict[str, dict[str, Any]] = {"": {"pairs": "all"}, "-mm": {"pairs": "minimal", "n_pairs": n_pairs}}
    weights: dict[str, dict[str, Any]] = {
        "WD": {"weight_decay": decay},
        "SP": smooth,
        "Est-H": {**smooth, "lambda_hessian": hessian},
        "AT": {**smooth, "epsilon": _AT_EPSILON, "gap": "linear"},
    }
    # Eq. 6 has the sum over its pairs; like the published code it ranks magnitudes here, on the softplus of all rows
    eq_6: dict[str, Any] = {"ranking": "magnitude", "module__activation": "softplus", **smooth}
    sums = {"": ("full", linear / n_all), "-mm": ("mm", linear_minimal / n_pairs)}
    normalized = {"": (gap, relative), "-mm": (minimal, relative if minimal_relative is None else minimal_relative)}
    for form, own in pairs.items():
        weight, curvature = normalized[form]
        variant, lambda_1 = sums[form]
        for end, share in (("\\H", 0.0), ("", 1.0)):
            weights[f"R2ET{form}{end}, Eq. 6"] = {
                **eq_6,
                "variant": variant,
                "lambda_1": lambda_1,
                "lambda_2": hessian,
                "hessian": bool(share),
                "n_pairs": n_pairs,
            }
            weights[f"R2ET{form}{end}, normalized"] = {
                **smooth,
                **own,
                "lambda_gap": weight,
                "lambda_hessian": share * curvature,
            }
    return weights


_SIAMESE_CONV = {"module__encoder_params": {"channels": (16, 32), "hidden": (64,), "pool": "average"}}
#: Black and white of standardized images.
_BLACK, _WHITE = (np.broadcast_to((pixel - _MEANS) / _DEVIATIONS, (3, 32, 32)) for pixel in (0.0, 1.0))

SHAPES: dict[str, DataSpec] = {
    "mnist": DataSpec(
        _digit_pairs,
        "mnist",
        {
            "small": ShapeSize(
                n_train=3000,
                n_test=500,
                n_pairs=8000,
                epochs=6,
                warm_up_epochs=2,
                n_rows=30,
                paper_steps=50,
                net={"lr": 0.002, "batch_size": 64},
            ),
            "full": ShapeSize(
                n_train=50_000,
                n_test=2500,
                n_pairs=100_000,
                epochs=12,
                warm_up_epochs=4,
                n_rows=200,
                paper_steps=100,
                net={"lr": 0.002, "batch_size": 512},
            ),
        },
        k=50,
        epsilon=1.0,
        bounds=(0.0, 1.0),
        common=_SIAMESE_CONV,
        weights=_weights(
            n_all=50 * (2 * 28 * 28 - 50),
            n_pairs=50,
            beta=10.0,
            decay=1e-4,
            hessian=0.05,
            linear=1.0,
            linear_minimal=1.0,
            gap=0.01,
            relative=0.03,
            minimal=0.03,
        ),
    ),
    "cifar10": DataSpec(
        _color_images,
        "cifar10",
        {
            "small": ShapeSize(
                n_train=3000,
                n_test=1000,
                epochs=8,
                warm_up_epochs=4,
                n_rows=30,
                paper_steps=50,
                net={"lr": 0.01, "batch_size": 64, "module__width": 8},
            ),
            "full": ShapeSize(
                n_train=12_000,
                n_test=3000,
                epochs=20,
                warm_up_epochs=10,
                n_rows=200,
                paper_steps=100,
                net={"lr": 0.01, "batch_size": 128, "module__width": 32},
            ),
        },
        k=100,
        epsilon=5.0,
        code_epsilon=0.5,
        bounds=(_BLACK, _WHITE),
        common={"module": ResNet9, "module__pool": "average"},
        weights=_weights(
            n_all=100 * (32 * 32 - 100),
            n_pairs=100,
            beta=10.0,
            decay=1e-4,
            hessian=0.04,
            linear=10.0,
            linear_minimal=10.0,
            gap=0.001,
            relative=0.003,
            minimal=0.003,
        ),
    ),
    "abide": DataSpec(
        _connectome_pairs,
        "abide_nyu",
        {
            "small": ShapeSize(
                n_pairs=1000,
                epochs=20,
                warm_up_epochs=10,
                n_rows=30,
                paper_steps=50,
                net={"lr": 0.005, "batch_size": 32},
            ),
            "full": ShapeSize(
                epochs=20,
                warm_up_epochs=10,
                n_rows=200,
                paper_steps=100,
                net={"lr": 0.005, "batch_size": 128},
            ),
        },
        k=50,
        epsilon=1.0,
        bounds=(-1.0, 1.0),
        common={"module__encoder": "graph"},
        weights=_weights(
            n_all=50 * (2 * 116 * 116 - 50),
            beta=30.0,
            decay=1e-5,
            hessian=0.002,
            linear=3.0,
            linear_minimal=30.0,
            gap=0.001,
            relative=0.01,
            minimal=0.03,
            minimal_relative=0.03,
            n_pairs=20,
        ),
        n_folds=_N_FOLDS,
    ),
}
