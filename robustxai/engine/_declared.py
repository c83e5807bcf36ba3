"""Declarations: attributes by which a class asks for a fast way of computing."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar

__all__ = ["declared", "declares", "stackable"]


_Function = TypeVar("_Function", bound=Callable[..., Any])


def stackable(method: _Function) -> _Function:
    """Declare that a stack of models can stand for the calls of `method`, one for each model.

    The declaration belongs to the function. A subclass that overrides the method is not stacked unless it decorates its
    own.
    """
    vars(method)["stackable"] = True
    return method


def declared(thing: Any, name: str, default: Any = None) -> Any:
    """Return what the class of `thing` itself declares under `name`; `default` where it declares nothing.

    A declaration is a promise about the code of one class. A subclass may compute something else, so that it does not
    inherit the promise: it declares again what still holds.

    Parameters
    ----------
    thing : object, type or function
        A penalty, explainer, network, callback, attack or net, or the class of one.
    name : str
        Class attribute or method; for a function its own attribute.
    default : object, default=None
        Returned without a declaration.

    Examples
    --------
    >>> class Fast:
    ...     stackable = True
    >>> class Other(Fast):
    ...     pass
    >>> declared(Fast(), "stackable", False), declared(Other(), "stackable", False)
    (True, False)
    """
    owner = thing if isinstance(thing, type | FunctionType) else type(thing)
    return vars(owner).get(name, default)


def declares(thing: Any, name: str) -> bool:
    """Return whether the class of `thing` itself declares `name` to be true."""
    return bool(declared(thing, name, False))
