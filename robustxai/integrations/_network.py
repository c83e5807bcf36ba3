"""The network of a model and its explainer, as adapters need them."""

from __future__ import annotations

from typing import Any

from torch import nn

from robustxai._models import GRADIENTS, unwrap
from robustxai._table_summary import fill
from robustxai.explainers import resolve_explainer
from robustxai.protocols import Explainer

__all__ = ["network_and_explainer"]


def network_and_explainer(estimator: Any, explainer: Any, what: str) -> tuple[nn.Module, Explainer]:
    """Return the module of a model, and an explainer with what it takes from the training data.

    Parameters
    ----------
    estimator : fitted classifier, Pipeline, search, or nn.Module
        What is explained.
    explainer : str, Explainer or None
        None stands for that of the classifier.
    what : str
        Who asks, for messages.

    Raises
    ------
    TypeError, NotFittedError
        A model without a network; a module without an explainer.
    """
    if isinstance(estimator, nn.Module):
        if explainer is None:
            raise TypeError(f"{what} needs an explainer for a torch module, such as 'integrated_gradients'.")
        return estimator, resolve_explainer(explainer)
    model, _ = unwrap(estimator, needs=("explainer_", *GRADIENTS), what=what)
    if explainer is None:
        return model.module_, model.explainer_
    return model.module_, fill(resolve_explainer(explainer), getattr(model, "table_summary_", None))
