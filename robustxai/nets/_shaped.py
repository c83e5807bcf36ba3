"""Base class of networks for one shape of samples, and checks of shapes and inputs."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from torch import nn

from robustxai._arguments import COUNT, Each, Instance, checked
from robustxai.nets._recorded import RecordedNet

__all__ = ["ShapedNet", "accepted_arguments", "check_inputs", "check_shape"]

#: Constraint of the argument `in_shape`.
SHAPE = Each(COUNT, least=1)
_MODULE = Instance(nn.Module)


class ShapedNet(RecordedNet):
    """Base class of networks that are built for samples of one shape and raise an error for other shapes.

    Parameters
    ----------
    in_shape : sequence of int
        Shape of a sample, without the batch axis.

    Raises
    ------
    ValueError
        The class does not take samples of this shape; the message names the shapes that it takes.
    """

    #: Shapes that the class takes, as part of a message.
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
        """Return None for a shape that the class takes, and advice, which may be empty, for other shapes."""
        raise NotImplementedError

    def check_shape(self, shape: Sequence[int]) -> None:
        """Raise ValueError unless X of this shape, batch axis included, holds samples of `in_shape`."""
        if tuple(shape[1:]) != self.in_shape:
            raise ValueError(
                f"X holds samples of shape {tuple(shape[1:])}, but this {type(self).__name__} was built for samples of "
                f"shape {self.in_shape}."
            )

    def check_inputs(self, X: np.ndarray) -> None:
        """Raise ValueError unless the network can be trained on X, by its shape and, in subclasses, by its values."""
        self.check_shape(X.shape)


@checked(module=_MODULE, X=Instance(np.ndarray))
def check_inputs(module: nn.Module, X: np.ndarray) -> None:
    """Call ``module.check_inputs(X)``; a module without this method takes any X."""
    if (check := getattr(module, "check_inputs", None)) is not None:
        check(X)


@checked(module=_MODULE, shape=SHAPE)
def check_shape(module: nn.Module, shape: Sequence[int]) -> None:
    """Call ``module.check_shape(shape)``; a module without this method takes any shape."""
    if (check := getattr(module, "check_shape", None)) is not None:
        check(shape)


@checked(constructor=Instance(type), wanted=Instance(dict))
def accepted_arguments(constructor: type, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the entries of `wanted` that are arguments of the class."""
    taken = inspect.signature(constructor.__init__).parameters  # type: ignore[misc]
    return {name: value for name, value in wanted.items() if name in taken}
