"""Retraining: make a fitted model's explanations stable without changing what they say."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_X_y
from torch import nn

from robustxai._validation import check_number
from robustxai.classifiers._base import BaseExplainableClassifier
from robustxai.explainers import resolve_explainer
from robustxai.training import ExplanationGuard

__all__ = ["retrain"]

Classifier = TypeVar("Classifier", bound=BaseExplainableClassifier)


def retrain(
    estimator: Classifier,
    init: Any,
    X: Any,
    y: Any,
    *,
    k: int = 8,
    max_epochs: int = 10,
    min_precision: float = 0.8,
    max_auc_drop: float = 0.01,
    validation_fraction: float = 0.2,
    random_state: int = 0,
) -> Classifier:
    r"""Fit a copy of `estimator`, from the weights and with the network of `init`, for as long as it explains alike.

    See :class:`robustxai.training.ExplanationGuard` for the rule.

    Parameters
    ----------
    estimator : classifier of this library
        The defence and its hyper-parameters; its network is replaced by a copy of that of `init`, activations
        included. It is not changed.
    init : fitted classifier, skorch net or nn.Module
        The model to start from and to stay close to; inputs to logits, classes in sorted order. It is not changed.
    X, y : array-like of shape (n_samples, *features) and (n_samples,)
        Training data; a part of it is held out for the guard.
    k : int, default=8
        Size of the top set that has to stay.
    max_epochs : int, default=10
        As in the paper.
    min_precision : float, default=0.8
        Floor of the mean P@k between old and new explanations. The paper says "significantly drops" and gives no
        number.
    max_auc_drop : float, default=0.01
        One point of AUC, the tolerance of all comparisons here.
    validation_fraction : float, default=0.2
        Share of the rows held out.
    random_state : int, default=0
        Seed of the split.

    Returns
    -------
    classifier
        Fitted, of the class of `estimator`; ``net_.history`` has the columns ``kept_precision_at_k`` and
        ``valid_auc``.

    References
    ----------
    Chen et al., *Robust ranking explanations*, 2023, Section 4.7.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import StandardScaler
    >>> from robustxai import R2ETClassifier, SoftplusClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = StandardScaler().fit_transform(X)
    >>> old = SoftplusClassifier(max_epochs=20).fit(X, y)
    >>> new = retrain(R2ETClassifier(lr=1e-3), old, X, y, k=8)
    >>> bool(min(new.net_.history[:, "kept_precision_at_k"][:-1], default=1.0) >= 0.8)
    True
    """
    check_number("min_precision", min_precision, minimum=0.0)
    check_number("max_auc_drop", max_auc_drop, minimum=0.0)
    module = getattr(init, "module_", init)
    if not isinstance(module, nn.Module):
        raise TypeError(f"init must be a fitted classifier, a fitted skorch net or a torch module, got {init!r}.")
    check_X_y(X, y, allow_nd=True, dtype=np.float32)
    check_classification_targets(y)
    codes = np.unique(y, return_inverse=True)[1]
    train, valid = train_test_split(
        np.arange(len(codes)), test_size=validation_fraction, stratify=codes, random_state=random_state
    )
    take = (lambda rows: X.iloc[rows]) if hasattr(X, "iloc") else (lambda rows: np.asarray(X)[rows])
    guard = ExplanationGuard(
        module,
        np.asarray(take(valid), dtype=np.float32),
        codes[valid],
        explainer=resolve_explainer(estimator.explainer),
        k=k,
        min_precision=min_precision,
        max_auc_drop=max_auc_drop,
    )
    params = {name: value for name, value in estimator.get_params().items() if not name.startswith("module")}
    callbacks = [*(params.pop("callbacks", None) or []), ("explanation_guard", guard)]
    params |= {"module": copy.deepcopy(module), "max_epochs": max_epochs, "callbacks": callbacks, "init": module}
    return type(estimator)(**params).fit(take(train), np.asarray(y)[train])
