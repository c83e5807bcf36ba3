"""Fingerprints of objects: the same in every process for what computes the same, another one for anything else.

Values go in by type and content, arrays by their bytes, objects by class and state, functions and classes by their
compiled code. No address, no ``repr`` of an object, no hash that Python randomizes, no file name, line number,
docstring or comment goes in.
"""

from __future__ import annotations

import copyreg
import functools
import hashlib
import importlib.metadata
import importlib.util
import inspect
import sys
import types
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

__all__ = ["code_fingerprint", "compiled", "content_key", "digest", "fingerprint", "library_version", "read_once"]

#: Packages that are identified by their version and not by their code, with the names of their distributions: what this
#: library stands on. The standard library is identified by the version of Python.
_VERSIONED = {
    **{name: name for name in ("captum", "joblib", "numpy", "pandas", "scipy", "skorch", "torch", "torch_geometric")},
    "sklearn": "scikit-learn",
}
#: Of functions in this package only the data that they refer to is followed: the version of its code has the rest.
_OWN = __name__.partition(".")[0]
#: Entries of a class that say nothing about what it computes.
_INCIDENTAL = {
    "__abstractmethods__",
    "__annotate__",
    "__annotate_func__",
    "__annotations__",
    "__annotations_cache__",
    "__dict__",
    "__doc__",
    "__firstlineno__",
    "__module__",
    "__orig_bases__",
    "__parameters__",
    "__slotnames__",
    "__static_attributes__",
    "__weakref__",
    "_abc_impl",
    "_constraints",
}
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented))
#: Flag of a code object whose first constant is its docstring, from Python 3.13 on.
_HAS_DOCSTRING = 0x4000000


def fingerprint(*objects: Any) -> str:
    """64 hexadecimal digits that identify `objects`.

    Parameters
    ----------
    *objects
        Plain values, containers, arrays, tensors, frames, networks, estimators, functions, classes, and objects of
        classes of one's own, nested as one likes. The order of a dict counts, that of a set does not. Of a fitted
        estimator with a network, the parameters and the network count. Of a function or a class, its compiled code
        with its defaults counts and, outside of this library, everything that the code refers to.

    Returns
    -------
    str

    Raises
    ------
    TypeError
        An object whose state cannot be read, such as an open file.
    """
    return (_shared or _Reader()).read(objects).hex()


def content_key(*objects: Any) -> Hashable:
    """A key that only objects of the same content share: their fingerprint, or a new one where it cannot be read.

    For what may be computed once for all that are the same, and is computed again where nobody can tell.
    """
    try:
        return fingerprint(*objects)
    except TypeError:
        return object()


@contextmanager
def read_once() -> Iterator[None]:
    """Within this block, objects that occur in several fingerprints are read once; none of them may change."""
    global _shared
    before, _shared = _shared, _shared or _Reader()
    try:
        yield
    finally:
        _shared = before


@functools.cache
def code_fingerprint(code: types.CodeType) -> bytes:
    """Digest of what compiled code does, without file name, lines and docstrings; of one minor version of Python."""
    constants: list[Any] = list(code.co_consts)
    if constants and isinstance(constants[0], str) and _is_documented(code):
        constants[0] = None
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & ~_HAS_DOCSTRING)
    return digest(
        code.co_code,
        *(_constant(value) for value in constants),
        repr((names, counts)).encode(),
        getattr(code, "co_exceptiontable", b""),
    )


def digest(*parts: bytes) -> bytes:
    """SHA-256 of several byte strings, each with its length."""
    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "little"))
        total.update(part)
    return total.digest()


def compiled(module: str) -> types.CodeType | None:
    """The code of a module; None where its loader does not tell."""
    spec = importlib.util.find_spec(module)
    loader: Any = None if spec is None else spec.loader
    return loader.get_code(module) if hasattr(loader, "get_code") else None


@functools.cache
def library_version(package: str) -> str | None:
    """Version of a package that is identified by one, "" for one that is not installed; None for all others."""
    if package in _VERSIONED:
        try:
            return importlib.metadata.version(_VERSIONED[package])
        except importlib.metadata.PackageNotFoundError:
            return ""
    return ".".join(map(str, sys.version_info[:2])) if package in sys.stdlib_module_names else None


def _is_documented(code: types.CodeType) -> bool:
    """Return whether a text that is the first constant is a docstring."""
    if sys.version_info >= (3, 13):
        return bool(code.co_flags & _HAS_DOCSTRING)
    # lambdas and comprehensions have names in angle brackets, and no docstring
    return code.co_name == "<module>" or not code.co_name.startswith("<")


def _constant(value: Any) -> bytes:
    """A constant of compiled code."""
    if isinstance(value, types.CodeType):
        return code_fingerprint(value)
    if isinstance(value, (tuple, frozenset)):
        items = [_constant(item) for item in value]
        return digest(type(value).__name__.encode(), *(items if isinstance(value, tuple) else sorted(items)))
    return digest(type(value).__name__.encode(), repr(value).encode())


def _names(code: types.CodeType) -> set[str]:
    """Names that the code, or code inside of it, may look up among the globals."""
    inner = (value for value in code.co_consts if isinstance(value, types.CodeType))
    return set(code.co_names).union(*(_names(value) for value in inner))


def _package(thing: Any) -> str:
    return str(getattr(thing, "__module__", None) or "builtins").partition(".")[0]


class _Reader:
    """One pass over a graph of objects: each is read once, and a circle ends where it began.

    What is kept of an object depends on that object alone and not on the way to it, so that it can be used again: the
    members of a circle are read anew for every object through which the circle is entered.
    """

    def __init__(self) -> None:
        self._known: dict[int, bytes] = {}
        self._path: dict[int, int] = {}
        self._unfinished: dict[int, bytes] = {}  # of members of circles that are open
        self._lowest = sys.maxsize  # place on the path to which something led back
        self._alive: list[Any] = []  # or a new object could have the address of one that is gone

    def read(self, value: Any) -> bytes:
        """The digest of a value."""
        if type(value) in _PLAIN:
            return digest(type(value).__name__.encode(), value if type(value) is bytes else repr(value).encode())
        key, place = id(value), len(self._path)
        if key in self._known:
            return self._known[key]
        if key in self._unfinished:
            return self._unfinished[key]
        if key in self._path:
            self._lowest = min(self._lowest, self._path[key])
            return digest(b"circle", str(place - self._path[key]).encode())
        outside, self._lowest = self._lowest, sys.maxsize
        before = set(self._unfinished)
        self._path[key] = place
        self._alive.append(value)
        try:
            found = self._thing(value)
        except BaseException:
            self._lowest = min(outside, self._lowest)
            raise
        finally:
            del self._path[key]
        if self._lowest < place:
            self._unfinished[key] = found
            self._lowest = min(outside, self._lowest)
            return found
        if self._lowest > place:  # in no circle
            self._known[key] = found
        self._unfinished = {member: self._unfinished[member] for member in before}
        self._lowest = outside
        return found

    def _each(self, kind: str, values: Iterable[Any]) -> bytes:
        return digest(kind.encode(), *(self.read(value) for value in values))

    def _sorted(self, kind: str, entries: dict[Any, Any]) -> bytes:
        return self._each(kind, (part for name in sorted(entries, key=str) for part in (name, entries[name])))

    def _thing(self, value: Any) -> bytes:
        kind = type(value)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.ModuleType):
            return self._module(value)
        if isinstance(value, (classmethod, staticmethod, functools._lru_cache_wrapper)):
            return self._each(kind.__name__, (value.__wrapped__,))
        if isinstance(value, functools.cached_property):
            return self._each("cached", (value.func,))
        if isinstance(value, property):
            return self._each("property", (value.fget, value.fset, value.fdel))
        if kind in (list, tuple):
            return self._each(kind.__name__, value)
        if kind is dict:
            return self._each("dict", (part for item in value.items() for part in item))
        if kind in (set, frozenset):
            return digest(kind.__name__.encode(), *sorted(self.read(item) for item in value))
        if isinstance(value, Tensor):
            flat = value.detach().cpu().to_dense().contiguous().flatten()
            content = flat.view(torch.uint8).numpy().tobytes() if len(flat) else b""  # numpy has no bfloat16
            return digest(f"tensor {value.dtype} {tuple(value.shape)}".encode(), content)
        if isinstance(value, (np.ndarray, np.generic)):
            array = np.asarray(value)
            content = self._each("", array.ravel().tolist()) if array.dtype.hasobject else array.tobytes()
            return digest(f"{kind.__name__} {array.dtype.descr} {array.shape}".encode(), content)
        if isinstance(value, (pd.DataFrame, pd.Series, pd.Index)):
            return self._frame(value)
        return self._object(value)

    def _function(self, function: types.FunctionType) -> bytes:
        if hasattr(function, "_constraints"):  # of checked arguments, which say nothing about what it computes
            function = inspect.unwrap(function)
        package = _package(function)
        version = library_version(package)
        if version is not None:
            return digest(b"function", function.__module__.encode(), function.__qualname__.encode(), version.encode())
        names = sorted(_names(function.__code__) & function.__globals__.keys())
        used = {name: function.__globals__[name] for name in names if not name.startswith("__")}
        if package == _OWN:
            code = (type, types.FunctionType, types.ModuleType)
            used = {name: value for name, value in used.items() if not isinstance(value, code)}
        variables = zip(function.__code__.co_freevars, function.__closure__ or ())
        # the class that a method stands in, to which super() refers, is read already
        cells = [_contents(cell) for name, cell in variables if name != "__class__"]
        state = (function.__defaults__, function.__kwdefaults__, cells)
        followed = self._as_far_as_possible("globals", used) if package == _OWN else self._sorted("globals", used)
        return digest(b"function", code_fingerprint(function.__code__), self.read(state), followed)

    def _class(self, kind: type) -> bytes:
        version = library_version(_package(kind))
        if version is not None:
            return digest(b"class", kind.__module__.encode(), kind.__qualname__.encode(), version.encode())
        entries = {name: value for name, value in vars(kind).items() if name not in _INCIDENTAL}
        bases = self._each("bases", kind.__bases__)
        return digest(b"class", kind.__qualname__.encode(), bases, self._as_far_as_possible("entries", entries))

    def _as_far_as_possible(self, kind: str, entries: dict[str, Any]) -> bytes:
        """As `_sorted`, with what cannot be read (the lock of a cached property, say) by its class alone."""
        parts = []
        for name in sorted(entries):
            try:
                parts += [name.encode(), self.read(entries[name])]
            except TypeError:
                parts += [name.encode(), type(entries[name]).__qualname__.encode()]
        return digest(kind.encode(), *parts)

    def _module(self, module: types.ModuleType) -> bytes:
        """A module of one's own by its code; one of a library by its version, and this library's by its name."""
        package = module.__name__.partition(".")[0]
        version = "" if package == _OWN else library_version(package)
        code = compiled(module.__name__) if version is None and module.__spec__ is not None else None
        content = (version or "").encode() if code is None else code_fingerprint(code)
        return digest(b"module", module.__name__.encode(), content)

    def _frame(self, frame: Any) -> bytes:
        """A table or a part of it: values, types, names, and the categories of what has some."""
        if isinstance(frame, pd.DataFrame):
            columns = [frame.iloc[:, place] for place in range(frame.shape[1])]
            return self._each("frame", (frame.index, frame.columns, columns))
        kind, dtype = type(frame).__name__, frame.dtype
        names = list(frame.names) if isinstance(frame, pd.Index) else frame.name
        index = frame.index if isinstance(frame, pd.Series) else None
        if isinstance(dtype, pd.CategoricalDtype):
            codes = np.asarray(frame.cat.codes if isinstance(frame, pd.Series) else frame.codes)
            return self._each(kind, (names, index, list(dtype.categories), dtype.ordered, codes))
        return self._each(kind, (names, index, str(dtype), frame.to_numpy()))

    def _object(self, value: Any) -> bytes:
        """An instance of any other class, by what pickle would keep of it."""
        kind = type(value)
        if callable(getattr(value, "get_params", None)) and isinstance(getattr(value, "module_", None), nn.Module):
            # the history of a training has times, which are others in every run
            return self._each("fitted", (kind, sorted(value.get_params(deep=False).items()), value.module_))
        reduce = copyreg.dispatch_table.get(kind)  # somebody else's knowledge of the class
        try:
            state = value.__reduce_ex__(2) if reduce is None else reduce(value)
        except Exception as error:  # of any kind: a class says in its own way that it cannot be pickled
            raise TypeError(
                f"The state of a {kind.__module__}.{kind.__qualname__} cannot be read, so that a result that depends "
                "on it could not be told from others; give the class a __reduce__, or do without the object."
            ) from error
        if isinstance(state, str):
            return self._each("name", (kind, getattr(value, "__module__", None), state))  # math.exp is not cmath.exp
        constructor, arguments, attributes, *items = (*state, None)[: max(3, len(state))]
        own = self._sorted("state", attributes) if type(attributes) is dict else self.read(attributes)
        contents = [None if part is None else list(part) for part in items[:2]]
        return digest(b"object", self.read((kind, constructor, arguments)), own, self.read(contents))


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a variable that has not been assigned yet
        return None


_shared: _Reader | None = None
