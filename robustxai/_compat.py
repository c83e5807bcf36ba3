"""The one place that uses private names of other packages.

Each name has here a function or class with a public name, a reason, and a test in ``tests/test_compat.py`` that names
the versions in which it was checked. A release of a dependency that removes one breaks that test first.

Two private names are overridden elsewhere, because that is what they are for: skorch's ``_default_callbacks`` and
``torch.nn.Module._apply``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from sklearn.metrics._scorer import _MultimetricScorer
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _check_method_params, _num_samples
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm
from torch.nn.modules.dropout import _DropoutNd as Dropout
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = [
    "FORWARD_METHODS",
    "AcceptsWeights",
    "BaseSearchCV",
    "BatchNorm",
    "DispatchMode",
    "Dropout",
    "SearchCV",
    "add_products",
    "boosted_trees",
    "callback_names",
    "criterion_names",
    "fit_params_by_row",
    "has_gradient_hooks",
    "has_hooks",
    "in_backward_pass",
    "is_composite",
    "lerp",
    "mark_stepped",
    "multiply",
    "n_samples",
    "new_subclass",
    "operation_arguments",
    "own_callback_names",
    "plain_functions",
    "scorers_by_name",
    "set_study_attribute",
    "set_training",
    "set_trial_attribute",
    "study_attributes",
    "study_storage",
    "take_rows",
    "takes_weights",
    "uncompiled",
]

# ---------------------------------------------------------------- scikit-learn


class SearchCV(BaseSearchCV):
    """``BaseSearchCV`` with its hooks under names of this library.

    scikit-learn names the base of its searches and all of their steps privately, and offers no public way to train
    candidates together.
    """

    def _scorers_of_search(self) -> Any:
        """Return the scorers that `scoring` names; ValueError for an unknown name."""
        return self._get_scorers()[0]

    def _search(self, evaluate: Callable[..., Mapping[str, Any]], callbacks: Any) -> None:
        """Call `evaluate` with lists of candidates. `callbacks` is scikit-learn's context, None before 1.9."""
        raise NotImplementedError

    def _routed(self, params: dict[str, Any]) -> Any:
        """Return the parameters of `fit` by receiver: estimator, splitter and scorer."""
        return super()._get_routed_params_for_fit(params)

    def _results(self, candidates: Sequence[Any], n_splits: int, out: list[dict[str, Any]], more: Any) -> Any:
        """Return ``cv_results_``."""
        return super()._format_results(candidates, n_splits, out, more)

    def _best_index(self, refit: Any, metric: str, results: Any) -> Any:
        """Return the index of the best candidate."""
        return super()._select_best_index(refit, metric, results)

    def _run_search(self, evaluate_candidates: Callable[..., Any], *, callback_ctx: Any = None) -> None:
        self._search(evaluate_candidates, callback_ctx)

    def _get_routed_params_for_fit(self, params: dict[str, Any]) -> Any:
        return self._routed(params)

    def _format_results(
        self, candidate_params: Any, n_splits: int, out: list[dict[str, Any]], more_results: Any = None
    ) -> Any:
        return self._results(candidate_params, n_splits, out, more_results)

    def _select_best_index(self, refit: Any, refit_metric: str, results: Any) -> Any:
        return self._best_index(refit, refit_metric, results)


def scorers_by_name(scorer: Any) -> Any:
    """Return the scorers of a multi-metric scorer by name, and any other scorer as it is."""
    return scorer._scorers if isinstance(scorer, _MultimetricScorer) else scorer


def n_samples(X: Any) -> int:
    """Return the number of rows of an array, table, sparse matrix or list."""
    return _num_samples(X)


def take_rows(X: Any, rows: np.ndarray) -> Any:
    """Return rows of an array, table, sparse matrix or list, in its kind of container."""
    return _safe_indexing(X, rows)


def fit_params_by_row(X: Any, params: Mapping[str, Any], rows: np.ndarray | None = None) -> dict[str, Any]:
    """Return parameters of `fit`, those with one entry per row as arrays that can be indexed, or only their `rows`."""
    return _check_method_params(X, params=params, indices=rows)


class AcceptsWeights:
    """Tell scikit-learn's searches that a scorer takes `sample_weight`, which is asked for without metadata routing."""

    def _accept_sample_weight(self) -> bool:
        return True


def takes_weights(scorer: Any) -> bool:
    """Return whether a scorer takes `sample_weight`, without metadata routing."""
    if hasattr(scorer, "_accept_sample_weight"):  # scikit-learn's from 1.7 on, and this library's
        return bool(scorer._accept_sample_weight())
    function = getattr(scorer, "_score_func", None)
    if function is None and hasattr(scorer, "_estimator"):
        function = scorer._estimator.score
    return "sample_weight" in inspect.signature(scorer if function is None else function).parameters


# ---------------------------------------------------------------- skorch


def callback_names(net: Any) -> list[str]:
    """Return the names that the callbacks of a net get, before they are made."""
    return [name for name, _ in net._uniquely_named_callbacks()]


def own_callback_names(net: Any) -> set[str]:
    """Return the names of the default callbacks of a net."""
    return {name for name, _ in net._default_callbacks}


def criterion_names(net: Any) -> list[str]:
    """Return the names of a net's modules and criteria, without the underscore of the fitted attribute."""
    return [*net._modules, *net._criteria]


def set_training(net: Any, training: bool) -> None:
    """Set the modules and criteria of a net to training or evaluation mode."""
    net._set_training(training)


# ---------------------------------------------------------------- optuna


def study_storage(study: Any) -> Any:
    """Return the storage of a study, to open it a second time."""
    return study._storage


def set_trial_attribute(study: Any, trial: Any, key: str, value: Any) -> None:
    """Set a system attribute of a running trial."""
    study._storage.set_trial_system_attr(trial._trial_id, key, value)


def study_attributes(study: Any) -> dict[str, Any]:
    """Return the system attributes of a study."""
    return study._storage.get_study_system_attrs(study._study_id)


def set_study_attribute(study: Any, key: str, value: Any) -> None:
    """Set a system attribute of a study."""
    study._storage.set_study_system_attr(study._study_id, key, value)


# ---------------------------------------------------------------- torch

#: Base of the modes that intercept every operation of a thread.
DispatchMode = TorchDispatchMode
#: Names of the methods that compute the output of a layer of torch.
FORWARD_METHODS = ("forward", "_conv_forward")


def has_hooks(module: nn.Module) -> bool:
    """Return whether the module itself has hooks on its forward or backward pass."""
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )


def has_gradient_hooks(part: nn.Module | Tensor) -> bool:
    """Return whether a module or a parameter has hooks on its gradient."""
    names = ("_backward_hooks", "_backward_pre_hooks", "_post_accumulate_grad_hooks")
    return any(bool(getattr(part, name, None)) for name in names)


def uncompiled(module: nn.Module) -> nn.Module:
    """Return the module that ``torch.compile`` wraps, or the module itself."""
    return getattr(module, "_orig_mod", module)


def mark_stepped(optimizer: torch.optim.Optimizer) -> None:
    """Mark an optimizer as stepped, so that torch's schedulers do not warn of a missing step."""
    optimizer._opt_called = True  # type: ignore[attr-defined]


def lerp(tensors: list[Tensor], ends: list[Tensor], weight: float) -> None:
    """Move each tensor towards its end by the share `weight`, in place, in one operation."""
    torch._foreach_lerp_(tensors, ends, weight)


def multiply(tensors: list[Tensor], factor: float) -> None:
    """Multiply each tensor by `factor`, in place, in one operation."""
    torch._foreach_mul_(tensors, factor)


def boosted_trees(estimator: Any) -> tuple[Any, Any]:
    """Return the trees of a fitted ``HistGradientBoostingClassifier``, and the scores to which they are added.

    scikit-learn has no public access to the nodes. The trees are lists, one for every iteration, of one tree for every
    score; the nodes of a tree are a structured array, ``nodes``.
    """
    return estimator._predictors, estimator._baseline_prediction


def add_products(tensors: list[Tensor], first: list[Tensor], second: list[Tensor], factor: float) -> None:
    """Add `factor` times the products of `first` and `second` to each tensor, in place, in one operation."""
    torch._foreach_addcmul_(tensors, first, second, factor)


def in_backward_pass() -> bool:
    """Return whether this thread is inside of a backward pass."""
    return torch._C._current_graph_task_id() != -1


def is_composite(operation: Any) -> bool:
    """Return whether an operation consists of other operations, also for autograd."""
    return operation.has_kernel_for_dispatch_key(torch._C.DispatchKey.CompositeImplicitAutograd)


def operation_arguments(operation: Any) -> Sequence[Any]:
    """Return the declared arguments of an operation, each with ``name``, ``type`` and ``kwarg_only``."""
    return operation._schema.arguments


def plain_functions() -> AbstractContextManager[Any]:
    """Return a context in which subclasses of Tensor do not intercept functions of torch."""
    return torch._C.DisableTorchFunctionSubclass()


def new_subclass(kind: type[Tensor], data: Tensor) -> Any:
    """Return a leaf of the class `kind` with the memory of `data`, which requires grad."""
    return torch.Tensor._make_subclass(kind, data, True)
