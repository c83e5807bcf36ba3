"""A device that is not there: its tensors compute on the CPU, refuse to meet the CPU's, and count their way back.

What a GPU would refuse is refused here too (tensors of two devices in one operation), and what would make it wait is
counted: every copy to the CPU, and every number that is read. The device bears the name "meta", because torch asks any
other one for a driver.
"""

import contextlib
import sys
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")
#: Operations between devices.
_COPIES = ("_to_copy", "copy_", "to")
#: Operations that take indices from the CPU on any device.
_INDEXED = ("index", "index_put", "index_put_", "_index_put_impl_")


class WrongDevice(RuntimeError):
    """Tensors of two devices have met."""


class Elsewhere(torch.Tensor):
    """A tensor that lies on `DEVICE`."""

    @staticmethod
    def __new__(cls, held):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=DEVICE,
        )

    def __init__(self, held):
        self.held = held

    def __repr__(self):
        return f"Elsewhere({self.held})"

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            copied = Elsewhere(self.held.detach().clone())
            memo[id(self)] = torch.nn.Parameter(copied, self.requires_grad) if _is_weight(self) else copied
        return memo[id(self)]

    def __reduce_ex__(self, protocol):
        return _restored, (self.held.detach(), _is_weight(self), self.requires_grad)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {}, [])


def _is_weight(tensor):
    return isinstance(tensor, torch.nn.Parameter)


def _restored(held, is_weight, requires_grad):
    return torch.nn.Parameter(Elsewhere(held), requires_grad) if is_weight else Elsewhere(held)


def _run(func, args, kwargs, log):
    flat, _ = tree_flatten((args, kwargs))
    away = [value for value in flat if isinstance(value, Elsewhere)]
    wanted = kwargs.get("device")
    to = None if wanted is None else torch.device(wanted)
    name = func.overloadpacket.__name__
    copies = name in _COPIES
    if away and not copies:
        for value in flat:
            if isinstance(value, torch.Tensor) and not isinstance(value, Elsewhere) and value.is_meta:
                raise RuntimeError(f"{func} has a tensor without data, which this device could not make")
            index = name in _INDEXED and isinstance(value, torch.Tensor) and not value.is_floating_point()
            if isinstance(value, torch.Tensor) and not isinstance(value, Elsewhere) and value.ndim and not index:
                raise WrongDevice(f"{func} has a tensor of shape {tuple(value.shape)} on the CPU among others")
    here = to is not None and to.type == "cpu"
    if away and (name == "_local_scalar_dense" or (copies and (here or not isinstance(args[0], Elsewhere)))):
        log.append(_caller())
    bare = {key: value for key, value in kwargs.items() if not (key == "device" and to == DEVICE)}
    result = func(*tree_map(_held, args), **tree_map(_held, bare))
    if to is not None:
        there = to == DEVICE and not _reads_a_network()
    else:
        there = isinstance(args[0], Elsewhere) if name == "copy_" else bool(away)
    if not there:
        return result
    if isinstance(args[0] if args else None, Elsewhere) and result is args[0].held:
        return args[0]  # in place: the object that was given
    return tree_map(lambda value: Elsewhere(value) if isinstance(value, torch.Tensor) else value, result)


def _held(value):
    return value.held if isinstance(value, Elsewhere) else value


def _frames():
    frame = sys._getframe(2)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _reads_a_network():
    """Whether a certificate makes one of its symbols, tensors without data, to which "meta" is what it always is."""
    return any(f.f_code.co_name == "symbol" and f.f_code.co_filename.endswith("_symbol.py") for f in _frames())


def _caller():
    """File and function of the library that waits for the device."""
    for frame in _frames():
        path = frame.f_code.co_filename
        if "/robustxai/" in path and "/tests/" not in path:
            return f"{path.split('/robustxai/')[-1]} {frame.f_code.co_name}"
    return "a user"


class _Operations(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.log = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {}, self.log)


class _Constructors(TorchFunctionMode):
    """torch.tensor and its like make what they are asked for on the CPU, and take it to the device."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor, torch.asarray) and kwargs.get("device") is not None:
            to = torch.device(kwargs.pop("device"))
            return func(*args, **kwargs).to(to)
        if func is torch.Tensor.__getitem__ and isinstance(args[0], Elsewhere):
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            args = args[0], tuple(torch.tensor(part) if isinstance(part, list) else part for part in index)
        if func is torch.Tensor.new_tensor and isinstance(args[0], Elsewhere):
            return torch.tensor(*args[1:], dtype=kwargs.get("dtype", args[0].dtype)).to(DEVICE)
        return func(*args, **kwargs)


def _autocast(device_type, *args, **kwargs):
    return contextlib.nullcontext() if device_type == DEVICE.type else _AUTOCAST(device_type, *args, **kwargs)


_AUTOCAST = torch.autocast


@contextlib.contextmanager
def elsewhere():
    """A block in which `DEVICE` exists; the list of what has waited for it."""
    with mock.patch("torch.autocast", _autocast), _Operations() as mode, _Constructors():
        yield mode.log
