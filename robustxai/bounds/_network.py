"""A torch module in the form that bounds need: layers of units, each fed linearly by the input and earlier layers."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from robustxai._compat import has_gradient_hooks
from robustxai.activations import ActivationBounds, beta_of, find_activation
from robustxai.bounds import _operations  # noqa: F401 (registers the handlers)
from robustxai.bounds._symbol import Affine, Layer, Reading, Symbol
from robustxai.engine import held_statistics, kept
from robustxai.ranking import count_units

__all__ = ["Affine", "Layer", "Network", "check_reading", "double_copy", "read_network"]

#: Allowed difference between the network and the module, as a share of the largest entry: a tenth of the slack of a
#: proof. Rounding is far below it, and so is the error of torch's softplus, which is linear beyond its threshold.
_TOLERANCE = 1e-7
#: Rows that are compared at once.
_ROWS = 256


@dataclass(frozen=True)
class Network:
    """Layers in order (the j-th, counted from 1, is source j), and the logits."""

    n_features: int
    layers: list[Layer]
    logits: Affine

    def __call__(self, x: Tensor) -> Tensor:
        """Compute logits of shape (n, n_classes) for x of shape (n, n_features)."""
        values = [x]
        for layer in self.layers:
            values.append(layer.activation.value(_evaluate(layer.inputs, values)))
        return _evaluate(self.logits, values)


def _evaluate(affine: Affine, values: list[Tensor]) -> Tensor:
    total = affine.bias.expand(len(values[0]), -1)
    for source, weight in affine.weights.items():
        total = total + values[source] @ weight.T
    return total


def double_copy(module: nn.Module) -> nn.Module:
    """Copy `module` in float64 to the CPU, in evaluation mode and with weights that require no gradient."""
    try:
        return copy.deepcopy(module).double().cpu().eval().requires_grad_(False)
    except Exception as error:  # a module may raise anything when it is copied
        raise NotImplementedError(f"{type(module).__name__} cannot be copied for a certificate ({error}).") from error


def read_network(module: nn.Module, feature_shape: Sequence[int], *, live: bool = False) -> Network:
    """Read the function that `module` computes in evaluation mode; its inputs have shape (n, *feature_shape).

    Supported are linear layers, convolutions, average pooling, padding, flattening and other moves of entries, batch
    normalization with running statistics, dropout (inactive in evaluation mode), sums of branches, arithmetic with
    constants, the activations softplus, sigmoid, tanh and ReLU, as modules, as functions or as methods, in place or
    not, in hooks and in parametrized layers, and activations whose record declares bounds. One pass is traced,
    operation by operation (:mod:`._symbol`).

    Parameters
    ----------
    module : nn.Module
        Torch module; it is not changed.
    feature_shape : sequence of int
        Shape of one input.
    live : bool, default=False
        False copies the weights to float64 on the CPU, for a proof. True keeps their type, device and graph, for a
        training that differentiates the bounds.

    Raises
    ------
    NotImplementedError
        The module has an operation that is not supported; the message names it. Pairs of several channels: the bounds
        assume that the channels of a unit are whole blocks of the input, which they are not in a pair.
    """
    if len(feature_shape) > 3 and math.prod(feature_shape) > count_units(feature_shape):
        raise NotImplementedError("Certificates support pairs of one channel only; the channels of these are summed.")
    _refuse_changed_gradients(module)
    if not live:
        shape = tuple(map(int, feature_shape))
        return kept(module, f"network of inputs {shape}", lambda: _read(module, shape, live=False))
    return _read(module, feature_shape, live=live)


def _read(module: nn.Module, feature_shape: Sequence[int], *, live: bool) -> Network:
    read = module if live else double_copy(module)
    name = type(module).__name__
    like = next(read.parameters(), torch.empty(0, dtype=torch.float64)).detach()
    reading = Reading(name, like, live)
    x = reading.input(tuple(feature_shape))
    before = {} if live else {key: value.clone() for key, value in read.state_dict().items()}
    with torch.inference_mode(False), torch.enable_grad(), held_statistics(read), _declared_bounds(read, reading):
        try:
            result = read(x)
        except NotImplementedError:
            raise
        except Exception as error:  # a forward may raise anything
            reason = str(error).split(". ")[0].rstrip(".")
            raise NotImplementedError(
                f"{name} cannot be read as a fixed chain of layers ({type(error).__name__}: {reason}). Certificates "
                "support linear layers, convolutions, average pooling, sums and the activations softplus, sigmoid, "
                "tanh and ReLU."
            ) from error
    if not isinstance(result, Symbol):
        raise NotImplementedError(f"{name} does not return a single tensor that depends on its input.")
    value = reading.of(result)
    if len(value.shape) != 1:
        raise NotImplementedError(f"{name} returns rows of shape {value.shape} instead of one logit for each class.")
    for key, old in before.items():
        if not torch.equal(old, read.state_dict()[key]):
            raise NotImplementedError(f"{name} changes its buffer {key!r} when it is called.")
    return Network(int(math.prod(feature_shape)), reading.layers, value.affine.written_out())


@contextmanager
def _declared_bounds(module: nn.Module, reading: Reading) -> Iterator[None]:
    """Read modules of users' activations as units with the bounds of their records, not by their operations."""
    units: list[nn.Module] = []
    try:
        for part in module.modules():
            record = find_activation(type(part))
            if record is None or record.module is not None or record.bounds is None or "forward" in vars(part):
                continue
            bounds = record.bounds(beta_of(part) or 1.0)
            part.forward = partial(_activate, reading, bounds, part.forward)
            units.append(part)
        yield
    finally:
        for part in units:
            del part.forward


def _activate(reading: Reading, bounds: ActivationBounds, forward: Callable[[Any], Any], z: Any) -> Any:
    if not isinstance(z, Symbol):
        return forward(z)
    with reading.computing():
        return reading.activate(bounds, z)


def _refuse_changed_gradients(module: nn.Module) -> None:
    """Raise NotImplementedError for backward hooks: explanations are then not derivatives of the logits."""
    for part in module.modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise NotImplementedError(f"Certificates do not support scripted modules ({type(part).__name__}).")
        if has_gradient_hooks(part):
            raise NotImplementedError(f"Certificates do not support the backward hooks of {type(part).__name__}.")


def check_reading(network: Network, module: nn.Module, x: Tensor, radius: float, axes: Tensor) -> None:
    """Raise unless `network` and `module` have the same logits and the same gradients at x and at points around it.

    Logits are compared at the rows, next to them and at a random point of each row's ball; gradients only at the latter
    two, because a row may lie on the kink of a ReLU, where both slopes are correct.

    Parameters
    ----------
    network : Network
        Result of :func:`read_network`.
    module : nn.Module
        Torch module; a copy in float64 is evaluated.
    x : Tensor of shape (n, *features)
        Rows in float64.
    radius : float
        Radius of the balls.
    axes : Tensor of shape (n_features,)
        Lengths of the balls' axes.

    Raises
    ------
    NotImplementedError
        They differ by more than rounding: the module computes something that its torch operations do not show.
    """
    runs = kept(module, "float64 without gradients", lambda: double_copy(module))
    with torch.no_grad():
        runs(x[:1])  # a call that changes the module's state then shows in the next one
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn((1, len(network.logits.bias)), generator=generator, dtype=torch.float64)
    for rows in x.split(_ROWS):
        flat = rows.flatten(start_dim=1)
        noise = torch.randn(flat.shape, generator=generator, dtype=torch.float64)
        # Euclidean length one lies inside the ball of the maximum norm too
        noise = noise / noise.norm(dim=1, keepdim=True) * axes
        points = torch.cat([flat, flat + 1e-7 * noise, flat + radius * noise])
        ours, theirs = (
            _observed(function, points, weights)
            for function in (network, lambda part: runs(part.reshape(-1, *x.shape[1:])))
        )
        for what, start in (("logits", 0), ("gradients", len(flat))):
            one, other = (part[what][start:] for part in (ours, theirs))
            scale = other.abs().amax().clamp_min(1e-300)
            gap = float((one - other).abs().amax() / scale) if one.shape == other.shape else math.inf
            if not gap <= _TOLERANCE:
                raise NotImplementedError(
                    f"{type(module).__name__} computes otherwise than its torch operations: its {what} differ from "
                    f"those of the traced network by {gap:.1e} of the largest. Nothing can be proven about it."
                )


def _observed(function: Callable[[Tensor], Tensor], points: Tensor, weights: Tensor) -> dict[str, Tensor]:
    """Compute logits at `points`, and the gradients of a weighted sum of them."""
    with torch.inference_mode(False), torch.enable_grad():
        leaf = points.clone().requires_grad_()
        logits = function(leaf)
        slope = torch.zeros_like(leaf)
        if logits.requires_grad:
            (slope,) = torch.autograd.grad((logits * weights).sum(), leaf, allow_unused=True, materialize_grads=True)
    return {"logits": logits.detach(), "gradients": slope}
