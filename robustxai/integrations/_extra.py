"""Packages that are needed by one integration alone."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["extra"]


def extra(module: str, package: str, what: str) -> Any:
    """Return a module of an optional package.

    Parameters
    ----------
    module : str
        Its dotted name.
    package : str
        The extra of this library that installs it.
    what : str
        Who needs it, for the message.

    Raises
    ------
    ImportError
        The package is not installed; the message has the command that installs it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(f"{what} needs {package}: pip install 'robustxai[{package}]'. ({error})") from error
