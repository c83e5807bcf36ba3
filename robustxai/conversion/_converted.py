"""The classifier that a converted model is."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet
from torch import nn
from typing_extensions import Self

from robustxai._arguments import check_arguments
from robustxai._frames import as_pandas, in_numbers
from robustxai._models import check_model
from robustxai._portable import available, pack, unpack
from robustxai._switches import own_switches, trainable
from robustxai.classifiers import DEVICE, ExplainingMixin, resolve_device
from robustxai.conversion._exact import exact_network
from robustxai.explainers import EXPLAINER, resolve_explainer
from robustxai.protocols import Explainer, ExplainerName, FittedClassifier

__all__ = ["ConvertedClassifier"]


class ConvertedClassifier(ExplainingMixin, ClassifierMixin, BaseEstimator):
    """A classifier of scikit-learn or skorch, or a torch module, as a network that explains its predictions.

    :func:`as_explainable` makes fitted ones of fitted models. `fit` fits the model by its own method and converts it.
    Probabilities are equal to 1e-6. Weights of float64 stay float64.

    Parameters
    ----------
    estimator : classifier, skorch net or nn.Module
        The model. `fit` trains a clone of it; a module alone cannot be fitted.
    explainer : str or Explainer, default="gradient"
        Attribution that `explain` returns, as in every classifier of the library.
    device : str, default="auto"
        "auto" (the GPU if there is one, else the CPU) or the name of a torch device. `device` and `explainer` may be
        changed by ``set_params`` after `fit` and take effect at once.

    Attributes
    ----------
    estimator_ : classifier, skorch net or nn.Module
        The fitted model.
    classes_ : ndarray of shape (n_classes,)
        Labels, in the order of the columns of `predict_proba`.
    n_features_in_ : int
    feature_names_in_ : ndarray of str, only if the model has it
    feature_means_, feature_scales_, feature_range_, table_summary_
        Of the rows that were given, as in :class:`~robustxai.classifiers.BaseExplainableClassifier`; absent without
        rows.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neural_network import MLPClassifier
    >>> from robustxai.conversion import ConvertedClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = ConvertedClassifier(MLPClassifier((8,), random_state=0, max_iter=1000)).fit(X, y)
    >>> bool(abs(clf.predict_proba(X) - clf.estimator_.predict_proba(X)).max() < 1e-6)
    True
    >>> clf.explain(X).shape
    (150, 4)
    """

    _constraints = {"explainer": EXPLAINER, "device": DEVICE}
    _takes_sparse = True

    def __init__(
        self,
        estimator: FittedClassifier | NeuralNet | nn.Module | None = None,
        *,
        explainer: ExplainerName | Explainer = "gradient",
        device: str | torch.device = "auto",
    ) -> None:
        self.estimator = estimator
        self.explainer = explainer
        self.device = device

    def fit(self, X: Any, y: Any, **fit_params: Any) -> Self:
        """Fit a clone of the model by its own ``fit(X, y, **fit_params)``, and convert it.

        Raises
        ------
        TypeError
            A model that cannot be fitted, or no network computes what it does.
        ValueError
            No network has the probabilities of the fitted model.
        """
        check_arguments(self)
        if isinstance(self.estimator, nn.Module) or not hasattr(self.estimator, "fit"):
            raise TypeError(
                "ConvertedClassifier.fit trains a classifier of scikit-learn or skorch, and "
                f"{type(self.estimator).__name__} has no fit. VanillaClassifier(module=module).fit(X, y) trains a "
                "module."
            )
        model = clone(self.estimator).fit(X, y, **fit_params)
        check_model(model, needs=("classes_", "predict_proba"), what="ConvertedClassifier")
        with own_switches():
            return self._hold(model, exact_network(model, X), np.asarray(model.classes_), X)

    def _hold(self, model: Any, network: nn.Module, classes: np.ndarray, X: Any = None) -> Self:
        """Store a fitted model, the network that equals it, and what is known of the rows."""
        self.estimator_, self.classes_ = model, classes
        self.device_ = resolve_device(self.device)
        self._network = network.to(self.device_).eval()
        names = getattr(X, "columns", getattr(model, "feature_names_in_", None))
        if names is not None and all(isinstance(name, str) for name in names):
            self.feature_names_in_ = np.asarray(names, dtype=object)
        if X is not None:
            X = as_pandas(X)
            with in_numbers(X):
                rows = np.asarray(X.toarray() if hasattr(X, "toarray") else X, dtype=np.float64)
            self.n_features_in_ = rows.shape[1]
            if len(rows):
                self._remember(rows)
        else:
            self.n_features_in_ = int(model.n_features_in_)
        return self

    @property
    def module_(self) -> nn.Module:
        """Torch module: inputs of shape (n, *features) to logits of shape (n, n_classes), in evaluation mode."""
        check_is_fitted(self)
        return self._network.eval()

    @property
    def _input_dtype(self) -> type[np.floating[Any]]:
        weight = next((w for w in self._network.parameters() if w.is_floating_point()), None)
        return np.float64 if weight is not None and weight.dtype == torch.float64 else np.float32

    def set_params(self, **params: Any) -> Self:
        """Set parameters; `explainer` and `device` of a fitted classifier take effect at once.

        Raises
        ------
        ValueError, TypeError
            An explainer or a device that does not exist; nothing is set then.
        """
        if self.__sklearn_is_fitted__():
            if "explainer" in params:
                resolve_explainer(params["explainer"])
            if "device" in params:
                self.device_ = resolve_device(params["device"])
                self._network = self._network.to(self.device_)
        super().set_params(**params)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_network")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return pack(state) if state.get("device_", torch.device("cpu")).type != "cpu" else state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(unpack(state))
        if self.__sklearn_is_fitted__():
            trainable(self._network)
            if not available(self.device_):
                self.device_ = next(self._network.parameters()).device
