"""Random numbers that are a fit's own: neither torch's global generators nor another thread's draws matter to them."""

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

#: Held while a global generator carries the state of one of ours.
_global_generators = threading.Lock()


class RandomStreams:
    """A random stream for each device, all from one seed, as ``torch.manual_seed`` seeds the generators of the process.

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
        """The stream of a device; None where the device exists as the name of fake tensors alone."""
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
        """State of every stream that has been used, by the name of its device; on the CPU."""
        return {**self._states, **{str(device): g.get_state() for device, g in self._generators.items()}}

    def set_states(self, states: dict[str, Tensor]) -> None:
        """Go on from what `states` returned."""
        self._states = dict(states)
        for device, generator in self._generators.items():  # which iterators and penalties hold
            if str(device) in states:
                generator.set_state(self._states.pop(str(device)))

    def in_use(self) -> DispatchMode:
        """A context in which this thread's draws come from these streams, whoever makes them.

        For code that takes no generator: the initialization of a module, dropout, a user's penalty. Every operation in
        the context costs some microseconds more.
        """
        return _OwnDraws(self)

    def __getstate__(self) -> dict[str, Any]:
        return {"seed": self.seed, "_generators": {}, "_states": self.states()}


class _OwnDraws(DispatchMode):
    """Give every random operation of this thread a generator. Modes of torch's dispatcher belong to a thread."""

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
    """``torch.rand_like(like)`` from `generator`, which older versions of torch do not take there."""
    return torch.rand_like(like) if generator is None else torch.empty_like(like).uniform_(generator=generator)


def like_normal(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """``torch.randn_like(like)`` from `generator`."""
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
    """Position of the argument `generator`, beyond all positions where it goes by its name alone; None without one."""
    for position, argument in enumerate(operation_arguments(func)):
        if argument.name == "generator":
            return sys.maxsize if argument.kwarg_only else position
    return None


@cache
def _with_generator(func: Any) -> Any:
    """The overload that differs from `func` by the argument `generator` alone."""
    wanted = [(a.name, str(a.type)) for a in operation_arguments(func)]
    for name in func.overloadpacket.overloads():
        overload = getattr(func.overloadpacket, name)
        own = [(a.name, str(a.type)) for a in operation_arguments(overload)]
        if len(own) == len(wanted) + 1 and [pair for pair in own if pair[0] != "generator"] == wanted:
            return overload
    return None


def _device_of(args: Sequence[Any], kwargs: dict[str, Any]) -> torch.device:
    """Where an operation draws."""
    if kwargs.get("device") is not None:
        return torch.device(kwargs["device"])
    tensors = (value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
    first = next(tensors, None)
    return torch.device("cpu") if first is None else first.device


def _by_the_global_generator(
    func: Any, args: Sequence[Any], kwargs: dict[str, Any], device: torch.device, generator: torch.Generator
) -> Any:
    """Run an operation that knows the device's global generator alone (fused dropout and attention on GPUs)."""
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
    """NotImplementedError where ``torch.utils.checkpoint`` repeats a forward pass with other random numbers.

    It puts the global generators back to where they were, of which these draws know nothing.
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
