"""The network that has the probabilities of a fitted model, or an error."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.sparse import issparse
from sklearn.neural_network import MLPClassifier
from skorch import NeuralNet
from torch import nn

from robustxai.classifiers import copy_with_modules, unwrapped
from robustxai.conversion._networks import is_known, networks
from robustxai.conversion._outputs import with_logits

__all__ = ["exact_network"]

#: Largest difference of probabilities between a model and the network that replaces it.
_TOLERANCE = 1e-6
#: Rows that are drawn for every model of scikit-learn, so that one without rows is checked too.
_N_DRAWS = 64
#: Standard deviation of the outputs of its first layer there.
_SPREAD = 3.0


def exact_network(model: Any, X: Any = None) -> nn.Module:
    """Return a network with the probabilities of a fitted classifier of scikit-learn or skorch.

    Parameters
    ----------
    model : fitted classifier
        A linear classifier with probabilities, an ``MLPClassifier``, or a skorch net.
    X : array-like of shape (n, *features), optional
        Rows at which the probabilities must be equal to 1e-6. Models of scikit-learn are compared at random rows too.

    Raises
    ------
    TypeError
        A model of another kind, or a skorch net without rows.
    ValueError
        No network has the probabilities of the model.
    """
    name, is_net = type(model).__name__, isinstance(model, NeuralNet)
    if not is_net and not is_known(model):
        raise TypeError(_refusal(model))
    if is_net and X is None:
        raise TypeError(
            f"The skorch net {name} needs rows, which show whether its module returns logits, log-odds or "
            "probabilities: as_explainable(net, X)."
        )
    least = math.inf
    for network in with_logits(copy_with_modules(unwrapped(model.module_)).eval()) if is_net else networks(model):
        apart = 0.0 if is_net else _difference(model, network, _draws(model, network))
        if X is not None and apart <= _TOLERANCE:
            apart = max(apart, _difference(model, network, _dense(X)))
        if apart <= _TOLERANCE:
            return network
        least = min(least, apart)
    raise ValueError(
        f"The probabilities of this {name} are not those of a network that could replace it: the nearest differs by "
        f"{least:.1e}, and {_TOLERANCE:g} is allowed."
    )


def _difference(model: Any, network: nn.Module, X: Any) -> float:
    """Return the largest absolute difference of probabilities; infinite where the network does not take X."""
    given = np.asarray(model.predict_proba(X), dtype=np.float64)
    weight = next(network.parameters())
    rows = torch.tensor(np.asarray(X), dtype=weight.dtype, device=weight.device)
    with torch.no_grad():
        try:
            logits = network(rows)
        except RuntimeError:  # of a candidate for outputs of another shape
            return math.inf
    if tuple(logits.shape) != given.shape:
        return math.inf
    found = np.abs(logits.double().softmax(dim=-1).cpu().numpy() - given).max(initial=0.0)
    return float(found) if np.isfinite(found) else math.inf


def _draws(model: Any, network: nn.Module) -> Any:
    """Return random rows at which the outputs of the first layer of an MLP are of the order of one.

    There its units are neither all flat nor all linear, and the probabilities of a linear model are not all 0 or 1.
    """
    layer = next(part for part in network.modules() if isinstance(part, nn.Linear))
    weight, bias = (part.detach().cpu().numpy() for part in (layer.weight, layer.bias))
    rng = np.random.default_rng(0)
    wanted = rng.normal(scale=_SPREAD, size=(_N_DRAWS, len(weight)))
    rows = (wanted - bias) @ np.linalg.pinv(weight, rcond=1e-9).T
    noise = rng.normal(size=rows.shape)
    length = np.linalg.norm(weight, axis=1).max()
    rows += noise / length if length > 0 else noise
    names = getattr(model, "feature_names_in_", None)
    return rows if names is None else pd.DataFrame(rows, columns=names)


def _dense(X: Any) -> Any:
    """Return rows as the DataFrame that they are, or as a dense array of floats."""
    if isinstance(X, pd.DataFrame):
        return X
    X = X.toarray() if issparse(X) else np.asarray(X)
    return X if X.dtype.kind == "f" else X.astype(np.float64)


def _refusal(model: Any) -> str:
    name = type(model).__name__
    if not hasattr(model, "predict_proba"):
        return (
            f"{name} has no probabilities, which a network would have to equal. Use a model that has them, such as "
            "LogisticRegression."
        )
    return (
        f"{name} is neither linear nor a neural network, and no network computes exactly what it does. What is "
        f"converted: linear classifiers with probabilities, {MLPClassifier.__name__}, skorch nets and torch modules. "
        "robustxai.attacks.BlackBox(model, explainer) wraps any other classifier with an explanation."
    )
