"""What networks for one shape of samples have in common: they say which shapes they take."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from torch import nn

from robustxai._arguments import COUNT, Each, Instance, checked

__all__ = ["ShapedNet", "accepted_arguments", "check_inputs", "check_shape"]

#: What may be given for `in_shape`.
SHAPE = Each(COUNT, least=1)
_MODULE = Instance(nn.Module)


class ShapedNet(nn.Module):
    """A network that is built for samples of one shape and says so when it gets others.

    Parameters
    ----------
    in_shape : sequence of int
        Shape of a sample, without the batch axis.

    Raises
    ------
    ValueError
        A shape that this class does not take, with the shapes that it does take.
    """

    #: The shapes that the class takes, as a part of a sentence.
    takes: ClassVar[str]

    def __init__(self, in_shape: Sequence[int]) -> None:
        super().__init__()
        self.in_shape = tuple(int(size) for size in in_shape)
        problem = self._problem(self.in_shape)
        if problem is not None:
            got = ", ".join(["n", *map(str, self.in_shape)])
            raise ValueError(f"{type(self).__name__} takes {self.takes}; got X of shape ({got}). {problem}".rstrip())

    @classmethod
    def _problem(cls, in_shape: tuple[int, ...]) -> str | None:
        """None for shapes that the class takes; else what to do about it, which may be empty."""
        raise NotImplementedError

    def check_shape(self, shape: Sequence[int]) -> None:
        """ValueError unless X of this shape, batch axis included, holds samples of `in_shape`."""
        if tuple(shape[1:]) != self.in_shape:
            raise ValueError(
                f"X holds samples of shape {tuple(shape[1:])}, but this {type(self).__name__} was built for samples of "
                f"shape {self.in_shape}."
            )

    def check_inputs(self, X: np.ndarray) -> None:
        """ValueError unless X is what the network can be trained on: the shape, and whatever the data must be."""
        self.check_shape(X.shape)


@checked(module=_MODULE, X=Instance(np.ndarray))
def check_inputs(module: nn.Module, X: np.ndarray) -> None:
    """Ask `module` whether it can be trained on X; one that has no ``check_inputs(X)`` takes anything."""
    if (check := getattr(module, "check_inputs", None)) is not None:
        check(X)


@checked(module=_MODULE, shape=SHAPE)
def check_shape(module: nn.Module, shape: Sequence[int]) -> None:
    """Ask `module` whether X may have this shape; one that has no ``check_shape(shape)`` takes any."""
    if (check := getattr(module, "check_shape", None)) is not None:
        check(shape)


@checked(constructor=Instance(type), wanted=Instance(dict))
def accepted_arguments(constructor: type, wanted: dict[str, Any]) -> dict[str, Any]:
    """The part of `wanted` that the class names as arguments."""
    taken = inspect.signature(constructor.__init__).parameters  # type: ignore[misc]
    return {name: value for name, value in wanted.items() if name in taken}
