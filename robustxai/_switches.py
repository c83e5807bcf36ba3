"""Independence of results from the caller's torch switches (gradient modes, autocast, default type and device)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

__all__ = ["differentiable", "own_switches", "trainable"]

Function = TypeVar("Function", bound=Callable[..., Any])

#: Functions whose result has the default type unless `dtype` is given.
_FLOATS = frozenset({
    torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn, torch.eye, torch.linspace, torch.logspace,
})  # fmt: skip
#: Functions whose result has the default type for Python floats.
_FROM_NUMBERS = frozenset({torch.full, torch.tensor, torch.as_tensor, torch.asarray, torch.arange, torch.scalar_tensor})


@contextmanager
def own_switches() -> Iterator[None]:
    """Run the block, or the decorated function, as if the caller had changed none of torch's switches.

    Gradients are recorded (``no_grad``, ``inference_mode``, ``set_grad_enabled``), nothing is cast
    (``autocast``), tensors are made on the CPU (``set_default_device``) and in float32 (``set_default_dtype``).
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))  # switches the recording of gradients on too
        for device_type in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device_type):
                stack.enter_context(torch.autocast(device_type, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        if torch.get_default_dtype() != torch.float32:
            stack.enter_context(_Float32())
        yield


def differentiable(explain: Function) -> Function:
    """Let an explainer's ``__call__`` differentiate in ``torch.inference_mode`` too.

    Tensors that were made in that mode can take no part in a derivative, hence the copies.
    """

    @wraps(explain)
    def call(self: Any, module: Any, x: Tensor, target: Tensor, **options: Any) -> Tensor:
        if not torch.is_inference_mode_enabled():
            return explain(self, module, x, target, **options)
        with own_switches():
            options.pop("logits", None)  # have no graph
            return explain(self, module, x.clone(), target.clone(), **options)

    return cast(Function, call)


def trainable(module: nn.Module) -> nn.Module:
    """Return `module` with weights that can be differentiated, even if they were made in inference mode."""
    copies: dict[int, Tensor] = {}  # a weight may be shared
    with torch.inference_mode(False):
        for layer in module.modules():
            holders: tuple[dict[str, Any], ...] = (layer._parameters, layer._buffers)
            for tensors in holders:
                for name, tensor in tensors.items():
                    if tensor is None or not tensor.is_inference():
                        continue
                    if id(tensor) not in copies:
                        copied = tensor.detach().clone()
                        is_weight = isinstance(tensor, nn.Parameter)
                        copies[id(tensor)] = nn.Parameter(copied, tensor.requires_grad) if is_weight else copied
                    tensors[name] = copies[id(tensor)]
    return module


class _Float32(TorchFunctionMode):
    """Mode that makes tensors in float32, because the default type of a process cannot be changed for a thread."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = kwargs.get("dtype") is not None
        if not given and (func in _FLOATS or (func in _FROM_NUMBERS and _holds_floats(args))):
            kwargs = {**kwargs, "dtype": torch.float32}
        return func(*args, **kwargs)


def _holds_floats(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_holds_floats(part) for part in value)
    return type(value) is float
