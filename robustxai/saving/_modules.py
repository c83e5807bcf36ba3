"""Torch modules as a class, its arguments and its tensors."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import nn

from robustxai.conversion import LogProbabilities, TwoLogits
from robustxai.nets import arguments_of
from robustxai.saving._registry import LAYERS, Names, name_of
from robustxai.saving._values import Reader, Writer

__all__ = ["read_module", "write_module"]

#: Arguments of layers that say where and how weights are made, which are replaced.
_NOT_KEPT = ("device", "dtype", "_weight", "_bias")
#: Largest number of entries of a description for each stored tensor: a network without weights is small.
_MOST_ENTRIES = 64
#: Integers that a description of a network may have in any case.
_LEAST_LIMIT = 2**16


def write_module(module: nn.Module, writer: Writer, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the description of a module, whose weights and buffers go to the writer.

    Parameters
    ----------
    module : nn.Module
        The network.
    writer : Writer
        Gets the tensors.
    arguments : mapping, optional
        What a module of a user's own class was made with. Layers of torch and the library's networks know it.

    Raises
    ------
    TypeError
        A module that a file cannot rebuild: a user's own that was given as an object, or one that was changed by hand.
    """
    node = _described(module, writer, arguments)
    tensors = {name: writer.add(tensor, f"module.{name}") for name, tensor in module.state_dict().items()}
    node = {"network": node, "tensors": tensors}
    if arguments is not None and arguments_of(module) is None:
        return node  # of a user's class: the file can be read where the class is
    with torch.random.fork_rng(devices=[]):
        rebuilt = _built(node["network"], _as_reader(writer))
    if str(rebuilt) != str(module) or rebuilt.state_dict().keys() != module.state_dict().keys():
        raise TypeError(_changed(module))
    return node


def read_module(node: Any, reader: Reader, in_shape: Sequence[int], n_classes: int) -> nn.Module:
    """Return the module of a description, in evaluation mode, from inputs of a shape to logits of n_classes classes.

    It is first made without memory, so that a description of a huge network is refused by the sizes of its tensors.

    Raises
    ------
    ValueError, TypeError, KeyError
        A description that does not fit the tensors.
    """
    network, tensors = node["network"], node["tensors"]
    if _entries(network) > _MOST_ENTRIES * (len(tensors) + 1):
        raise ValueError("the description of the network is longer than that of any network of its tensors")
    if _largest(network) > max(_LEAST_LIMIT, sum(tensor.numel() for tensor in reader.tensors.values())):
        raise ValueError("the description of the network has numbers larger than that of all its weights")
    state = {str(name): reader.tensors[place] for name, place in tensors.items()}
    if not reader.names.trusts(network["class"]):  # a user's module may not be made without numbers
        with torch.device("meta"):
            empty = _built(network, reader).eval()
        _check_sizes(empty.state_dict(), state)
        with suppress(NotImplementedError), torch.no_grad():  # of an operation that needs numbers
            shape = tuple(empty(torch.zeros(2, *in_shape, device="meta")).shape)
            if shape != (2, n_classes):
                raise ValueError(f"the network returns outputs of shape {shape}")
    with torch.random.fork_rng(devices=[]):  # the weights are replaced
        module = _built(network, reader)
    _check_sizes(module.state_dict(), state)
    module.load_state_dict({name: tensor.clone() for name, tensor in state.items()}, assign=True)
    for name, parameter in module.named_parameters():
        if not parameter.is_floating_point():
            raise ValueError(f"the weight {name} is no floating-point number")
    return module.eval()


def _described(module: nn.Module, writer: Writer, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
    kind = type(module)
    if kind in (TwoLogits, LogProbabilities):
        inside: Any = module.module
        return {"class": name_of(kind), "arguments": {}, "inside": [_described(inside, writer)]}
    if kind is nn.Sequential:
        children = [_described(child, writer) for child in module]  # type: ignore[attr-defined]
        names = list(module._modules)
        if names != [str(number) for number in range(len(names))]:
            raise TypeError("The layers of an nn.Sequential in a file must have no names of their own.")
        return {"class": name_of(kind), "arguments": {}, "inside": children}
    given = arguments_of(module) if arguments is None or arguments_of(module) is not None else arguments
    if given is None and kind in LAYERS:
        given = _of_layer(module)
    if given is None:
        raise TypeError(
            f"A file cannot rebuild the module {kind.__name__}, which was given as an object. Give a classifier its "
            "class and its arguments, module=Net and module__width=8; load(path, trusted=[Net]) then reads it."
        )
    node = {"class": writer.name(kind), "arguments": {name: writer.value(value) for name, value in given.items()}}
    if kind not in LAYERS and (changed := _changed_layers(module, node, writer)):
        node["layers"] = changed
    return node


def _changed_layers(module: nn.Module, node: dict[str, Any], writer: Writer) -> dict[str, Any]:
    """Return descriptions of layers that are of another class than in a new network (`retrain` replaces ReLUs)."""
    try:
        with torch.device("meta"):
            new = dict(_built(node, _as_reader(writer)).named_modules())
    except Exception:  # a user's class is told apart when it is read
        return {}
    found = {}
    for name, child in module.named_modules():
        other = new.get(name)
        if other is not None and type(child) in LAYERS and str(child) != str(other) and not list(child.children()):
            found[name] = _described(child, writer)
    return found


def _of_layer(module: nn.Module) -> dict[str, Any] | None:
    """Return the arguments of a layer of torch, which are its attributes."""
    found: dict[str, Any] = {}
    for name in list(inspect.signature(type(module).__init__).parameters)[1:]:
        if name in _NOT_KEPT:
            continue
        if not hasattr(module, name):
            return None
        value = getattr(module, name)
        found[name] = value is not None if name == "bias" else value
    return found


def _built(node: Any, reader: Reader) -> nn.Module:
    kind = reader.names.find(node["class"])
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise ValueError(f"{node['class']} is no module")
    arguments = {str(name): reader.value(value) for name, value in node["arguments"].items()}
    module: nn.Module = kind(*(_built(part, reader) for part in node.get("inside", [])), **arguments)
    for path, part in node.get("layers", {}).items():
        parent, _, name = path.rpartition(".")
        owner = module.get_submodule(parent)
        if name not in owner._modules:
            raise ValueError(f"the network has no layer {path[:80]!r}")
        owner._modules[name] = _built(part, reader)
    return module


def _check_sizes(wanted: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor]) -> None:
    if wanted.keys() != given.keys():
        raise ValueError("the tensors are not those of the network")
    for name, tensor in wanted.items():
        if tensor.shape != given[name].shape or tensor.is_floating_point() != given[name].is_floating_point():
            raise ValueError(f"the tensor {name} has the shape {tuple(given[name].shape)}")


def _largest(node: Any) -> int:
    """Return the largest integer in a description: constructors may loop over widths before they make weights."""
    if isinstance(node, dict):
        return max(map(_largest, node.values()), default=0)
    if isinstance(node, list):
        return max(map(_largest, node), default=0)
    return node if isinstance(node, int) else 0


def _entries(node: Any) -> int:
    if isinstance(node, dict):
        return 1 + sum(_entries(part) for part in node.values())
    return 1 + sum(map(_entries, node)) if isinstance(node, list) else 1


def _changed(module: nn.Module) -> str:
    return f"A file cannot rebuild this {type(module).__name__}, which was changed after it was made."


def _as_reader(writer: Writer) -> Reader:
    """Return a reader of what was written, which knows the user's classes among it."""
    names = Names()
    names.trusted = writer.things
    return Reader(writer.tensors, names)
