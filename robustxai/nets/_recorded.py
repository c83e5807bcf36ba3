"""Networks that keep the arguments that they were made with."""

from __future__ import annotations

import contextlib
import inspect
from typing import Any

from torch import nn
from typing_extensions import Self

__all__ = ["RecordedNet", "arguments_of"]


class RecordedNet(nn.Module):
    """Base of the library's networks; a file rebuilds a network from its class and these arguments."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Keep the arguments; wrong ones are left to ``__init__``, and copies have those of the original."""
        self = super().__new__(cls)
        with contextlib.suppress(TypeError):
            given = inspect.signature(cls.__init__).bind(self, *args, **kwargs).arguments
            del given["self"]
            if not any(isinstance(value, nn.Module) for value in given.values()):  # which would be copied with the net
                vars(self)["_given"] = dict(given)
        return self


def arguments_of(module: nn.Module) -> dict[str, Any] | None:
    """Return the arguments that a network of the library was made with; None if there are none or a module is one."""
    return vars(module).get("_given")
