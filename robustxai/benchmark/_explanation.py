"""Explanations of a cell: those that are measured, and those that a defense is trained on."""

from __future__ import annotations

import warnings
from typing import Any, cast

import numpy as np
from torch import Tensor, nn

from robustxai._arguments import Choice
from robustxai.classifiers import BaseExplainableClassifier
from robustxai.explainers import EXPLAINERS, IntegratedGradients
from robustxai.protocols import Explainer, MeasuredExplainer

__all__ = [
    "EXPLAINED_BY",
    "STANDARD_EXPLAINERS",
    "TRAINED_ON",
    "explainer_for",
    "own_explainer",
    "reads_explanation",
]

#: Explanations that the R2ET paper names for its conclusions, and that the table of all defenses has.
STANDARD_EXPLAINERS = ("gradient", "smooth_grad", "integrated_gradients")
#: Constraints of the explanation that is measured, and of the one that a defense is trained on.
EXPLAINED_BY = Choice((*EXPLAINERS, "own"), kind="explainer")
TRAINED_ON = Choice((*EXPLAINERS, "own", "same"), kind="explainer")


def explainer_for(explainer: str | Explainer, means: np.ndarray) -> str | Explainer:
    """Return the explainer of that name for a table whose training rows have these means.

    Integrated gradients take the means as their baseline; see :class:`Cell`.
    """
    return IntegratedGradients(baseline=means) if explainer == "integrated_gradients" else explainer


def own_explainer(estimator: Any) -> MeasuredExplainer:
    """Return the name of the explainer that an estimator has at its defaults; "own" for one without a name."""
    explainer = getattr(estimator, "explainer", None)
    return cast(MeasuredExplainer, explainer) if isinstance(explainer, str) else "own"


class _Read(Exception):
    """Raised by an explainer that is called in a training."""


def _raising(
    module: nn.Module, x: Tensor, target: Tensor, *, logits: Tensor | None = None, create_graph: bool = False
) -> Tensor:
    raise _Read


def reads_explanation(estimator: Any) -> bool:
    """Return whether the objective of an unfitted estimator uses the explanation of its parameter `explainer`.

    The first step of a training on a few rows tells, for defenses of the library and of users alike. An estimator of
    another library with such a parameter, or one that refuses these rows, is taken to use it.
    """
    if not isinstance(estimator, BaseExplainableClassifier):
        return hasattr(estimator, "explainer")
    X = np.random.default_rng(0).uniform(size=(8, 12))
    probe: dict[str, Any] = {"explainer": _raising, "max_epochs": 1, "warm_up_epochs": 0, "device": "cpu"}
    probe["teacher"] = None  # which reads no explanation, and may refuse so few rows
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            estimator.set_params(**probe).fit(X, np.arange(8) % 2)
        except Exception:  # of the explainer, or of a defense that bounds its explainer and does not know this one
            return True
    return False
