"""Declarations: attributes by which a class asks for a fast implementation."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar

from robustxai._arguments import Function, checked

__all__ = ["declared", "declares", "stackable"]


_Function = TypeVar("_Function", bound=Callable[..., Any])


@checked(method=Function())
def stackable(method: _Function) -> _Function:
    """Declare that one call for a stack of models can replace the calls of `method` for each model.

    The declaration belongs to the function. A subclass that overrides the method is not stacked unless it decorates its
    own method.
    """
    vars(method)["stackable"] = True
    return method


def declared(thing: object, name: str, default: Any = None) -> Any:
    """Return the declaration `name` of the class of `thing` itself; `default` if there is none.

    A declaration is a promise about the code of one class. A subclass may compute something else and therefore does not
    inherit the promise; it declares again the promises that still hold.

    Parameters
    ----------
    thing : object, type or function
        A penalty, explainer, network, callback, attack or net, or the class of one.
    name : str
        Name of a class attribute or method, or of an attribute of a function.
    default : object, default=None
        Value without a declaration.

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


def declares(thing: object, name: str) -> bool:
    """Return True if the class of `thing` itself declares `name` to be true."""
    return bool(declared(thing, name, False))
