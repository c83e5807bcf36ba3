"""Build and initialize the skorch net of a classifier."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from skorch import NeuralNet
from torch import nn

from robustxai._compat import uncompiled
from robustxai._models import module_of
from robustxai._random import RandomStreams
from robustxai._table_summary import filled, one_hot_groups
from robustxai._validation import nearest_name
from robustxai.classifiers._chunks import chunk_size
from robustxai.classifiers._copy import copy_with_modules
from robustxai.classifiers._device import resolve_device
from robustxai.classifiers._hooks import DefenseHooks
from robustxai.classifiers._teacher import TeacherMixin
from robustxai.explainers import attribution_shape, resolve_explainer
from robustxai.nets import NETS, accepted_arguments, check_inputs, choose_net
from robustxai.protocols import Estimator, Explainer, ExplainerName
from robustxai.ranking import count_units
from robustxai.training import HeldOut, ObjectiveNet, TensorBatches, TrainingProgress, check_module, draw_seed

__all__ = ["AUTO_STEPS", "NetMixin", "load_weights", "unwrapped"]

#: Steps that ``max_epochs="auto"`` aims at.
AUTO_STEPS = 2000


class NetMixin(TeacherMixin, DefenseHooks):
    """Build nets from the parameters and the hooks of a classifier."""

    explainer: ExplainerName | Explainer
    device: str | torch.device
    max_epochs: int | Literal["auto"]
    lr: float
    batch_size: int
    warm_up_epochs: int
    class_weight: Mapping[Any, float] | Literal["balanced"] | None
    init: Estimator | NeuralNet | nn.Module | None
    verbose: int
    mixed_precision: bool
    internal_batch_size: int | None

    def _start(
        self,
        X: np.ndarray,
        codes: np.ndarray,
        n_classes: int,
        watched: HeldOut | None = None,
        weights: np.ndarray | None = None,
    ) -> list[ObjectiveNet]:
        """Return initialized nets, to be trained in this order, each from the weights of the one before."""
        device = resolve_device(self.device)
        streams = RandomStreams(draw_seed(self.random_state))
        changes = {} if watched is None else watched.schedule.changes
        net = self._make_net(X, n_classes, device, streams=streams, **changes)
        net.held_out_ = watched
        targets = self._targets(codes)
        net.sample_weight_, net.soft_labels_ = weights, targets
        net.initialize()
        if targets is not None:
            net.check_soft_labels()
        with net.own_draws():
            check_inputs(unwrapped(net.module_), X)
        if not type(unwrapped(net.module_)).__module__.startswith("robustxai."):
            check_module(unwrapped(net.module_), X, n_classes)
        if self.init is not None:
            load_weights(net.module_, self.init)
        n_warm_up, net.max_epochs = self._phases(net.max_epochs)
        if not n_warm_up:
            return [net]
        # its random weights are replaced, and cost no draws: they come from separate streams
        unused = RandomStreams(streams.seed)
        changes |= {"max_epochs": n_warm_up}
        plain = self._make_net(X, n_classes, device, terms=[], adversary=None, streams=unused, **changes)
        plain.initialize()
        plain.streams = streams
        plain.sample_weight_, plain.soft_labels_ = weights, targets
        load_weights(plain.module_, net.module_)
        return [plain, net]

    def _make_net(self, X: np.ndarray, n_classes: int, device: torch.device, **changes: Any) -> ObjectiveNet:
        """Build the net that trains; `changes` override its arguments."""
        names, weights = getattr(self, "feature_names_in_", None), getattr(self, "_input_weight", None)
        explainer = filled(resolve_explainer(self.explainer), X, names, weights)
        params = self._net_params()
        module = params.pop("module", self.net_defaults["module"])
        if isinstance(module, str):
            chosen = choose_net(X) if module == "auto" else NETS[module]
            _check_module_params(module, chosen, params, X.shape)
            module = chosen
        defaults: dict[str, Any] = {**self.net_defaults, "train_split": None}
        del defaults["module"]
        if params.get("callbacks") == "disable":
            defaults = {name: value for name, value in defaults.items() if not name.startswith("callbacks__")}
        if inspect.isclass(module):
            wanted = {"n_features": int(np.prod(X.shape[1:])), "in_shape": X.shape[1:], "n_classes": n_classes}
            if X.ndim == 2 and "groups" in inspect.signature(module.__init__).parameters:
                groups = getattr(explainer, "groups", None)
                wanted["groups"] = [list(map(int, group)) for group in groups or one_hot_groups(X)]
            arguments = accepted_arguments(module, {**wanted, **self.module_params()})
            defaults |= {f"module__{name}": value for name, value in arguments.items()}
        defaults |= {f"optimizer__{name}": value for name, value in self.optimizer_params().items()}
        merged = {**defaults, **_copies({**params, "module": module})}
        module = merged.pop("module")
        if merged["optimizer"] is torch.optim.Adam:
            merged.setdefault("optimizer__fused", True)  # one kernel for all weights: a quarter off a small net's step
        for name in ("iterator_train", "iterator_valid"):
            if merged[name] is TensorBatches:
                merged[f"{name}__device"] = device
        merged.setdefault("iterator_train__shuffle", True)
        merged.setdefault("iterator_valid__batch_size", chunk_size(X))
        if changes.get("verbose", self.verbose) > 1 and merged.get("callbacks") != "disable":
            merged["callbacks"] = [*(merged.get("callbacks") or []), ("progress", TrainingProgress())]
        own = {
            "terms": self.terms(count_units(attribution_shape(explainer, X.shape[1:]))),
            "explainer": explainer,
            "adversary": self.adversary(),
            "lr": self.lr,
            "max_epochs": self._n_epochs(len(X)),
            "batch_size": self.batch_size,
            "device": str(device),
            "verbose": int(self.verbose == 1),
            "mixed_precision": bool(self.mixed_precision),
            "internal_batch_size": self.internal_batch_size,
        }
        return self.net_class(module, **{**own, **merged, **changes})

    def _phases(self, max_epochs: int) -> tuple[int, int]:
        """Return the number of epochs of the warm-up, and of the training after it."""
        return self.warm_up_epochs, max_epochs

    def _n_epochs(self, n_rows: int) -> int:
        if self.max_epochs != "auto":
            return int(self.max_epochs)
        return min(max(-(-AUTO_STEPS // self._steps_per_epoch(n_rows)), 15), 200)

    def _steps_per_epoch(self, n_rows: int) -> int:
        return -(-n_rows // (self.batch_size if self.batch_size > 0 else n_rows))


def _check_module_params(asked: str, module: type[nn.Module], params: dict[str, Any], shape: tuple[int, ...]) -> None:
    """Raise ValueError for a ``module__name`` that the chosen network does not take."""
    names = set(inspect.signature(module.__init__).parameters) - {"self"}
    for key in params:
        prefix, _, name = key.partition("__")
        if prefix == "module" and name not in names:
            raise ValueError(
                f"module={asked!r} is {module.__name__} for X of shape {shape}, and that has no parameter {name!r}."
                f"{nearest_name(name, names)}"
            )


def load_weights(module: nn.Module, init: Estimator | NeuralNet | nn.Module) -> None:
    """Copy the weights of a fitted classifier (in a Pipeline or search too), a skorch net or a module into `module`."""
    source, _ = module_of(init, "init")
    try:
        unwrapped(module).load_state_dict(copy.deepcopy(unwrapped(source).state_dict()))
    except RuntimeError as error:
        raise ValueError(f"init does not fit the module that this classifier trains: {error}") from error


def _copies(params: dict[str, Any]) -> dict[str, Any]:
    """Return `params` with copies of modules, criteria and their arguments, which a fit trains or moves to a device."""
    memo: dict[int, Any] = {}  # one for all, so that two arguments that share an object still share it
    copies = dict(params)
    for name, value in params.items():
        if name.partition("__")[0] in ("module", "criterion"):
            try:
                copies[name] = copy_with_modules(value, memo)
            except Exception as error:
                raise TypeError(
                    f"{name} cannot be copied ({type(error).__name__}: {error}), and a fit trains a copy. Pass a "
                    "class and its arguments as module__...; every fit then makes its own instance."
                ) from error
    return copies


def unwrapped(module: nn.Module) -> nn.Module:
    """Return the module inside of a wrapper of torch.compile or distributed training."""
    if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        module = module.module
    return uncompiled(module)
