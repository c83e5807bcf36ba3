"""Retraining: make the explanations of a fitted model stable and keep their top features."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_X_y
from skorch import NeuralNet
from torch import nn

from robustxai._arguments import (
    COUNT,
    INTEGER_SEED,
    POSITIVE,
    SHARE,
    WEIGHTS,
    Each,
    Instance,
    Number,
    Rows,
    checked,
    optional,
)
from robustxai._compat import n_samples
from robustxai._frames import as_pandas, in_numbers
from robustxai._models import module_of, transformed
from robustxai._switches import own_switches
from robustxai._validation import check_sample_weight
from robustxai.classifiers._base import BaseExplainableClassifier
from robustxai.classifiers._copy import copy_with_modules
from robustxai.engine import fix_beta, softplus_surrogate
from robustxai.explainers import resolve_explainer
from robustxai.protocols import Estimator
from robustxai.training import ExplanationGuard

__all__ = ["retrain"]

Classifier = TypeVar("Classifier", bound=BaseExplainableClassifier)


_ESTIMATOR = Instance(
    BaseExplainableClassifier,
    words="a classifier of robustxai that trains, such as R2ETClassifier(k=8)",
    advice="Pass a Pipeline or a search as init.",
)


@checked(
    estimator=_ESTIMATOR,
    X=Rows(),
    y=Rows(),
    k=COUNT,
    beta=optional(POSITIVE),
    max_epochs=COUNT,
    min_precision=SHARE,
    max_auc_drop=SHARE,
    sample_weight=WEIGHTS,
    validation_data=optional(Each(Rows(), least=2, most=3)),
    validation_fraction=Number(0, 1, above=True, below=True),
    random_state=INTEGER_SEED,
)
def retrain(
    estimator: Classifier,
    init: Estimator | NeuralNet | nn.Module,
    X: Any,
    y: Any,
    *,
    k: int = 8,
    beta: float | None = None,
    max_epochs: int = 10,
    min_precision: float = 0.6,
    max_auc_drop: float = 0.01,
    sample_weight: Any = None,
    validation_data: tuple[Any, ...] | None = None,
    validation_fraction: float = 0.2,
    random_state: int = 0,
) -> Classifier:
    r"""Fit a copy of `estimator`, starting from the network of `init`, until its explanations differ too much.

    :class:`robustxai.training.ExplanationGuard` defines the limits.

    Parameters
    ----------
    estimator : classifier of this library
        The defense and its hyper-parameters, which is not changed; its network is replaced by a copy of that of `init`.
    init : fitted classifier, Pipeline or search, skorch net or nn.Module
        Initial model and reference of the explanations, which is not changed; inputs to logits, classes in sorted
        order. The last step of a Pipeline is retrained, on the X that the other steps transform.
    X, y : array-like of shape (n_samples, *features) and (n_samples,)
        Training data.
    k : int, default=8
        Size of the top set that is to stay.
    beta : float, optional
        Replace every ReLU by softplus of this sharpness before retraining (and leaky ReLUs and max-pooling by similar
        surrogates). The weights do not change, and most explanations hardly change for a beta from 3 to 10, but the
        gradient no longer jumps; penalties cannot reduce jumps. By default the activations stay.
    max_epochs : int, default=10
        Epochs of the retraining, as in the paper.
    min_precision : float, default=0.6
        Least mean P@k between old and new explanations. The paper says "significantly drops" and gives no number. For
        comparison: explanations of a vanilla network on a table keep about 0.5 within a radius of 0.5, and ten more
        epochs of plain training lower the P@8 with the old explanations to 0.6 on Bank.
    max_auc_drop : float, default=0.01
        Largest drop of the AUC; one point is the tolerance of all comparisons in this library.
    sample_weight : array-like of shape (n_samples,), optional
        Weights of the rows, as in ``fit``; those of the held-out rows weigh the mean P@k and the AUC of the guard.
    validation_data : (X, y) or (X, y, sample_weight), optional
        Rows for the guard that `init` was *not* fitted on: its AUC on its own training rows is too high, so that every
        retraining seems to lower it. By default a part of `X` is held out, which is correct if `init` was fitted on
        other rows.
    validation_fraction : float, default=0.2
        Share of the rows that is held out without `validation_data`.
    random_state : int, default=0
        Seed of this split.

    Returns
    -------
    classifier
        Fitted classifier of the class of `estimator`; ``net_.history`` has the columns ``kept_precision_at_k`` and
        ``valid_auc``. If `init` is a Pipeline, a Pipeline of its transformers and that classifier.

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
    >>> bool(min(new.net_.history[:, "kept_precision_at_k"][:-1], default=1.0) >= 0.6)
    True
    """
    module, before = module_of(init, "init")
    X = as_pandas(transformed(X, before))
    if any(weight.dtype == torch.float64 for weight in module.parameters()):  # a training is in float32
        module = copy_with_modules(module).float()
    with own_switches():
        start = copy_with_modules(module) if beta is None else fix_beta(softplus_surrogate(module, beta))
    with in_numbers(X):
        check_X_y(X, y, allow_nd=True, dtype=np.float32)
    check_classification_targets(y)
    weights = check_sample_weight(sample_weight, n_samples(X))
    valid_weights = None
    if validation_data is None:
        options: dict[str, Any] = {"test_size": validation_fraction, "stratify": y, "random_state": random_state}
        X, X_valid, y, y_valid = train_test_split(X, y, **options)
        if weights is not None:
            weights, valid_weights = train_test_split(weights, **options)
    else:
        X_valid, y_valid = validation_data[:2]
        X_valid = as_pandas(transformed(X_valid, before))
        with in_numbers(X_valid):
            check_X_y(X_valid, y_valid, allow_nd=True, dtype=np.float32)
        if len(validation_data) > 2:
            valid_weights = check_sample_weight(validation_data[2], n_samples(X_valid))
    classes = np.unique(y)
    unknown = np.setdiff1d(y_valid, classes)
    if len(unknown):
        raise ValueError(f"validation_data has the class {str(unknown[0])!r}, which is not in the training data.")
    guard = ExplanationGuard(
        module,
        np.asarray(X_valid, dtype=np.float32),
        np.searchsorted(classes, y_valid),
        explainer=resolve_explainer(estimator.explainer),
        k=k,
        min_precision=min_precision,
        max_auc_drop=max_auc_drop,
        sample_weight=valid_weights,
    )
    params = {name: value for name, value in estimator.get_params(deep=False).items() if not name.startswith("module")}
    callbacks = [*(params.pop("callbacks", None) or []), ("explanation_guard", guard)]
    params |= {"module": start, "max_epochs": max_epochs, "callbacks": callbacks, "init": start}
    retrained = type(estimator)(**params).fit(X, y, weights)
    if not before:
        return retrained
    steps = [step for pipeline in before for _, step in pipeline.steps]
    return cast(Classifier, make_pipeline(*steps, retrained))  # it takes X in its original form
