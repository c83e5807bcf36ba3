"""Random streams of a fit, independent of torch's global generators and of other threads."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from robustxai._compat import DispatchMode, in_backward_pass, is_composite, operation_arguments

__all__ = ["RandomStreams", "like_normal", "like_uniform"]

#: Lock for the time in which a global generator has the state of a stream.
_global_generators = threading.Lock()


class RandomStreams:
    """Random streams, one per device, seeded as ``torch.manual_seed`` seeds the generators of the process.

    A stream gives the numbers that torch's own generator of the device gives after ``torch.manual_seed(seed)``. Copies
    and pickles keep the states.

    Parameters
    ----------
    seed : int
        Seed of every stream.
    """

    def __init__(self, seed: int) -> None:
        self.seed = int(seed)
        self._generators: dict[torch.device, torch.Generator] = {}
        self._states: dict[str, Tensor] = {}

    def __repr__(self) -> str:
        return f"RandomStreams({self.seed})"

    def of(self, device: torch.device | str) -> torch.Generator | None:
        """Return the stream of a device; None for a device that exists for fake tensors only."""
        device = torch.device(device)
        if device not in self._generators:
            if device.type == "meta" or (device.type == "cuda" and not torch.cuda.is_available()):
                return None
            if device.type == "cuda" and device.index is None:
                return self.of(torch.device("cuda", torch.cuda.current_device()))
            generator = torch.Generator(device).manual_seed(self.seed)
            if str(device) in self._states:
                generator.set_state(self._states.pop(str(device)))
            self._generators[device] = generator
        return self._generators[device]

    def states(self) -> dict[str, Tensor]:
        """Return the state of every used stream by the name of its device, on the CPU."""
        return {**self._states, **{str(device): g.get_state() for device, g in self._generators.items()}}

    def set_states(self, states: dict[str, Tensor]) -> None:
        """Continue from the result of `states`."""
        self._states = dict(states)
        for device, generator in self._generators.items():  # which iterators and penalties hold
            if str(device) in states:
                generator.set_state(self._states.pop(str(device)))

    def in_use(self) -> DispatchMode:
        """Return a context in which all draws of this thread come from these streams.

        For code that takes no generator: the initialization of a module, dropout, a user's penalty. Every operation in
        the context costs some microseconds more.
        """
        return _OwnDraws(self)

    def __getstate__(self) -> dict[str, Any]:
        return {"seed": self.seed, "_generators": {}, "_states": self.states()}


class _OwnDraws(DispatchMode):
    """Dispatcher mode of one thread that gives every random operation a generator."""

    def __init__(self, streams: RandomStreams) -> None:
        super().__init__()
        self.streams = streams

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        return self._draw(func, args, kwargs) if _draws(func) else func(*args, **kwargs)

    def _draw(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        position = _generator_position(func)
        if kwargs.get("generator") is not None or (position is not None and len(args) > position):
            return func(*args, **kwargs)
        device = _device_of(args, kwargs)
        generator = self.streams.of(device)
        if generator is None:
            return func(*args, **kwargs)
        _refuse_recomputation()
        if position is not None:
            return func(*args, **{**kwargs, "generator": generator})
        if (seeded := _with_generator(func)) is not None:
            return seeded(*args, **{**kwargs, "generator": generator})
        name = func.overloadpacket.__name__
        if name in _LIKE:  # before torch 2.9 these have no generator
            return _LIKE[name](generator, *args, **kwargs)
        if is_composite(func):
            with self:  # in inference mode what consists of other operations arrives as a whole
                return func.decompose(*args, **kwargs)
        return _by_the_global_generator(func, args, kwargs, device, generator)


def like_uniform(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return ``torch.rand_like(like)`` from `generator`, which older versions of torch do not accept there."""
    return torch.rand_like(like) if generator is None else torch.empty_like(like).uniform_(generator=generator)


def like_normal(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return ``torch.randn_like(like)`` from `generator`."""
    return torch.randn_like(like) if generator is None else torch.empty_like(like).normal_(generator=generator)


def _uniform(generator: torch.Generator, like: Tensor, **options: Any) -> Tensor:
    return torch.empty_like(like, **options).uniform_(generator=generator)


def _normal(generator: torch.Generator, like: Tensor, **options: Any) -> Tensor:
    return torch.empty_like(like, **options).normal_(generator=generator)


def _integers(generator: torch.Generator, like: Tensor, *limits: Any, **options: Any) -> Tensor:
    low, high = (0, *limits)[-2:]
    return torch.empty_like(like, **options).random_(int(low), int(high), generator=generator)


_LIKE: dict[str, Callable[..., Tensor]] = {"rand_like": _uniform, "randn_like": _normal, "randint_like": _integers}


@cache
def _draws(func: Any) -> bool:
    """Return whether an operation reads a random generator."""
    return torch.Tag.nondeterministic_seeded in func.tags


@cache
def _generator_position(func: Any) -> int | None:
    """Return the position of the argument `generator`, ``sys.maxsize`` if it is keyword-only, None without one."""
    for position, argument in enumerate(operation_arguments(func)):
        if argument.name == "generator":
            return sys.maxsize if argument.kwarg_only else position
    return None


@cache
def _with_generator(func: Any) -> Any:
    """Return the overload that differs from `func` in the argument `generator` only."""
    wanted = [(a.name, str(a.type)) for a in operation_arguments(func)]
    for name in func.overloadpacket.overloads():
        overload = getattr(func.overloadpacket, name)
        own = [(a.name, str(a.type)) for a in operation_arguments(overload)]
        if len(own) == len(wanted) + 1 and [pair for pair in own if pair[0] != "generator"] == wanted:
            return overload
    return None


def _device_of(args: Sequence[Any], kwargs: dict[str, Any]) -> torch.device:
    """Return the device on which an operation draws."""
    if kwargs.get("device") is not None:
        return torch.device(kwargs["device"])
    tensors = (value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
    first = next(tensors, None)
    return torch.device("cpu") if first is None else first.device


def _by_the_global_generator(
    func: Any, args: Sequence[Any], kwargs: dict[str, Any], device: torch.device, generator: torch.Generator
) -> Any:
    """Run an operation that uses the device's global generator only (fused dropout and attention on GPUs)."""
    if device.type == "cpu":
        shared = torch.default_generator
    elif device.type == "cuda":
        shared = torch.cuda.default_generators[device.index or 0]
    else:
        return func(*args, **kwargs)
    with _global_generators:
        before = shared.get_state()
        shared.set_state(generator.get_state())
        try:
            return func(*args, **kwargs)
        finally:
            generator.set_state(shared.get_state())
            shared.set_state(before)


def _refuse_recomputation() -> None:
    """Raise NotImplementedError where ``torch.utils.checkpoint`` repeats a forward pass with other random numbers.

    It restores the global generators, which these draws do not use.
    """
    if not in_backward_pass():
        return
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__") == "torch.utils.checkpoint":
            raise NotImplementedError(
                "torch.utils.checkpoint around random layers is not supported: the second pass would draw other "
                "numbers than the first. Leave dropout out of the part that is recomputed, or bound the memory by "
                "internal_batch_size."
            )
        frame = frame.f_back  # type: ignore[assignment]
