"""Weights of rows and of classes in the objective of a fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from robustxai._arguments import Choice, Either, Instance, Nothing
from robustxai._validation import check_weights

__all__ = ["CLASS_WEIGHT", "class_factors", "objective_weights"]

CLASS_WEIGHT = Either(
    (Choice(("balanced",)), Instance(Mapping), Nothing()), words="a dict of label to weight, 'balanced' or None"
)


def objective_weights(
    codes: np.ndarray,
    classes: np.ndarray,
    sample_weight: np.ndarray | None,
    class_weight: Mapping[Any, float] | str | None,
) -> np.ndarray | None:
    """Return the product of the weights of rows and of their classes; None if all are 1.

    Parameters
    ----------
    codes : ndarray of int of shape (n,)
        Class indices.
    classes : ndarray of shape (n_classes,)
        Labels.
    sample_weight : ndarray of shape (n,), optional
        Weights of rows.
    class_weight : dict, "balanced" or None
        As in scikit-learn's ``compute_class_weight``.

    Raises
    ------
    ValueError, TypeError
        A label in `class_weight` that is no class, a weight that is no number, negative or not finite, or a class whose
        rows all have weight zero.
    """
    weights = np.ones(len(codes)) if sample_weight is None else sample_weight
    of_class = class_factors(codes, classes, sample_weight, class_weight)
    if of_class is not None:
        weights = weights * of_class[codes]
    _check_classes(np.bincount(codes, weights=weights, minlength=len(classes)), classes, "sample_weight, class_weight")
    return None if (weights == 1).all() else weights


def class_factors(
    codes: np.ndarray,
    classes: np.ndarray,
    sample_weight: np.ndarray | None,
    class_weight: Mapping[Any, float] | str | None,
) -> np.ndarray | None:
    """Return the weight of each class, shape (n_classes,); None without `class_weight`. As `objective_weights`."""
    if class_weight is None:
        return None
    totals = np.bincount(codes, weights=sample_weight, minlength=len(classes))
    _check_classes(totals, classes, "sample_weight")
    if isinstance(class_weight, Mapping):
        return _of_mapping(class_weight, classes)
    factors: np.ndarray = totals.sum() / (len(classes) * totals)
    return factors


def _of_mapping(class_weight: Mapping[Any, float], classes: np.ndarray) -> np.ndarray:
    """Return the weights of all classes; those that `class_weight` does not name have weight 1."""
    labels = classes.tolist()
    missing = [label for label in labels if label not in class_weight]
    unknown = [label for label in class_weight if label not in labels]
    if missing and unknown:  # as in scikit-learn: a fold without a rare class takes the weights of all classes
        raise ValueError(f"class_weight has the label {unknown[0]!r}, which is none of the classes {labels}.")
    try:
        weights = np.array([class_weight.get(label, 1.0) for label in labels], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"class_weight must have one number per label, got {dict(class_weight)!r}.") from error
    check_weights("class_weight", weights)
    return weights


def _check_classes(totals: np.ndarray, classes: np.ndarray, names: str) -> None:
    if (totals > 0).all():
        return
    label = classes[totals <= 0].tolist()[0]
    raise ValueError(
        f"All rows of the class {label!r} have weight zero ({names}), so that the class cannot be learned. Give them a "
        "weight, or leave out the rows of this class."
    )
