"""Run one attack on many estimators at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator
from torch import Tensor
from typing_extensions import Self

from robustxai._doubts import warn_of_mismatch
from robustxai._switches import own_switches
from robustxai.attacks._base import BaseAttack
from robustxai.attacks._result import AttackResult
from robustxai.attacks._retarget import retarget
from robustxai.columns import TableThreat
from robustxai.engine import MOST_ROWS, StackedMLP, StackRows, declares, has_piecewise_linear, of_rows
from robustxai.explainers import ExactAttribution
from robustxai.ranking import as_tensor, count_units
from robustxai.training import small_net_threads

__all__ = ["run_together"]


def run_together(attack: BaseAttack, estimators: Sequence[tuple[Any, Any]]) -> list[AttackResult]:
    """Run `attack` on every estimator, by one search with a stack of their networks.

    Random draws are the same for every row, and rows do not depend on each other. Each result therefore equals that of
    ``attack.run`` on the estimator alone, up to the rounding of float32.

    Parameters
    ----------
    attack : attack
        Attack, whose `estimator` is replaced by the estimators.
    estimators : sequence of (fitted classifier, X of shape (n_samples, n_features))
        Each estimator with its own rows.

    Returns
    -------
    list of AttackResult
        Result of each estimator.

    Raises
    ------
    NotImplementedError
        The estimators or the attack must be run one by one; the message gives the reason.
    """
    if not all(declares(getattr(type(attack), name, None), "stackable") for name in ("_search", "propose")):
        raise NotImplementedError(f"{type(attack).__name__} has a search that cannot be run on a stack")
    if isinstance(attack.threat, TableThreat):
        raise NotImplementedError("a TableThreat speaks of the columns of one pipeline")
    if attack.random_state is None or not isinstance(attack.random_state, (int, np.integer)):
        raise NotImplementedError("an attack draws other numbers for every estimator unless random_state is a number")
    with own_switches():
        together = _Together(estimators)  # raises for estimators that cannot be stacked, before they are used
    for classifier, _ in estimators:
        n_units = count_units(classifier.feature_means_.shape)
        k = min(int(attack.k), max(n_units - 1, 1))
        warn_of_mismatch(classifier, f"The {type(attack).__name__}", k=k, ranking=attack.ranking)
    with own_switches():
        attack = retarget(attack, together)
    parts = [X for _, X in estimators]
    if all(isinstance(part, pd.DataFrame) for part in parts):
        rows = pd.concat(parts)
    else:
        rows = np.concatenate([np.asarray(part) for part in parts])
    found = attack.run(rows)
    ends = np.cumsum([0, *(len(part) for part in parts)])
    return [found.of_rows(slice(start, end)) for start, end in pairwise(ends)]


class _Together(BaseEstimator):
    """Target estimator of one attack, made of many fitted classifiers; its rows are the concatenation of theirs.

    Labels are class indices.
    """

    def __init__(self, estimators: Sequence[tuple[Any, Any]]) -> None:
        classifiers = [classifier for classifier, _ in estimators]
        for classifier in classifiers:
            if not declares(getattr(type(classifier), "explain", None), "stackable"):
                raise NotImplementedError(f"{type(classifier).__name__} is not a classifier of this library")
            if has_piecewise_linear(classifier.module_):
                raise NotImplementedError("each network with ReLUs is attacked through a surrogate of its own")
        self.explainer_ = classifiers[0].explainer_
        if not declares(self.explainer_, "single_gradient") or any(
            c.explainer_ != self.explainer_ for c in classifiers
        ):
            raise NotImplementedError("the estimators of one attack must share one explainer that is a single gradient")
        self.device_ = classifiers[0].device_
        self.feature_scales_ = getattr(classifiers[0], "feature_scales_", None)
        owner = torch.repeat_interleave(torch.tensor([len(X) for _, X in estimators]))
        stack = StackedMLP([classifier.module_ for classifier in classifiers])
        self.module_ = StackRows(stack, owner).to(self.device_)

    def fit(self, X: Any = None, y: Any = None) -> Self:
        """Return self; the classifiers are fitted."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def encode_target(self, X: Any, y: Any = None) -> Tensor:
        """Return the predicted classes of all rows."""
        x = self._tensor(X)
        with torch.no_grad(), small_net_threads(self.module_):
            parts = [of_rows(self.module_, part)(x[part]).argmax(dim=1) for part in self._parts(x)]
        return torch.cat(parts)

    def predict(self, X: Any) -> np.ndarray:
        """Return the predicted classes of all rows as an array."""
        return self.encode_target(X).cpu().numpy()

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the class probabilities of all rows."""
        x = self._tensor(X)
        with torch.no_grad(), small_net_threads(self.module_):
            parts = [of_rows(self.module_, part)(x[part]).double().softmax(dim=1) for part in self._parts(x)]
        return torch.cat(parts).cpu().numpy()

    def explain(self, X: Any, y: np.ndarray) -> np.ndarray:
        """Return the attributions of the classes y of all rows, shaped like X."""
        x, target = as_tensor(np.asarray(X)).to(self.device_), torch.as_tensor(y, device=self.device_)
        with small_net_threads(self.module_):
            parts = [
                ExactAttribution(self.explainer_, of_rows(self.module_, part))(x[part], target[part])
                for part in self._parts(x)
            ]
        return torch.cat(parts).cpu().numpy()

    def _tensor(self, X: Any) -> Tensor:
        return as_tensor(np.asarray(X)).to(self.device_, torch.float32)

    def _parts(self, x: Tensor) -> Sequence[Tensor]:
        size = MOST_ROWS if self.module_.owner.device.type == "cpu" else len(x)
        return torch.arange(len(x), device=x.device).split(size)
