"""Effect of an attack on the prediction, to be reported beside the stability of explanations."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline

from robustxai._arguments import WEIGHTS, Rows, checked
from robustxai._frames import aligned
from robustxai._models import check_model, transformed
from robustxai._validation import check_sample_weight, outside
from robustxai.exceptions import EvaluationWarning
from robustxai.metrics._inputs import probabilities
from robustxai.protocols import FittedClassifier


@checked(X=Rows(), y=Rows(), sample_weight=WEIGHTS)
def roc_auc(estimator: FittedClassifier, X: Any, y: Any, *, sample_weight: Any = None) -> float:
    """Area under the ROC curve: of the second class for two classes, else the mean of one-against-rest.

    With three or more classes each class that occurs in y, but is not all of it, is set against the others, and the
    areas are averaged without weights. One number for the data set, because an area has no value per sample.

    Parameters
    ----------
    estimator : fitted estimator
        With ``classes_`` and ``predict_proba``.
    X : array-like of shape (n_samples, *features)
        The inputs at which to evaluate.
    y : array-like of shape (n_samples,)
        True labels, of any type that `estimator` was fitted with.
    sample_weight : array-like of shape (n_samples,), optional
        Weights of the rows, 1 by default: an area is the weighted share of the pairs in order.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If y has a single class, or a label that the estimator does not know.

    Examples
    --------
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> from robustxai.metrics import roc_auc
    >>> model = SimpleNamespace(classes_=np.array(["no", "yes"]), predict_proba=lambda X: np.hstack([1 - X, X]))
    >>> roc_auc(model, np.array([[0.1], [0.9], [0.4], [0.6]]), ["no", "yes", "yes", "no"])
    0.75
    """
    model = check_model(estimator, needs=("predict_proba", "classes_"), what="roc_auc")
    classes, labels = np.asarray(model.classes_), np.asarray(y)
    try:
        unknown = np.setdiff1d(labels, classes)
    except TypeError as error:
        raise TypeError(f"y must hold labels of one type, which can be sorted ({error}).") from error
    if len(unknown):
        raise ValueError(f"y has labels that the estimator was not fitted with: {unknown.tolist()}.")
    if len(np.unique(labels)) < 2:
        raise ValueError("The area under the ROC curve needs two classes in y; pass more samples.")
    scores = probabilities(estimator, X)
    columns = [1] if len(classes) == 2 else [c for c in range(len(classes)) if (labels == classes[c]).any()]
    weights = check_sample_weight(sample_weight, len(labels))
    areas = [roc_auc_score(labels == classes[c], scores[:, c], sample_weight=weights) for c in columns]
    return float(np.mean(areas))


@checked(X_adv=Rows(), y=Rows(), sample_weight=WEIGHTS)
def adversarial_auc(estimator: FittedClassifier, X_adv: Any, y: Any, *, sample_weight: Any = None) -> float:
    """Area under the ROC curve at attacked inputs, against the true labels.

    It is :func:`roc_auc` at `X_adv`. An attack on the explanation is meant to leave it near the clean value; when it
    falls, the attack has also broken the prediction.

    Parameters
    ----------
    estimator : fitted estimator
        With ``classes_`` and ``predict_proba``.
    X_adv : array-like of shape (n_samples, *features)
        The attacked inputs.
    y : array-like of shape (n_samples,)
        True labels of the inputs before the attack.
    sample_weight : array-like of shape (n_samples,), optional
        Weights of the rows, as in :func:`roc_auc`.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        As in :func:`roc_auc`.

    References
    ----------
    Chen et al., "Robust Ranking Explanations", ICML 2023 workshop (arXiv 2212.14106), Section 4.

    Examples
    --------
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> from robustxai.metrics import adversarial_auc
    >>> model = SimpleNamespace(classes_=np.array([0, 1]), predict_proba=lambda X: np.hstack([1 - X, X]))
    >>> adversarial_auc(model, np.array([[0.9], [0.1]]), [0, 1])
    0.0
    """
    return roc_auc(estimator, X_adv, y, sample_weight=sample_weight)


@checked(X=Rows(), X_adv=Rows())
def prediction_sensitivity(estimator: FittedClassifier, X: Any, X_adv: Any) -> np.ndarray:
    r"""Change of the predicted class's probability, :math:`|f_c(x) - f_c(x')|` with c the class predicted at x.

    The R2ET paper names a "sensitivity" without defining it; this reading is a choice. It is not the max-sensitivity
    of Yeh et al. (2019), which is about the explanation.

    Parameters
    ----------
    estimator : fitted estimator
        With ``predict_proba``.
    X, X_adv : array-like of shape (n_samples, *features)
        The inputs before and after.

    Returns
    -------
    ndarray of shape (n_samples,)
        Values in [0, 1].

    Raises
    ------
    ValueError
        If the numbers of samples differ.

    Examples
    --------
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> from robustxai.metrics import prediction_sensitivity
    >>> model = SimpleNamespace(predict_proba=lambda X: np.hstack([1 - X, X]))
    >>> prediction_sensitivity(model, np.array([[1.0]]), np.array([[0.25]]))
    array([0.75])
    """
    before, after = _both(estimator, X, X_adv, "prediction_sensitivity")
    predicted = before.argmax(axis=1)[:, None]
    return np.abs(np.take_along_axis(before, predicted, 1) - np.take_along_axis(after, predicted, 1))[:, 0]


@checked(X=Rows(), X_adv=Rows())
def prediction_change(estimator: FittedClassifier, X: Any, X_adv: Any) -> np.ndarray:
    """Return whether the predicted class differs between x and x'.

    An attack on explanations that changes predictions leaves its threat model; report the mean of this metric.

    Parameters
    ----------
    estimator : fitted estimator
        With ``predict_proba``.
    X, X_adv : array-like of shape (n_samples, *features)
        The inputs before and after.

    Returns
    -------
    ndarray of bool, shape (n_samples,)

    Raises
    ------
    ValueError
        If the numbers of samples differ.

    Examples
    --------
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> from robustxai.metrics import prediction_change
    >>> model = SimpleNamespace(predict_proba=lambda X: np.hstack([1 - X, X]))
    >>> prediction_change(model, np.array([[0.9], [0.8]]), np.array([[0.2], [0.7]]))
    array([ True, False])
    """
    before, after = _both(estimator, X, X_adv, "prediction_change")
    return before.argmax(axis=1) != after.argmax(axis=1)


def _both(estimator: FittedClassifier, X: Any, X_adv: Any, what: str) -> tuple[np.ndarray, np.ndarray]:
    check_model(estimator, needs=("predict_proba",), what=what)
    X_adv = aligned(X, X_adv, ("X", "X_adv"))
    _warn_of_other_features(estimator, X, X_adv, what)
    before, after = probabilities(estimator, X), probabilities(estimator, X_adv)
    if before.shape != after.shape:
        raise ValueError(f"X and X_adv must have the same samples, got {len(before)} and {len(after)}.")
    return before, after


def _warn_of_other_features(estimator: FittedClassifier, X: Any, X_adv: Any, what: str) -> None:
    """Warn where `X_adv` lies at what a Pipeline makes of X: it then comes from an attack on the last step."""
    if not isinstance(estimator, Pipeline) or len(estimator) < 2:
        return
    given, seen, moved = (np.asarray(part) for part in (X, transformed(X, [estimator[:-1]]), X_adv))
    if not given.shape == seen.shape == moved.shape or any(part.dtype.kind not in "iuf" for part in (given, moved)):
        return
    if np.abs(moved - seen).mean() < np.abs(moved - given).mean() / 2:
        warnings.warn(
            "X_adv is closer to what the Pipeline makes of X than to X, as an attack on a Pipeline returns it, and so "
            f"in the features that the last step sees. Call {what}(pipe[-1], pipe[:-1].transform(X), X_adv).",
            EvaluationWarning,
            stacklevel=outside(),
        )
