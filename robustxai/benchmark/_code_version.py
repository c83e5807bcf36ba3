"""The version of the code that a result comes from: a digest of what was compiled, and of the libraries under it."""

from __future__ import annotations

import ast
import functools
import sys
from pathlib import Path

from robustxai._fingerprint import code_fingerprint, compiled, digest, library_version

__all__ = ["code_version", "needed_modules"]

_PACKAGE = __name__.partition(".")[0]
#: Libraries whose versions can change a number. (The standard library stands for Python itself.)
_LIBRARIES = ("sys", "numpy", "pandas", "sklearn", "skorch", "torch")


@functools.cache
def code_version(module: str) -> str:
    """64 hexadecimal digits for the code that a module of this package runs on.

    In it is the compiled code of the module and of all modules of this package that it imports, however indirectly, and
    the versions of Python, NumPy, pandas, scikit-learn, skorch and torch. Comments, docstrings and the layout of the
    source do not count, nor do modules that nothing imports on the way to a result: command line, figures, tables.

    A release number would not do: it stands still between releases, when results change most. A number to be raised by
    hand is forgotten. What is paid for the certainty: a change that alters no number (another name of a variable)
    computes results anew, too, and so does another minor version of Python, which compiles otherwise.

    Parameters
    ----------
    module : str
        Full name of a module of this package; of any other, the whole of this package counts.

    Returns
    -------
    str
    """
    parts = [f"{library} {library_version(library)}".encode() for library in _LIBRARIES]
    for name in needed_modules(module):
        parts += [name.encode(), _content(name)]
    return digest(*parts).hex()


@functools.cache
def needed_modules(module: str) -> tuple[str, ...]:
    """The modules of this package that `module` imports, itself included, by name; all of them for a foreign module."""
    sources = _sources()
    if module not in sources:
        return tuple(sorted(sources))
    needed, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += _imports(name)
    return tuple(sorted(needed))


@functools.cache
def _sources() -> dict[str, Path]:
    """Name -> file of every module of this package."""
    root = Path(str(sys.modules[_PACKAGE].__file__)).parent
    names = {}
    for path in root.rglob("*.py"):
        parts = path.relative_to(root.parent).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


@functools.cache
def _imports(name: str) -> list[str]:
    """The modules of this package that one of them imports, at any place in it."""
    sources, found = _sources(), []
    for node in ast.walk(ast.parse(sources[name].read_bytes())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            # the folder itself counts for what it hands on, but not where a module inside of it is named
            found += [module if module in sources else node.module for module in inner]
    return [module for module in dict.fromkeys(found) if module in sources]


def _content(name: str) -> bytes:
    code = compiled(name)
    return digest(_sources()[name].read_bytes()) if code is None else code_fingerprint(code)
