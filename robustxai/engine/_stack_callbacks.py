"""Callbacks of the nets of a stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import skorch.callbacks
from skorch import NeuralNet
from skorch.callbacks import (
    BatchScoring,
    Callback,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    LRScheduler,
    PassthroughScoring,
    PrintLog,
    WarmRestartLR,
)
from torch.optim import lr_scheduler

from robustxai.engine._declared import declares

__all__ = ["kept_by_callbacks", "why_not_supported", "with_kept"]

#: skorch's callbacks that read the history and the weights at the end of an epoch, stop a training there, or restore
#: weights at its end. Callbacks of other classes, subclasses included, declare ``stackable = True``.
_SUPPORTED = (
    BatchScoring,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    LRScheduler,
    PassthroughScoring,
    PrintLog,
)
#: Schedules that set the learning rate and nothing else; some of torch's other schedules also change Adam's betas.
_POLICIES = (
    WarmRestartLR,
    lr_scheduler.ConstantLR,
    lr_scheduler.CosineAnnealingLR,
    lr_scheduler.CosineAnnealingWarmRestarts,
    lr_scheduler.ExponentialLR,
    lr_scheduler.LambdaLR,
    lr_scheduler.LinearLR,
    lr_scheduler.MultiplicativeLR,
    lr_scheduler.MultiStepLR,
    lr_scheduler.PolynomialLR,
    lr_scheduler.ReduceLROnPlateau,
    lr_scheduler.StepLR,
)


def why_not_supported(callback: Callback) -> str:
    """Return the reason why a stack does not support the callback; an empty string if it can."""
    kind = type(callback)
    if declares(callback, "stackable"):
        return ""
    if kind not in _SUPPORTED:
        origin = "" if hasattr(skorch.callbacks, kind.__name__) else ", because it may change anything"
        return f"a stack does not support the callback {kind.__name__}{origin}"
    if kind is LRScheduler:
        policy = callback.policy_
        if policy not in _POLICIES:
            return f"a stack does not support the schedule {getattr(policy, '__name__', policy)} of {kind.__name__}"
        if callback.step_every != "epoch" or callable(callback.monitor):
            return "a stack supports LRScheduler once per epoch only, with the name of a score as monitor"
    if kind is EpochScoring and callback.on_train:
        return "a stack keeps no predictions of training batches, which EpochScoring needs with on_train=True"
    if kind is BatchScoring and callback.on_train:
        return "a stack computes no scores of training batches, which BatchScoring needs with on_train=True"
    return ""


def kept_by_callbacks(callbacks: Sequence[tuple[str, Callback]]) -> dict[str, Any]:
    """Return the state that callbacks do not pickle: the weights that an EarlyStopping would restore."""
    found = {name: getattr(c, "best_model_weights_", None) for name, c in callbacks if type(c) is EarlyStopping}
    return {name: weights for name, weights in found.items() if weights is not None}


def with_kept(net: NeuralNet, kept: Mapping[str, Any]) -> None:
    """Restore the `kept` state of a copied or unpickled net, and the optimizer of its schedulers."""
    for name, callback in net.callbacks_:
        if name in kept:
            callback.best_model_weights_ = kept[name]
        if type(callback) is LRScheduler and callback.lr_scheduler_ is not None:
            callback.lr_scheduler_.optimizer = net.optimizer_
