"""Networks that compute the probabilities of a model of scikit-learn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from torch import nn

from robustxai.nets import MLP
from robustxai.protocols import ActivationName

__all__ = ["is_known", "networks", "weights_of"]

#: Names of the activations of ``MLPClassifier`` here; "identity" leaves linear layers, which are multiplied out.
_ACTIVATIONS: dict[str, ActivationName] = {"relu": "relu", "tanh": "tanh", "logistic": "sigmoid"}


def is_known(model: Any) -> bool:
    """Return whether networks of a fitted classifier can be made: it is linear, or a multi-layer perceptron."""
    return isinstance(model, MLPClassifier) or _linear(model) is not None


def networks(model: Any) -> Iterator[nn.Module]:
    """Yield networks in float64, of which at most one has the probabilities of the model.

    Raises
    ------
    TypeError
        A model of several labels.
    """
    if isinstance(model, MLPClassifier):
        yield _perceptron(model)
        return
    parts = _linear(model)
    assert parts is not None
    weight, bias = parts
    if len(weight) == 1:
        yield _mlp([(weight, bias)])
        return
    yield _mlp([(weight, bias)])  # softmax of the scores
    # one against the rest: softmax(log sigmoid(z)), and log sigmoid(z) = -softplus(-z)
    yield _mlp([(-weight, -bias), (-np.eye(len(weight)), np.zeros(len(weight)))], "softplus")


def weights_of(model: Any) -> list[np.ndarray]:
    """Return the arrays that determine what a known model computes, its classes included."""
    if isinstance(model, MLPClassifier):
        return [*model.coefs_, *model.intercepts_, np.asarray(model.classes_), np.asarray(model.activation)]
    return [*(_linear(model) or ()), np.asarray(model.classes_)]


def _linear(model: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Return coefficients of shape (n_scores, n_features) and intercepts of a linear classifier with probabilities."""
    if isinstance(model, OneVsRestClassifier):
        parts = [part for part in map(_linear, model.estimators_) if part is not None and len(part[0]) == 1]
        if model.multilabel_ or len(parts) < len(model.estimators_):
            return None
        return np.vstack([weight for weight, _ in parts]), np.hstack([bias for _, bias in parts])
    if not all(hasattr(model, name) for name in ("coef_", "intercept_", "predict_proba", "classes_")):
        return None
    coef = model.coef_.toarray() if issparse(model.coef_) else np.asarray(model.coef_)  # after model.sparsify()
    coef = np.atleast_2d(coef).astype(np.float64)
    n_scores = 1 if len(model.classes_) == 2 else len(model.classes_)
    return (coef, np.broadcast_to(np.float64(model.intercept_), n_scores)) if len(coef) == n_scores else None


def _perceptron(model: MLPClassifier) -> MLP:
    layers = [(w.T.astype(np.float64), b.astype(np.float64)) for w, b in zip(model.coefs_, model.intercepts_)]
    if model.out_activation_ == "logistic" and len(layers[-1][1]) > 1:
        raise TypeError(
            "MLPClassifier was fitted to several labels of each row. A converted network has one class for each row; "
            "fit one MLPClassifier for each label."
        )
    if model.activation == "identity":
        weight, bias = layers[0]
        for outer, shift in layers[1:]:
            weight, bias = outer @ weight, outer @ bias + shift
        return _mlp([(weight, bias)])
    return _mlp(layers, _ACTIVATIONS[model.activation])


def _mlp(layers: list[tuple[np.ndarray, np.ndarray]], activation: ActivationName = "relu") -> MLP:
    """Return the network of these layers, which are pairs of a matrix (n_out, n_in) and a vector.

    One output is the log-odds z of the second class. It becomes the logits (-z / 2, z / 2), as in `LinearClassifier`.
    """
    weight, bias = layers[-1]
    if len(weight) == 1:
        layers = [*layers[:-1], (np.vstack([-weight / 2, weight / 2]), np.hstack([-bias / 2, bias / 2]))]
    widths = [layers[0][0].shape[1], *(len(matrix) for matrix, _ in layers)]
    with torch.random.fork_rng(devices=[]):  # the weights are replaced
        network = MLP(widths[0], widths[-1], widths[1:-1], activation).double()
    with torch.no_grad():
        for layer, (matrix, vector) in zip(network.dense_layers().linear, layers):
            layer.weight.copy_(torch.tensor(matrix))
            layer.bias.copy_(torch.tensor(vector))
    return network
