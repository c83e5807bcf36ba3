"""Choose how an objective is differentiated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from torch import Tensor, nn

from robustxai._arguments import FLAG, Each, Function, checked
from robustxai.engine._declared import declared, declares
from robustxai.engine._differentiation import Autograd, Differentiation
from robustxai.engine._explained_batch import ExplainedBatch, LookaheadPenalty
from robustxai.engine._mlp_passes import MLPPasses
from robustxai.protocols import Explainer, Penalty

__all__ = ["check_compilable", "choose_differentiation", "differentiates_inputs", "lookahead_of"]


@checked(penalties=Each(Function()), explainer=Function(), written_out=FLAG)
def choose_differentiation(
    network: nn.Module, penalties: Sequence[Penalty], explainer: Explainer, *, written_out: bool = True
) -> Differentiation:
    """Return the fastest way to differentiate an objective that gives its exact gradient.

    Passes are written out if the network declares ``dense_layers``, the explainer declares ``single_gradient`` and
    every penalty declares ``differentiates_inputs = False``. All other objectives use autograd. Autograd also serves
    objectives without penalties, because its single backward pass is as fast.

    Parameters
    ----------
    network : nn.Module
        Inputs to logits; a compiled module is differentiated by autograd.
    penalties : sequence of Penalty
        Penalties of nonzero weight.
    explainer : Explainer
        Source of the attributions that the penalties read.
    written_out : bool, default=True
        False if the network is differentiated in another way too, by an adversary or under autocast.

    Returns
    -------
    Differentiation
    """
    passes = None
    if written_out and penalties and declares(explainer, "single_gradient"):
        passes = None if any(differentiates_inputs(penalty) for penalty in penalties) else MLPPasses.of(network)
    return Autograd(network) if passes is None else passes


def check_compilable(parts: Sequence[Penalty | Callable[[ExplainedBatch], Tensor]]) -> None:
    """Raise ValueError unless all penalties and adversaries declare ``first_order``, as compiled modules need.

    torch itself would raise an error only after a long compilation, with an unclear message.
    """
    twice = [type(part).__name__ for part in parts if not declares(part, "first_order")]
    if twice:
        raise ValueError(
            "compile=True cannot be differentiated twice, which a training on input gradients needs "
            f"({', '.join(twice)}). Leave it out, or use it for objectives of first order, such as those of "
            "VanillaClassifier and AdversarialTrainingClassifier."
        )


def differentiates_inputs(penalty: Penalty) -> bool:
    """Return True if a penalty may differentiate in the inputs itself: the default unless it declares otherwise."""
    return bool(declared(penalty, "differentiates_inputs", True))


def lookahead_of(penalties: Sequence[Penalty]) -> list[LookaheadPenalty]:
    """Return the penalties whose second point is known before the forward pass: those with a method ``point``."""
    return [cast(LookaheadPenalty, penalty) for penalty in penalties if hasattr(penalty, "point")]
