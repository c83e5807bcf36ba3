"""Decide which trainings can be stacked."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from skorch import NeuralNet
from skorch.dataset import Dataset
from torch import nn

from robustxai.engine._declared import declares
from robustxai.engine._stack_callbacks import why_not_supported
from robustxai.engine._stacked_adam import StackedAdam
from robustxai.engine._stacked_mlp import StackedMLP
from robustxai.engine._tensor_batches import TensorBatches, batch_size_of

__all__ = ["active_terms", "stack_key"]


def active_terms(net: NeuralNet) -> list[Any]:
    """Return the terms of nonzero weight."""
    return [term for term in net.terms if term.weight != 0]


def stack_key(net: NeuralNet) -> Hashable:
    """Return a key; nets with the same key can be stacked.

    The weights of the terms, the top-k of a ranking gap, learning rate, weight decay, softplus's beta and the random
    stream may differ within a stack.

    Raises
    ------
    NotImplementedError
        The net has a part that stacks do not support; the message names it.
    """
    if not declares(net, "stackable"):
        raise NotImplementedError(f"a stack does not support the training steps of {type(net).__name__}")
    if net.streams is None:
        raise NotImplementedError("a stack needs models with their own random streams")
    if net.compile or net.mixed_precision:
        raise NotImplementedError("a stack trains without compile and mixed_precision")
    if net.internal_batch_size is not None:
        raise NotImplementedError("a stack does not support internal_batch_size")
    kind = StackedMLP.check([net.module_])
    if not all(p.requires_grad for p in net.module_.parameters()):
        raise NotImplementedError("a stack trains all weights, but some weights of this network are frozen")
    if not declares(net.explainer, "single_gradient"):
        raise NotImplementedError(
            f"a stack needs an explainer that is one gradient, not {type(net.explainer).__name__}"
        )
    if net.adversary is not None or net.criterion_weight != 1:
        raise NotImplementedError("a stack supports neither an adversary nor a teacher")
    terms = active_terms(net)
    for term in terms:
        if not declares(term.penalty, "stackable"):
            raise NotImplementedError(f"a stack does not support the penalty {type(term.penalty).__name__}")
    if not _is_plain_cross_entropy(net.criterion_):
        raise NotImplementedError("a stack supports no other criterion than the plain cross-entropy")
    own = net.get_params(deep=False)
    if net.iterator_train is not TensorBatches or not own.get("iterator_train__shuffle"):
        raise NotImplementedError("a stack needs the shuffled batches of TensorBatches")
    if own.get("iterator_train__generator") is not None:
        raise NotImplementedError("a stack draws its batches from the streams of its models, not from a generator")
    if net.dataset is not Dataset:
        raise NotImplementedError(
            f"a stack does not support the data set {getattr(net.dataset, '__name__', net.dataset)}"
        )
    for _, callback in net.callbacks_:
        if reason := why_not_supported(callback):
            raise NotImplementedError(reason)
    shapes = tuple(tuple(p.shape) for p in net.module_.parameters())
    penalties = tuple((t.name, type(t.penalty) if declares(t.penalty, "mixes_in_stacks") else t.penalty) for t in terms)
    schedule = (net.max_epochs, batch_size_of(net), len(net.history), net.soft_labels_ is not None)
    return (kind, shapes, net.explainer, penalties, schedule, StackedAdam.key(net.optimizer_), str(net.device))


def _is_plain_cross_entropy(criterion: nn.Module) -> bool:
    if type(criterion) is not nn.CrossEntropyLoss or criterion.weight is not None or criterion.label_smoothing:
        return False
    return criterion.reduction == "mean" and criterion.ignore_index < 0  # no class has a negative index
