"""BlackBox: any model with any explanation, as a target estimator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from typing_extensions import Self

from robustxai._arguments import Function, check_arguments
from robustxai._frames import aligned, is_table, like
from robustxai._models import check_model
from robustxai.protocols import FittedClassifier

__all__ = ["BlackBox"]


class BlackBox(ClassifierMixin, BaseEstimator):
    """Wrap a fitted classifier and a function that explains it; attacks see their outputs only.

    Attacks without gradients (:class:`NESAttack`, :class:`RandomAttack`, :class:`AutoExplanationAttack`) accept it as a
    target estimator. The others find nothing here.

    Parameters
    ----------
    estimator : fitted classifier
        Anything with ``predict_proba`` and ``classes_``.
    explainer : callable
        Inputs of shape (n, *features) to attributions of that shape, of the class that the model predicts there:
        Shapley values, occlusion, ...

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from robustxai.attacks import NESAttack
    >>> X, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(5, random_state=0).fit(X, y)
    >>> def occlusion(points):
    ...     hidden = np.repeat(points[:, None], 4, axis=1)
    ...     hidden[:, range(4), range(4)] = X.mean(axis=0)
    ...     lost = [forest.predict_proba(h).max(axis=1) for h in np.moveaxis(hidden, 1, 0)]
    ...     return forest.predict_proba(points).max(axis=1)[:, None] - np.stack(lost, axis=1)
    >>> result = NESAttack(BlackBox(forest, occlusion), k=2, max_iter=3, n_draws=4).run(X[:5])
    >>> result.precision_at_k.shape
    (5,)
    """

    device_ = torch.device("cpu")
    #: Its module computes probabilities without a derivative.
    has_gradient = False

    _constraints = {
        "explainer": Function(
            advice="BlackBox needs a fitted classifier and a callable that explains it, inputs of shape (n, *features) "
            "to attributions of that shape."
        )
    }

    def __init__(
        self, estimator: FittedClassifier | None = None, explainer: Callable[[np.ndarray], Any] | None = None
    ) -> None:
        self.estimator = estimator
        self.explainer = explainer

    def fit(self, X: Any = None, y: Any = None) -> Self:
        """Do nothing: the model is fitted."""
        check_is_fitted(self)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        check_arguments(self)
        check_model(self.estimator, needs=("predict_proba", "classes_"), what="BlackBox")
        return True

    @property
    def classes_(self) -> np.ndarray:
        """Classes of the model."""
        return np.asarray(self.estimator.classes_)  # type: ignore[union-attr]

    @property
    def n_features_in_(self) -> int:
        """Number of features that the model was fitted with, where it knows it."""
        return int(self.estimator.n_features_in_)  # type: ignore[union-attr]

    @property
    def module_(self) -> nn.Module:
        """Module from inputs to log-probabilities, which have the same argmax and softmax as logits."""
        return _Oracle(self.predict_proba)

    @property
    def explainer_(self) -> Callable[..., Tensor]:
        """Explanation in the form that attacks call."""
        return self._attribution

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return probabilities, shape (n_samples, n_classes)."""
        return np.asarray(self.estimator.predict_proba(self._named(X)))  # type: ignore[union-attr]

    def predict(self, X: Any) -> np.ndarray:
        """Return labels, shape (n_samples,)."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def explain(self, X: Any, y: Any = None) -> Any:
        """Return the output of `explainer`, shaped like X; it explains the predicted class, and `y` is not used.

        An array, or a DataFrame of the kind of X if X is one. Where both X and the explanation have column names, the
        explanation is brought into the order of X.
        """
        given = self._named(X)
        said = self.explainer(given)  # type: ignore[misc]
        said = aligned(given, said, ("X", "the explanation"), by_rows=False)
        attribution, shape = np.asarray(said, dtype=np.float64), np.shape(X)
        if attribution.shape != shape:
            raise ValueError(f"The explanation of inputs of shape {shape} has shape {attribution.shape}.")
        return like(X, attribution)

    def encode_target(self, X: Any, y: Any = None) -> Tensor:
        """Return class indices of the labels `y`, or of those that the model predicts."""
        if y is None:
            return torch.from_numpy(self.predict_proba(X).argmax(axis=1))
        return torch.from_numpy(np.searchsorted(self.classes_, np.broadcast_to(y, len(X))))

    def _named(self, X: Any) -> Any:
        """Return X with the feature names that the model was fitted with, because attacks work on plain arrays."""
        names = getattr(self.estimator, "feature_names_in_", None)
        return X if names is None or is_table(X) else pd.DataFrame(X, columns=names)

    def _attribution(
        self, module: nn.Module, x: Tensor, target: Tensor, *, logits: Tensor | None = None, create_graph: bool = False
    ) -> Tensor:
        return torch.from_numpy(np.asarray(self.explain(x.detach().cpu().numpy()))).to(x)


class _Oracle(nn.Module):
    """Wrap a function of arrays as a module without a gradient."""

    def __init__(self, predict_proba: Callable[[np.ndarray], np.ndarray]) -> None:
        super().__init__()
        self.predict_proba = predict_proba

    def __deepcopy__(self, memo: Any) -> _Oracle:
        return self  # no weights to protect, and a copy of a forest is expensive

    def forward(self, x: Tensor) -> Tensor:
        probabilities = torch.from_numpy(np.asarray(self.predict_proba(x.detach().cpu().numpy()), dtype=np.float64))
        return probabilities.clamp_min(1e-300).log()
