"""Logistic regression as an explainable classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from robustxai._arguments import POSITIVE
from robustxai.classifiers._base import BaseExplainableClassifier
from robustxai.nets import MLP
from robustxai.training import ObjectiveNet

__all__ = ["LinearClassifier"]


class LinearClassifier(BaseExplainableClassifier):
    r"""scikit-learn's logistic regression as a network without hidden layers.

    .. math:: z(x) = W x + b, \qquad \nabla_x p_c(x) \propto w_c - w_{c'} \quad \text{(two classes)}

    With two classes the gradient of the predicted class has the same direction for all inputs, up to its sign. A
    ranking by magnitude is then the same for every row, and no attack can change it: compare the AUC of a defense with
    that of this model. With three classes or more the ranking depends on the probabilities, and with contributions
    (gradient x input, integrated gradients) on the row: a linear model is then not stable either
    (docs/results/README.md has figures).

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the l2 penalty, as in scikit-learn.
    **params
        Common parameters of :class:`BaseExplainableClassifier`. Those of training steps have no effect, because the
        coefficients come from scikit-learn's solver. It takes `sample_weight` and `class_weight` as they are: their sum
        counts against the l2 penalty, so that a weight of 2 is exactly a repeated row.
    """

    has_epochs = False
    net_defaults = {**BaseExplainableClassifier.net_defaults, "module": MLP}
    _constraints = {"C": POSITIVE}

    def __init__(self, C: float = 1.0, **params: Any) -> None:
        super().__init__(**params)
        self.C = C

    def module_params(self) -> dict[str, Any]:
        return {"hidden": ()}

    def train_net(self, net: ObjectiveNet, X: np.ndarray, codes: np.ndarray) -> None:
        rows, weights, soft = X.astype(np.float64), net.sample_weight_, net.soft_labels_
        if soft is not None:  # a row with probabilities is one row of each class, with these weights
            weights = (soft if weights is None else soft * weights[:, None]).ravel()
            rows, codes = np.repeat(rows, soft.shape[1], axis=0), np.tile(np.arange(soft.shape[1]), len(soft))
            rows, codes, weights = rows[weights > 0], codes[weights > 0], weights[weights > 0]
        model = LogisticRegression(C=self.C, max_iter=1000).fit(rows, codes, weights)
        weight, bias = model.coef_, model.intercept_
        if len(weight) == 1:  # two classes: scikit-learn stores the difference of the logits
            weight, bias = np.vstack([-weight / 2, weight / 2]), np.hstack([-bias / 2, bias / 2])
        layer = net.module_.layers[-1]
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weight))
            layer.bias.copy_(torch.from_numpy(bias))
