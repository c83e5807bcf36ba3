"""Guard of a retraining, which keeps the explanations of the old model."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import nn

from robustxai._arguments import COUNT, NOT_NEGATIVE, WEIGHTS, Function, Instance, Number, Rows, checked
from robustxai.exceptions import EvaluationWarning
from robustxai.explainers import ExactAttribution, Explainer
from robustxai.metrics import precision_at_k
from robustxai.protocols import Ranking
from robustxai.ranking import RANKING

__all__ = ["ExplanationGuard"]


class ExplanationGuard(Callback):
    r"""Stop a retraining that loses the old model's explanations or its AUC, and keep the best admissible epoch.

    An epoch is admissible if, on the validation rows,

    .. math:: \overline{P@k}(I_\text{old}, I_\text{new}) \ge p_\min \quad\text{and}\quad
        \mathrm{AUC}_\text{new} \ge \mathrm{AUC}_\text{old} - a_\max

    Training stops at the first epoch that is not admissible. The net then gets the weights of the admissible epoch with
    the lowest training loss, at which the defense's objective is best.

    Parameters
    ----------
    reference : nn.Module
        Old model, inputs to logits. Its explanations of its predicted classes are kept.
    X, y : arrays of shape (n_samples, *features) and (n_samples,)
        Validation rows in the form that the network takes, and class indices.
    explainer : Explainer
        Explainer of both models. The class that the old model predicts is explained in both.
    k : int
        Size of the top set.
    min_precision : float
        :math:`p_\min`.
    max_auc_drop : float
        :math:`a_\max`.
    ranking : {"magnitude", "signed"}, default="magnitude"
        Ranked scores.
    sample_weight : array of shape (n_samples,), optional
        Weights of the rows in the mean P@k and the AUC.

    Attributes
    ----------
    best_epoch_ : int
        Epoch whose weights were kept, counted from 1; 0 if no epoch was admissible and the first weights were kept.

    References
    ----------
    Chen et al., *Robust ranking explanations*, 2023, Section 4.7 (at most 10 epochs from the vanilla model).
    """

    @checked(
        reference=Instance(nn.Module),
        X=Rows(),
        y=Rows(),
        explainer=Function(),
        k=COUNT,
        min_precision=NOT_NEGATIVE,
        max_auc_drop=Number(),
        ranking=RANKING,
        sample_weight=WEIGHTS,
    )
    def __init__(
        self,
        reference: nn.Module,
        X: np.ndarray,
        y: np.ndarray,
        *,
        explainer: Explainer,
        k: int,
        min_precision: float,
        max_auc_drop: float,
        ranking: Ranking = "magnitude",
        sample_weight: np.ndarray | None = None,
    ) -> None:
        self.reference = reference
        self.X = X
        self.y = y
        self.explainer = explainer
        self.k = k
        self.min_precision = min_precision
        self.max_auc_drop = max_auc_drop
        self.ranking = ranking
        self.sample_weight = sample_weight

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Explain the validation rows with the old model."""
        self._x = torch.as_tensor(self.X, dtype=torch.float32, device=net.device)
        old = copy.deepcopy(self.reference).to(net.device).eval()
        logits = self._logits(old)
        self._target = logits.argmax(dim=1)
        self._attribution = self._explain(old)
        self._auc = self._auc_of(logits)
        self.best_epoch_, self._best_loss = 0, float("inf")
        self._best = copy.deepcopy(net.module_.state_dict())

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Record the P@k with the old explanations and the AUC; stop the training at an inadmissible epoch."""
        training = net.module_.training
        net.module_.eval()
        auc = self._auc_of(self._logits(net.module_))
        rows = precision_at_k(self._attribution, self._explain(net.module_), self.k, ranking=self.ranking)
        precision = np.average(rows, weights=self.sample_weight)
        net.module_.train(training)
        net.history.record("kept_precision_at_k", float(precision))
        net.history.record("valid_auc", auc)
        if precision < self.min_precision or auc < self._auc - self.max_auc_drop:
            raise KeyboardInterrupt  # skorch's way of ending a training from a callback
        if net.history[-1, "train_loss"] < self._best_loss:
            self._best_loss = net.history[-1, "train_loss"]
            self.best_epoch_ = net.history[-1, "epoch"]
            self._best = copy.deepcopy(net.module_.state_dict())

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Load the best admissible weights."""
        net.module_.load_state_dict(self._best)
        if self.best_epoch_ == 0:
            warnings.warn(
                "No epoch of the retraining kept the old explanations and AUC, so that the old weights remain. "
                "Lower lr, the weights of the penalties or min_precision, or raise max_auc_drop.",
                EvaluationWarning,
                stacklevel=2,
            )

    def _logits(self, module: nn.Module) -> torch.Tensor:
        with torch.no_grad():
            return module(self._x)

    def _explain(self, module: nn.Module) -> np.ndarray:
        return ExactAttribution(self.explainer, module)(self._x, self._target).cpu().numpy()

    def _auc_of(self, logits: torch.Tensor) -> float:
        probabilities = logits.double().softmax(dim=1).cpu().numpy()
        if probabilities.shape[1] == 2:
            return float(roc_auc_score(self.y, probabilities[:, 1], sample_weight=self.sample_weight))
        options = {"multi_class": "ovr", "labels": np.arange(probabilities.shape[1])}
        return float(roc_auc_score(self.y, probabilities, sample_weight=self.sample_weight, **options))
