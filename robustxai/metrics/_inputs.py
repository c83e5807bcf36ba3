"""Inputs of the metrics: data as arrays and tensors, and fitted estimators.

No metric imports a classifier. A metric takes a fitted classifier that fulfills the protocol in its signature
(:mod:`robustxai.protocols`), or a Pipeline, search or FrozenEstimator around one. Of a Pipeline the last step is
measured, at the features that it sees (:func:`robustxai._models.resolve_model`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal, overload

import numpy as np
import torch
from torch import Tensor

from robustxai._frames import aligned, in_numbers, like
from robustxai._models import EXPLANATIONS, GRADIENTS, resolve_model
from robustxai.protocols import Estimator, ExplainableClassifier, ExplainingClassifier, FittedClassifier, Ranking
from robustxai.ranking import clip_k, unit_scores

#: Advice of messages about fitted classifiers that do not explain themselves.
OTHER_MODELS = (
    "robustxai.attacks.BlackBox(model, explainer) measures any fitted classifier by an explanation; metrics of "
    "derivatives need a classifier of robustxai."
)

#: Entries of the largest intermediate array (8 MB in float64): work is cut into parts of about this size.
MAX_ELEMENTS = 2**20


def chunks(n_items: int, elements_per_item: int) -> Iterator[slice]:
    """Yield slices that cover ``range(n_items)``, each of about ``MAX_ELEMENTS`` entries and at least one item."""
    step = max(1, MAX_ELEMENTS // max(1, elements_per_item))
    for start in range(0, n_items, step):
        yield slice(start, min(start + step, n_items))


@overload
def explained(
    estimator: Estimator, X: Any, what: str, *, gradients: Literal[False] = False
) -> tuple[ExplainingClassifier, Any]: ...


@overload
def explained(
    estimator: Estimator, X: Any, what: str, *, gradients: Literal[True]
) -> tuple[ExplainableClassifier, Any]: ...


def explained(estimator: Estimator, X: Any, what: str, *, gradients: bool = False) -> tuple[ExplainingClassifier, Any]:
    """Return the explained model, and X as it sees it, for the metric named `what`."""
    needs = ("predict_proba", *GRADIENTS) if gradients else EXPLANATIONS
    return resolve_model(estimator, X, needs=needs, what=what, way=OTHER_MODELS)


def plain_array(X: Any, name: str = "X") -> np.ndarray:
    """Return `X` (array, tensor, DataFrame or list) as a floating-point array of shape (n_samples, *features)."""
    with in_numbers(X, name):
        array = X.detach().cpu().numpy() if isinstance(X, Tensor) else np.asarray(X)
        if array.ndim < 2:
            raise ValueError(
                f"{name} must have shape (n_samples, *features), got {array.shape}; for one sample pass x[None]."
            )
        return array if np.issubdtype(array.dtype, np.floating) else array.astype(np.float64)


def ranked_scores(attribution: Any, ranking: Ranking, *, name: str = "attribution", batch_ndim: int = 1) -> Tensor:
    """Compute the unit scores, shape (*batch, units), of an attribution given as array, tensor or DataFrame."""
    if isinstance(attribution, Tensor):
        tensor = attribution.detach()
    else:  # pandas returns read-only arrays, and torch warns about them
        tensor = torch.from_numpy(np.require(np.asarray(attribution), requirements="W"))
    if tensor.ndim <= batch_ndim:
        wanted = "(n_samples, *features)" if batch_ndim == 1 else "(n_iter, n_samples, *features)"
        raise ValueError(f"{name} must have shape {wanted}, got {tuple(tensor.shape)}.")
    scores = unit_scores(tensor if tensor.is_floating_point() else tensor.double(), ranking, batch_ndim=batch_ndim)
    if scores.isnan().any():
        raise ValueError(f"{name} contains NaN, which has no rank; replace or drop those samples.")
    return scores


def paired_scores(attribution: Any, attribution_adv: Any, ranking: Ranking) -> tuple[Tensor, Tensor]:
    """Compute the unit scores (n_samples, units) of two explanations of the same samples, on one device."""
    scores = ranked_scores(attribution, ranking)
    attribution_adv = of_one_shape(attribution, attribution_adv)
    return scores, ranked_scores(attribution_adv, ranking, name="attribution_adv").to(scores.device)


def of_one_shape(attribution: Any, attribution_adv: Any) -> Any:
    """Return `attribution_adv` in the order of `attribution`, by labels; ValueError if their shapes differ."""
    attribution_adv = aligned(attribution, attribution_adv)
    if np.shape(attribution) != np.shape(attribution_adv):
        raise ValueError(
            f"Both attributions must have one shape, got {np.shape(attribution)} and {np.shape(attribution_adv)}."
        )
    return attribution_adv


def probabilities(estimator: FittedClassifier, X: Any) -> np.ndarray:
    """Return the predicted probabilities (n_samples, n_classes). Only tensors are converted to arrays."""
    return np.asarray(estimator.predict_proba(X.detach().cpu().numpy() if isinstance(X, Tensor) else X))


def explained_scores(
    estimator: ExplainingClassifier, X: Any, points: np.ndarray, target: np.ndarray, ranking: Ranking
) -> Tensor:
    """Compute unit scores (n_points, units) at `points` for the class index `target`, in the kind of container of X."""
    labels = np.asarray(estimator.classes_)[target]
    size = math.prod(points.shape[1:])
    parts = [
        ranked_scores(estimator.explain(like(X, points[part]), y=labels[part]), ranking, name="The explanation")
        for part in chunks(len(points), size)
    ]
    if not parts:
        raise ValueError("X has no samples.")
    return torch.cat([part.cpu() for part in parts])


def module_batch(estimator: ExplainableClassifier, array: np.ndarray) -> Tensor:
    """Return `array` as a tensor on the estimator's device, in the precision of its module."""
    parameter = next(estimator.module_.parameters(), None)
    tensor = torch.from_numpy(np.require(array, requirements="W"))
    return tensor.to(device=estimator.device_, dtype=tensor.dtype if parameter is None else parameter.dtype)


def checked_k(k: int, n_units: int) -> int:
    """`k` as in :func:`clip_k`, or ValueError when there is no pair to compare."""
    if n_units < 2:
        raise ValueError("A single ranked unit leaves no pair to compare; thickness needs at least two.")
    return clip_k(k, n_units)
