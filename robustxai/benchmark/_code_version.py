"""Version of the code behind a result: a digest of compiled modules and of library versions."""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

from robustxai._fingerprint import code_fingerprint, compiled, digest, library_version

__all__ = ["code_version", "needed_modules"]

_PACKAGE = __name__.partition(".")[0]
#: Libraries whose versions can change a number. ("sys" stands for Python.)
_LIBRARIES = ("sys", "numpy", "pandas", "sklearn", "skorch", "torch")
#: Attributes of the nodes of a syntax tree that hold statements, or clauses with statements.
_PARTS = ("body", "orelse", "finalbody", "handlers", "cases")


@functools.cache
def code_version(module: str) -> str:
    """Return a digest of the code that a module of this package runs on, 64 hexadecimal digits.

    It covers the compiled code of the module and of all modules of this package that it imports, directly or
    indirectly, and the versions of Python, NumPy, pandas, scikit-learn, skorch and torch. Comments, docstrings and
    layout do not count. Neither do modules that a result does not import: command line, figures, tables.

    A release number does not change between releases, when results change most, and a manual counter is forgotten. The
    price of the digest: changes that alter no number, such as a renamed variable or another minor version of Python,
    also compute results again.

    Parameters
    ----------
    module : str
        Full name of a module of this package. For any other module, the whole package counts.

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
    """Return the names of the modules that `module` imports, itself included; all modules for a foreign module."""
    sources = _sources()
    if module not in sources:
        return tuple(sorted(sources))
    needed, seen, waiting = set(), set(), [(module, "")]
    while waiting:
        name, member = waiting.pop()
        if (name, member) in seen:
            continue
        seen.add((name, member))
        needed.add(name)
        # a member that a folder imports counts with the module that it comes from, not with the folder's other modules
        origins = _origins(name).get(member) if _is_folder(name) else None
        waiting += _imports(name) if origins is None else origins
    return tuple(sorted(needed))


@functools.cache
def _sources() -> dict[str, Path]:
    """Return name -> file of every module of this package."""
    root = Path(str(sys.modules[_PACKAGE].__file__)).parent
    names = {}
    for path in root.rglob("*.py"):
        parts = path.relative_to(root.parent).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def _is_folder(name: str) -> bool:
    return _sources()[name].name == "__init__.py"


@functools.cache
def _imports(name: str) -> list[tuple[str, str]]:
    """Return what a module imports from this package, anywhere in it: pairs (module, member or "" for all of it)."""
    return [origin for origins in _origins(name).values() for origin in origins]


@functools.cache
def _origins(name: str) -> dict[str, list[tuple[str, str]]]:
    """Return, by the name that an import binds in a module, the (module, member) of this package that it stands for."""
    sources = _sources()
    found: dict[str, list[tuple[str, str]]] = {}
    for node in _statements(ast.parse(sources[name].read_bytes())):
        if isinstance(node, ast.Import):
            pairs = [(alias.asname or alias.name, alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            pairs = []
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                module, member = (inner, "") if inner in sources else (node.module, alias.name)
                pairs.append((alias.asname or alias.name, module, member))
        else:
            continue
        for bound, module, member in pairs:
            if module in sources:
                found.setdefault(bound, []).append((module, member))
    return found


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield all statements, however deep. Expressions, most of a tree, contain none and are not walked through."""
    waiting: list[ast.AST] = [tree]
    for node in waiting:
        yield node
        for part in _PARTS:
            waiting += getattr(node, part, ())


@functools.cache
def _content(name: str) -> bytes:
    code = compiled(name)
    return digest(_sources()[name].read_bytes()) if code is None else code_fingerprint(code)
