"""Retraining: make a fitted model's explanations stable without changing what they say."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_X_y

from robustxai._arguments import (
    COUNT,
    INTEGER_SEED,
    POSITIVE,
    SHARE,
    Each,
    Instance,
    Number,
    Rows,
    checked,
    optional,
)
from robustxai._frames import as_pandas, in_numbers
from robustxai._models import module_of, transformed
from robustxai._switches import own_switches
from robustxai.classifiers._base import BaseExplainableClassifier
from robustxai.engine import fix_beta, softplus_surrogate
from robustxai.explainers import resolve_explainer
from robustxai.nets._copy import copy_with_modules
from robustxai.training import ExplanationGuard

__all__ = ["retrain"]

Classifier = TypeVar("Classifier", bound=BaseExplainableClassifier)


_ESTIMATOR = Instance(
    BaseExplainableClassifier,
    words="the defense that trains, a classifier of robustxai such as R2ETClassifier(k=8)",
    advice="A Pipeline or a search goes into init.",
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
    validation_data=optional(Each(Rows(), least=2, most=2)),
    validation_fraction=Number(0, 1, above=True, below=True),
    random_state=INTEGER_SEED,
)
def retrain(
    estimator: Classifier,
    init: Any,
    X: Any,
    y: Any,
    *,
    k: int = 8,
    beta: float | None = None,
    max_epochs: int = 10,
    min_precision: float = 0.6,
    max_auc_drop: float = 0.01,
    validation_data: tuple[Any, Any] | None = None,
    validation_fraction: float = 0.2,
    random_state: int = 0,
) -> Classifier:
    r"""Fit a copy of `estimator`, from the weights and with the network of `init`, for as long as it explains alike.

    See :class:`robustxai.training.ExplanationGuard` for the rule.

    Parameters
    ----------
    estimator : classifier of this library
        The defense and its hyper-parameters; its network is replaced by a copy of that of `init`. It is not changed.
    init : fitted classifier, Pipeline or search, skorch net or nn.Module
        The model to start from and to stay close to; inputs to logits, classes in sorted order. It is not changed. Of a
        Pipeline the last step is retrained, on what the other steps, which stay as they are, make of X.
    X, y : array-like of shape (n_samples, *features) and (n_samples,)
        Training data.
    k : int, default=8
        Size of the top set that has to stay.
    beta : float, optional
        Put softplus of this sharpness in the place of every ReLU (and the like in the place of leaky ReLUs and
        max-pooling) before retraining. The weights and, from a beta of 3
        to 10 on, most of the explanations are still the old ones, but the gradient has no more jumps, which no penalty
        can reach. By default the activations stay.
    max_epochs : int, default=10
        As in the paper.
    min_precision : float, default=0.6
        Floor of the mean P@k between old and new explanations. The paper says "significantly drops" and gives no
        number. An explanation of a vanilla network on a table agrees with itself to about 0.5 within a radius of 0.5,
        and ten more epochs of plain training already lower the P@8 with the old one to 0.6 on Bank.
    max_auc_drop : float, default=0.01
        One point of AUC, the tolerance of all comparisons here.
    validation_data : (X, y), optional
        Rows for the guard that `init` has *not* been fitted on: on its own training rows its AUC is flattered, and
        every retraining seems to lower it. By default a part of `X` is held out, which is right for an `init` that was
        fitted on other rows.
    validation_fraction : float, default=0.2
        Share of the rows held out where there is no `validation_data`.
    random_state : int, default=0
        Seed of that split.

    Returns
    -------
    classifier
        Fitted, of the class of `estimator`; ``net_.history`` has the columns ``kept_precision_at_k`` and
        ``valid_auc``. Where `init` is a Pipeline, a Pipeline of its transformers and that classifier.

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
    with own_switches():
        start = copy_with_modules(module) if beta is None else fix_beta(softplus_surrogate(module, beta))
    with in_numbers(X):
        check_X_y(X, y, allow_nd=True, dtype=np.float32)
    check_classification_targets(y)
    if validation_data is None:
        split = train_test_split(X, y, test_size=validation_fraction, stratify=y, random_state=random_state)
        X, X_valid, y, y_valid = split
    else:
        X_valid, y_valid = validation_data
        X_valid = as_pandas(transformed(X_valid, before))
        with in_numbers(X_valid):
            check_X_y(X_valid, y_valid, allow_nd=True, dtype=np.float32)
    classes = np.unique(y)
    unknown = np.setdiff1d(y_valid, classes)
    if len(unknown):
        raise ValueError(f"validation_data has the class {str(unknown[0])!r}, which the training data has not.")
    guard = ExplanationGuard(
        module,
        np.asarray(X_valid, dtype=np.float32),
        np.searchsorted(classes, y_valid),
        explainer=resolve_explainer(estimator.explainer),
        k=k,
        min_precision=min_precision,
        max_auc_drop=max_auc_drop,
    )
    params = {name: value for name, value in estimator.get_params().items() if not name.startswith("module")}
    callbacks = [*(params.pop("callbacks", None) or []), ("explanation_guard", guard)]
    params |= {"module": start, "max_epochs": max_epochs, "callbacks": callbacks, "init": start}
    retrained = type(estimator)(**params).fit(X, y)
    if not before:
        return retrained
    steps = [step for pipeline in before for _, step in pipeline.steps]
    return cast(Classifier, make_pipeline(*steps, retrained))  # what takes X as it was given
