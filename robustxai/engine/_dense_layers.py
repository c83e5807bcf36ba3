"""Layers of a network that declares itself a multi-layer perceptron."""

from __future__ import annotations

from torch import nn

from robustxai._compat import has_gradient_hooks, has_hooks
from robustxai.activations import beta_of
from robustxai.engine._declared import declared
from robustxai.nets import DenseLayers

__all__ = ["dense_layers", "plain_dense_layers"]

#: Argument above which torch computes softplus as linear, by default.
_THRESHOLD = nn.Softplus().threshold


def dense_layers(module: nn.Module) -> DenseLayers:
    """Return the layers of a network that has passed `plain_dense_layers`."""
    layers: DenseLayers = declared(module, "dense_layers")(module)
    return layers


def plain_dense_layers(module: nn.Module) -> DenseLayers:
    """Return the layers of `module`, whose passes can be written out.

    The class of the network declares a method ``dense_layers``, as :class:`robustxai.nets.MLP` does. This is a promise
    that the network computes the composition of these layers.

    Raises
    ------
    NotImplementedError
        The network declares no such method, or was changed by hand and may compute something else. The message gives
        the reason.
    """
    if declared(module, "dense_layers") is None:
        name = type(module).__name__
        raise NotImplementedError(f"Only networks that declare dense_layers can be stacked, and {name} does not.")
    dense = dense_layers(module)
    linear, units, skip = dense
    affine = [*linear, *([] if skip is None else [skip])]
    # a parametrized layer, which is of another type, recomputes its weights in every call
    if any(type(layer) is not nn.Linear for layer in affine) or any(isinstance(unit, nn.Linear) for unit in units):
        raise NotImplementedError(
            "The layers of a stack's models must be plain nn.Linear modules with activations in between."
        )
    if any(layer.bias is None for layer in linear) or (skip is not None and skip.bias is not None):
        raise NotImplementedError("The layers of a stack's models must have a bias, and the skip must have none.")
    if len({type(unit) for unit in units}) > 1:
        raise NotImplementedError("The models of a stack must have one shape and one activation.")
    if len({beta_of(unit) for unit in units}) > 1:
        raise NotImplementedError("Each model of a stack must have one beta in all layers.")
    if any(isinstance(unit, nn.Softplus) and unit.threshold != _THRESHOLD for unit in units):
        raise NotImplementedError("The softplus of a stack's models must have the default threshold.")
    if any("forward" in vars(part) or _has_hooks(part) for part in module.modules()):
        raise NotImplementedError("The models of a stack must have no hooks and no replaced forward.")
    return dense


def _has_hooks(module: nn.Module) -> bool:
    """Return True if hooks observe or change the outputs of the module or the gradients of its parameters."""
    return has_hooks(module) or any(map(has_gradient_hooks, module.parameters(False)))
