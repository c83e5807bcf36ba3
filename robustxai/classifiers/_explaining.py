"""Predictions and explanations of a fitted network."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, validate_data
from torch import nn

from robustxai._arguments import checked, optional
from robustxai._frames import as_pandas, in_numbers, like
from robustxai._switches import own_switches
from robustxai._table_summary import TableSummary, fill
from robustxai.classifiers._chunks import in_chunks
from robustxai.classifiers._net import unwrapped
from robustxai.engine import stackable
from robustxai.explainers import EXPLAINER, ExactAttribution, resolve_explainer
from robustxai.nets import check_shape
from robustxai.protocols import Explainer, ExplainerName
from robustxai.training import small_net_threads

__all__ = ["ExplainingMixin", "contiguous"]


class ExplainingMixin:
    """Predict and explain with a fitted network.

    A class with these methods has the parameter `explainer` and, after its fit, the attributes ``module_``, ``device_``
    and ``classes_``, perhaps ``feature_means_`` and ``table_summary_``.
    """

    explainer: ExplainerName | Explainer
    classes_: np.ndarray
    device_: torch.device

    #: Whether sparse rows are taken; they are made dense.
    _takes_sparse: ClassVar[bool] = False

    if TYPE_CHECKING:

        @property
        def module_(self) -> nn.Module:
            """Inputs to logits, in evaluation mode."""
            ...

    @property
    def _input_dtype(self) -> type[np.floating[Any]]:
        """Type in which the network takes its inputs."""
        return np.float32

    def _remember(self, X: np.ndarray, weights: np.ndarray | None = None) -> None:
        """Store what is used of the training inputs, of shape (n, *features), with weights of rows or None."""
        self.feature_means_, self.feature_scales_ = _mean_and_deviation(X, weights)
        self.feature_range_ = np.stack([X.min(axis=0), X.max(axis=0)])
        names = getattr(self, "feature_names_in_", None)
        self.table_summary_ = TableSummary.of(X, names, weights) if X.ndim == 2 else None

    @property
    def explainer_(self) -> Explainer:
        """Explainer of the parameter `explainer`; attacks, certificates and metrics use it."""
        check_is_fitted(self)
        return self._with_summary(self.explainer)

    def _with_summary(self, explainer: ExplainerName | Explainer) -> Explainer:
        """Return an explainer with what it takes from the training inputs."""
        return fill(resolve_explainer(explainer), getattr(self, "table_summary_", None))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return class probabilities, shape (n_samples, n_classes), columns as in `classes_`.

        A row's result depends on the other rows by a relative 1e-6 at most, because these change the order of float32
        sums.
        """
        logits = self._forward(self._validate_inputs(X))
        # float64, so that the rows of very confident predictions still sum to one
        return logits.double().softmax(dim=-1).cpu().numpy()

    def predict(self, X: Any) -> np.ndarray:
        """Return predicted labels, shape (n_samples,)."""
        logits = self._forward(self._validate_inputs(X))
        return self.classes_[logits.argmax(dim=-1).cpu().numpy()]

    @checked(explainer=optional(EXPLAINER))
    @stackable
    def explain(self, X: Any, y: Any = None, *, explainer: ExplainerName | Explainer | None = None) -> Any:
        """Return the signed attribution of every feature to the predicted class.

        Parameters
        ----------
        X : array-like of shape (n_samples, *features)
            Inputs, as in `fit`.
        y : array-like of shape (n_samples,) or a single label, optional
            Explain these classes instead of the predicted ones.
        explainer : str or Explainer, optional
            Explainer of this call; by default that of the parameter `explainer`. A defense makes only the explanations
            stable that it was trained with.

        Returns
        -------
        ndarray or DataFrame of the shape of X
            float64, in units of the explained output per unit of X; of shape (n_samples, n_columns) for an explainer of
            columns, in units of the output. If X is a DataFrame (pandas, polars, ...), the result is one of the same
            kind, with its columns and its index. The result is exact for the network's weights up to the rounding of
            float64, at X as given (`predict` rounds X to float32). Confident rows do not underflow; see
            :class:`robustxai.explainers.ExactAttribution`.
        """
        with own_switches():
            inputs = self._validate_inputs(X, dtype=[np.float64, np.float32])
            with np.errstate(over="ignore"):
                rounded = inputs.astype(self._input_dtype)  # as the network takes it
            if not np.isfinite(rounded).all():
                self._validate_inputs(X)  # raises for entries beyond float32
            target = self._forward(rounded).argmax(dim=-1) if y is None else self.encode_target(rounded, y)
            inputs = rounded if self.device_.type == "mps" else inputs  # which has no float64
            chosen = self._with_summary(self.explainer if explainer is None else explainer)
            attribution = self._in_chunks(ExactAttribution(chosen, self.module_), inputs, target)
        names = None
        if hasattr(chosen, "attribution_shape"):
            names = getattr(chosen, "names", None) or [f"column{j}" for j in range(attribution.shape[1])]
        return like(X, attribution.cpu().numpy(), names)

    def encode_target(self, X: Any, y: Any = None) -> torch.Tensor:
        """Return class indices of labels `y` (predicted ones by default), shape (n_samples,), on `device_`."""
        if y is None:
            return self._forward(self._validate_inputs(X)).argmax(dim=-1)
        labels = np.asarray(y)
        if labels.ndim:
            check_consistent_length(X, labels)
        matches = np.broadcast_to(labels, (len(X),))[:, None] == self.classes_
        unknown = ~matches.any(axis=1)
        if unknown.any():
            label = np.broadcast_to(labels, (len(X),))[unknown].tolist()[0]
            raise ValueError(f"y holds {label!r}, which is none of the classes {self.classes_.tolist()}.")
        with own_switches():
            return torch.as_tensor(matches.argmax(axis=1), device=self.device_)

    def _validate_inputs(self, X: Any, dtype: Any = None) -> np.ndarray:
        check_is_fitted(self)
        X, module, dtype = as_pandas(X), unwrapped(self.module_), dtype or self._input_dtype
        if self._takes_sparse and issparse(X):
            X = X.toarray()
        with in_numbers(X):
            # scikit-learn looks at axis 1 alone, and calls channels features
            if np.ndim(getattr(self, "feature_means_", 0.0)) > 1:
                check_shape(module, check_array(X, dtype=dtype, allow_nd=True, input_name="X").shape)
            X = validate_data(self, X, reset=False, dtype=dtype, allow_nd=True)
        check_shape(module, X.shape)
        return contiguous(X)

    def _forward(self, X: np.ndarray) -> torch.Tensor:
        module = self.module_
        dtype = next((w.dtype for w in module.parameters() if w.is_floating_point()), torch.float32)
        with own_switches(), torch.no_grad():
            return self._in_chunks(lambda rows: module(rows.to(dtype)), X)

    def _in_chunks(self, function: Callable[..., torch.Tensor], X: np.ndarray, *others: torch.Tensor) -> torch.Tensor:
        with small_net_threads(self.module_):
            return in_chunks(function, X, *others, device=self.device_)


def contiguous(X: np.ndarray) -> np.ndarray:
    """Return a copy for torch, which refuses negative strides and warns of read-only memory."""
    return np.array(X, order="C")


def _mean_and_deviation(X: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    # float64, because the mean of many float32 values loses digits
    if weights is None:
        return X.mean(axis=0, dtype=np.float64), X.std(axis=0, dtype=np.float64)
    shares = weights / weights.max() / (weights / weights.max()).sum()
    mean = np.tensordot(shares, X.astype(np.float64), axes=1)
    return mean, np.sqrt(np.tensordot(shares, np.square(X - mean), axes=1))
