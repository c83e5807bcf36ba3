"""What can be trained as one."""

from __future__ import annotations

from collections.abc import Hashable

from skorch.callbacks import PassthroughScoring
from torch import nn

from robustxai.explainers import Gradient
from robustxai.nets import StackedMLP
from robustxai.penalties import CrossLipschitz, EstimatedHessian, RankingGap, RelativeHessian
from robustxai.training._iterator import TensorBatches, batch_size_of
from robustxai.training._net import ObjectiveNet, Term
from robustxai.training._schedule import OneCycle
from robustxai.training._stacked_adam import StackedAdam

__all__ = ["active_terms", "stack_key"]

#: Penalties that read a stack as they read one network, drawing through the batch what they draw.
_STACKABLE = (RankingGap, RelativeHessian, EstimatedHessian, CrossLipschitz)
#: Of those, the ones that read nothing but scores, so that some members can have one and others another.
_READS_SCORES = (RankingGap,)
#: What these do for a batch, the stack does itself.
_KNOWN_CALLBACKS = (OneCycle, PassthroughScoring)


def active_terms(net: ObjectiveNet) -> list[Term]:
    """The terms that the net computes."""
    return [term for term in net.terms if term.weight != 0]


def stack_key(net: ObjectiveNet) -> Hashable:
    """Nets with the same key can be stacked.

    The weights of the terms, the top-k of a ranking gap, learning rate, weight decay, softplus's beta and the random
    stream may differ within a stack.

    Raises
    ------
    NotImplementedError
        The net has something that stacks do not know; the message says what.
    """
    if type(net) is not ObjectiveNet:
        raise NotImplementedError(f"a stack does not know the training steps of {type(net).__name__}")
    if net.streams is None:
        raise NotImplementedError("the members of a stack have random streams of their own")
    if net.compile or net.mixed_precision:
        raise NotImplementedError("a stack trains without compile and mixed_precision")
    if net.internal_batch_size is not None:
        raise NotImplementedError("a stack computes its batches as a whole, without internal_batch_size")
    kind = StackedMLP.check([net.module_])
    if not isinstance(net.explainer, Gradient):
        raise NotImplementedError(f"a stack explains by Gradient, not by {type(net.explainer).__name__}")
    if net.adversary is not None or net.criterion_weight != 1:
        raise NotImplementedError("a stack knows no adversary and no teacher")
    terms = active_terms(net)
    for term in terms:
        if not isinstance(term.penalty, _STACKABLE):
            raise NotImplementedError(f"a stack does not know the penalty {type(term.penalty).__name__}")
    if type(net.criterion_) is not nn.CrossEntropyLoss or net.criterion_.weight is not None:
        raise NotImplementedError("a stack minimises the plain cross-entropy")
    if net.criterion_.label_smoothing or net.criterion_.reduction != "mean":
        raise NotImplementedError("a stack minimises the plain cross-entropy")
    if net.iterator_train is not TensorBatches or not net.get_params().get("iterator_train__shuffle"):
        raise NotImplementedError("a stack draws its batches by TensorBatches, shuffled")
    for method in ("on_batch_begin", "on_batch_end", "on_grad_computed"):
        for listener in net.listeners(method):
            if not isinstance(listener.__self__, _KNOWN_CALLBACKS):
                raise NotImplementedError(f"a stack does not call {type(listener.__self__).__name__}.{method}")
    shapes = tuple(tuple(p.shape) for p in net.module_.parameters())
    penalties = tuple((t.name, type(t.penalty) if isinstance(t.penalty, _READS_SCORES) else t.penalty) for t in terms)
    schedule = (net.max_epochs, batch_size_of(net), len(net.history))
    return (kind, shapes, net.explainer, penalties, schedule, StackedAdam.key(net.optimizer_), str(net.device))
