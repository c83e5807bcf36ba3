"""Constraints on arguments: declared once, beside them, and checked in one way.

A class declares ``_constraints``, a dict of argument to constraint to which subclasses add, and calls
:func:`check_arguments` where its parameters take effect: a scikit-learn estimator in `fit`, a dataclass when it is
made. A function, a method, or an ``__init__`` that computes uses the decorator :func:`checked`. :func:`declared` reads
both, so that a test can find public arguments without a constraint, and make bad calls of all others.

Constraints are about single arguments. Relations between two (k and the number of features) are checked in code.
"""

from __future__ import annotations

import functools
import inspect
import math
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NoReturn, TypeVar, cast

import numpy as np
import pandas as pd
from torch import Tensor

from robustxai._short_repr import short
from robustxai._validation import nearest_name

__all__ = [
    "COUNT",
    "FLAG",
    "INTEGER_SEED",
    "NORM",
    "NOT_NEGATIVE",
    "N_JOBS",
    "POSITIVE",
    "SEED",
    "SHARE",
    "WEIGHTS",
    "Choice",
    "Constraint",
    "Each",
    "Either",
    "Exactly",
    "Flag",
    "Function",
    "Has",
    "Instance",
    "Named",
    "Nothing",
    "Number",
    "Numbers",
    "OneOf",
    "PathName",
    "Rows",
    "Table",
    "Text",
    "check_arguments",
    "checked",
    "declared",
    "optional",
]

#: Longest repr of a refused value in a message.
_LONGEST = 200
#: Integers beyond do not fit into a tensor.
_LARGEST = 2**63 - 1


@dataclass(frozen=True, eq=False)
class Constraint(ABC):
    """Constraint on an argument.

    Parameters
    ----------
    words : str, optional
        Allowed values, as the end of the sentence "k must be ..."; by default the description of the constraint.
    advice : str, optional
        Second sentence of the message, with a remedy.
    """

    words: str = field(default="", kw_only=True)
    advice: str = field(default="", kw_only=True)

    @abstractmethod
    def fault(self, value: Any) -> type[Exception] | None:
        """Return None for an allowed value, TypeError for a wrong type, ValueError for a value out of range."""

    @abstractmethod
    def says(self) -> str:
        """Return a description of the allowed values, used without `words`."""

    @abstractmethod
    def good(self) -> Iterator[Any]:
        """Yield some allowed values."""

    def edges(self) -> Iterator[Any]:
        """Yield values of the right type at and beyond the limits."""
        return iter(())

    def bad(self) -> Iterator[Any]:
        """Yield refused values: those beyond the limits, and other types of values."""
        for value in (*self.edges(), *nonsense()):
            if self.fault(value) is not None:
                yield value

    def check(self, name: str, value: Any, owner: str = "") -> None:
        """Raise TypeError or ValueError unless `value` is allowed for the argument `name` of `owner`."""
        error = self.fault(value)
        if error is not None:
            self.refuse(name, value, owner, error)

    def refuse(self, name: str, value: Any, owner: str, error: type[Exception]) -> NoReturn:
        """Raise `error` with at most two short sentences: the fault with the allowed values, and `advice`."""
        sentence = self.sentence(name, value)
        raise error(" ".join(part for part in (owner and f"{owner}:", sentence, self.advice) if part))

    def sentence(self, name: str, value: Any) -> str:
        """Return the sentence that refuses a value."""
        return f"{name} must be {self.allowed}, got {_shown(value)}."

    @property
    def allowed(self) -> str:
        """Description of the allowed values."""
        return self.words or self.says()


@dataclass(frozen=True, eq=False)
class Number(Constraint):
    """A finite number in a range. Python's and NumPy's scalars are numbers; booleans, strings and arrays are not.

    Parameters
    ----------
    low, high : float
        The range; both ends belong to it unless `above` or `below` is set.
    integer : bool, default=False
        Whether it must be of an integer type: 3.0 is not.
    above, below : bool, default=False
        Whether it must be above `low`, below `high`.
    """

    low: float = -math.inf
    high: float = math.inf
    integer: bool = False
    above: bool = False
    below: bool = False

    def fault(self, value: Any) -> type[Exception] | None:
        """Implement `Constraint.fault`."""
        kinds = (int, np.integer) if self.integer else (int, float, np.integer, np.floating)
        if not isinstance(value, kinds) or isinstance(value, bool):
            return TypeError
        largest = _LARGEST if self.integer else sys.float_info.max
        if not (-largest <= value <= largest and self.low <= value <= self.high):  # false of NaN
            return ValueError
        if (self.above and value == self.low) or (self.below and value == self.high):
            return ValueError
        return None

    def says(self) -> str:
        """Implement `Constraint.says`."""
        return ("an integer" if self.integer else "a number") + self._range()

    def sentence(self, name: str, value: Any) -> str:
        """Implement `Constraint.sentence`."""
        if self.words or self.fault(value) is TypeError:
            return super().sentence(name, value)
        return f"{name} must be a finite number{self._range()}, got {_shown(value)}."

    def _range(self) -> str:
        ends = []
        if math.isfinite(self.low):
            ends.append(f"{'>' if self.above else '>='} {self.low:g}")
        if math.isfinite(self.high):
            ends.append(f"{'<' if self.below else '<='} {self.high:g}")
        return " " * bool(ends) + " and ".join(ends)

    def good(self) -> Iterator[Any]:
        """Implement `Constraint.good`."""
        for value in (self.low, self.low + 1, self.high, 0, 0.5 * (self.low + self.high)):
            value = int(value) if self.integer and math.isfinite(value) else value
            if self.fault(value) is None:
                yield value

    def edges(self) -> Iterator[Any]:
        """Implement `Constraint.edges`."""
        kind = int if self.integer else float
        for end, step in ((self.low, -1), (self.high, 1)):
            if math.isfinite(end):
                yield kind(end)
                yield kind(end + step)
                yield kind(end + 1000 * step)
        if self.integer:
            yield 1.5
            yield 3.0


@dataclass(frozen=True, eq=False)
class Flag(Constraint):
    """True or False of Python or NumPy; not 0 and 1, which may be meant as numbers."""

    def fault(self, value: Any) -> type[Exception] | None:
        """Implement `Constraint.fault`."""
        return None if isinstance(value, (bool, np.bool_)) else TypeError

    def says(self) -> str:
        """Implement `Constraint.says`."""
        return "True or False"

    def good(self) -> Iterator[Any]:
        """Implement `Constraint.good`."""
        yield from (True, False, np.bool_(True))


@dataclass(frozen=True, eq=False)
class Choice(Constraint):
    """One of some names, which may be the keys of a registry that grows.

    Parameters
    ----------
    names : collection of str
        What is allowed.
    kind : str, optional
        What is registered, for a sentence without the name of the argument: "There is no data set 'adlut'."
    """

    names: Collection[str]
    kind: str = ""

    def fault(self, value: Any) -> type[Exception] | None:
        """Implement `Constraint.fault`."""
        if not isinstance(value, str):
            return TypeError
        return None if value in self.names else ValueError

    def says(self) -> str:
        """Implement `Constraint.says`."""
        names = [repr(name) for name in self.names]
        return names[0] if len(names) == 1 else f"one of {', '.join(names)}"

    def sentence(self, name: str, value: Any) -> str:
        """Implement `Constraint.sentence`."""
        if isinstance(value, str) and self.kind:
            return f"There is no {self.kind} {_shown(value)}.{nearest_name(value, self.names)}"
        if not isinstance(value, str) or self.words:
            return super().sentence(name, value)
        hint = nearest_name(value, self.names)
        names = f" Valid names: {', '.join(sorted(self.names))}."
        return f"{name}={_shown(value)} is not known.{hint}{'' if hint == names else names}"

    def good(self) -> Iterator[Any]:
        """Implement `Constraint.good`."""
        yield from self.names

    def edges(self) -> Iterator[Any]:
        """Implement `Constraint.edges`."""
        first = next(iter(self.names))
        yield from (first[:-1], f" {first}", first.upper(), first + "s", [first])


@dataclass(frozen=True, eq=False)
class OneOf(Constraint):
    """One of a few values, compared by type and value: 1 is not True, and "2" is not 2."""

    values: tuple[Any, ...]

    def fault(self, value: Any) -> type[Exception] | None:
        """Implement `Constraint.fault`."""
        if isinstance(value, (bool, np.bool_)):
            return None if any(value is one for one in self.values) else TypeError
        if not isinstance(value, (str, int, float, np.integer, np.floating)):
            return TypeError
        return (
            None
            if any(isinstance(value, str) == isinstance(one, str) and value == one for one in self.values)
            else (ValueError)
        )

    def says(self) -> str:
        """Implement `Constraint.says`."""
        return f"one of {', '.join(map(repr, self.values))}"

    def sentence(self, name: str, value: Any) -> str:
        """Implement `Constraint.sentence`."""
        uses = self.words or " or ".join(map(repr, self.values))
        return f"{name}={_shown(value)} is not supported; use {uses}."

    def good(self) -> Iterator[Any]:
        """Implement `Constraint.good`."""
        yield from self.values

    def edges(self) -> Iterator[Any]:
        """Implement `Constraint.edges`."""
        yield from (1, 3, "1", "3", -math.inf, True)


@dataclass(frozen=True, eq=False)
class Text(Constraint):
    """A string that is not empty and has no NUL."""

    def fault(self, value: Any) -> type[Exception] | None:
        """Implement `Constraint.fault`."""
        if not isinstance(value, str):
            return TypeError
        return None if value and "\0" not in value else ValueError

    def says(self) -> str:
        """Implement `Constraint.says`."""
        return "a string that is not empty"

    def good(self) -> Iterator[Any]:
        """Implement `Constraint.good`."""
        yield "text"

    def edges(self) -> Iterator[Any]:
        """Implement `Constraint.edges`."""
        yield from ("", "\0", "a\0b")


@dataclass(frozen=True, eq=False)
class PathName(Constraint):
    """A path as a string or a path object, not empty and without NUL, which no file system takes."""

    def fault(self, value: Any) -> type[Exception] | None:
        """Implement `Constraint.fault`."""
        if not isinstance(value, (str, os.PathLike)):
            return TypeError
        path = os.fspath(value)
        if not isinstance(path, str):
            return TypeError
        return None if path and "\0" not in path else ValueError

    def says(self) -> str:
        """Implement `Constraint.says`."""
        return "a path, as a string that is neither empty nor has a NUL character, or as a pathlib.Path"

    def good(self) -> Iterator[Any]:
        """Implement `Constraint.good`."""
        yield "folder"

    def edges(self) -> Iterator[Any]:
        """Implement `Constraint.edges`."""
        yield from ("", "\0", "a\0b")


@dataclass(frozen=True, eq=False)
class Nothing(Constraint):
    """None, which stands for a default that depends on something else."""

    def fault(self, value: Any) -> type[Exception] | None:
        """Implement `Constraint.fault`."""
        return None if value is None else TypeError

    def says(self) -> str:
        """Implement `Constraint.says`."""
        return "None"

    def good(self) -> Iterator[Any]:
        """Implement `Constraint.good`."""
        yield None


@dataclass(frozen=True, eq=False)
class Exactly(Constraint):
    """One special value beside a range of others, such as "auto"."""

    value: str | int

    def fault(self, value: Any) -> type[Exception] | None:
        """Implement `Constraint.fault`."""
        kind = str if isinstance(self.value, str) else (int, np.integer)
        same = isinstance(value, kind) and not isinstance(value, bool) and value == self.value
        return None if same else TypeError

    def says(self) -> str:
        """Implement `Constraint.says`."""
        return repr(self.value)

    def good(self) -> Iterator[Any]:
        """Implement `Constraint.good`."""
        yield self.value


@dataclass(frozen=True, eq=False)
class Instance(Constraint):
    """An object of one of some classes, as itself and not as the class."""

    kinds: type | tuple[type, ...]

    def fault(self, value: Any) -> type[Exception] | None:
        """Implement `Constraint.fault`."""
        return None if isinstance(value, self.kinds) else TypeError

    def says(self) -> str:
        """Implement `Constraint.says`."""
        kinds = self.kinds if isinstance(self.kinds, tuple) else (self.kinds,)
        return " or ".join(f"{_article(kind.__name__)} {kind.__name__}" for kind in kinds)

    def good(self) -> Iterator[Any]:
        """Yield objects of the classes before ``__init__``, which suffice for a check."""
        for kind in self.kinds if isinstance(self.kinds, tuple) else (self.kinds,):
            if kind is type:
                yield int
            elif issubclass(dict, kind):
                yield {}
            elif not inspect.isabstract(kind):
                make: Callable[..., Any] = kind.__new__
                with suppress(TypeError):  # there is nothing of that class without arguments
                    yield make(kind)

    def edges(self) -> Iterator[Any]:
        """Implement `Constraint.edges`."""
        yield self.kinds[0] if isinstance(self.kinds, tuple) else self.kinds


@dataclass(frozen=True, eq=False)
class Function(Constraint):
    """A callable function or object, but not a class, whose call would only make an object."""

    def fault(self, value: Any) -> type[Exception] | None:
        """Implement `Constraint.fault`."""
        return None if callable(value) and not isinstance(value, type) else TypeError

    def says(self) -> str:
        """Implement `Constraint.says`."""
        return "a callable"

    def good(self) -> Iterator[Any]:
        """Implement `Constraint.good`."""
        yield print


@dataclass(frozen=True, eq=False)
class Has(Constraint):
    """An object with some attributes, neither a class nor text, such as an estimator of any library."""

    attributes: tuple[str, ...]

    def fault(self, value: Any) -> type[Exception] | None:
        """Implement `Constraint.fault`."""
        known = not isinstance(value, (type, str, bytes))  # text has methods of many names
        fits = known and all(hasattr(value, name) for name in self.attributes)
        return None if fits else TypeError

    def says(self) -> str:
        """Implement `Constraint.says`."""
        return f"an object with {' and '.join(self.attributes)}"

    def good(self) -> Iterator[Any]:
        """Implement `Constraint.good`."""
        yield SimpleNamespace(**dict.fromkeys(self.attributes))


@dataclass(frozen=True, eq=False)
class Each(Constraint):
    """A list, tuple or array of one axis, each entry of which is allowed by another constraint.

    Parameters
    ----------
    entry : Constraint
        Of each entry.
    least : int, default=0
        Least number of entries.
    most : int, optional
        Largest number of entries.
    called : str, optional
        What an entry is called in a message; "name[0]" by default.
    """

    entry: Constraint
    least: int = 0
    most: int | None = None
    called: str = ""

    def fault(self, value: Any) -> type[Exception] | None:
        """Implement `Constraint.fault`."""
        if not _is_sequence(value):
            return TypeError if self.entry.fault(value) is not None else ValueError  # an entry alone
        if len(value) < self.least or (self.most is not None and len(value) > self.most):
            return ValueError
        if getattr(value, "ndim", 1) > 1:
            return ValueError
        for entry in value:
            error = self.entry.fault(entry)
            if error is not None:
                return ValueError if _is_sequence(entry) else error  # too many axes
        return None

    def says(self) -> str:
        """Implement `Constraint.says`."""
        most = "" if self.most is None else f", at most {self.most}"
        least = f" of at least {self.least}" if self.least and self.least != self.most else ""
        if self.least == self.most:
            least, most = f" of {self.least}", ""
        return f"a sequence{least}{most}, each entry {self.entry.allowed}"

    def sentence(self, name: str, value: Any) -> str:
        """Implement `Constraint.sentence`."""
        if _is_sequence(value) and not len(value):
            return f"{name} is empty; it must be {self.allowed}."
        if not self.words and _is_sequence(value) and self.least <= len(value) <= (self.most or len(value)):
            for place, entry in enumerate(value):
                if self.entry.fault(entry) is not None:
                    return self.entry.sentence(self.called or f"{name}[{place}]", entry)
        return super().sentence(name, value)

    def good(self) -> Iterator[Any]:
        """Implement `Constraint.good`."""
        entry = next(self.entry.good(), None)
        if self.entry.fault(entry) is None:
            yield (entry,) * max(1, self.least)

    def edges(self) -> Iterator[Any]:
        """Implement `Constraint.edges`."""
        for value in self.entry.bad():
            yield [value] * max(1, self.least)
        yield []


@dataclass(frozen=True, eq=False)
class Named(Constraint):
    """A mapping of names to values that another constraint allows."""

    entry: Constraint
    least: int = 0

    def fault(self, value: Any) -> type[Exception] | None:
        """Implement `Constraint.fault`."""
        if not isinstance(value, Mapping):
            return TypeError
        if len(value) < self.least:
            return ValueError
        if not all(isinstance(name, str) for name in value):
            return TypeError
        return next((error for error in map(self.entry.fault, value.values()) if error is not None), None)

    def says(self) -> str:
        """Implement `Constraint.says`."""
        least = " that is not empty" if self.least else ""
        return f"a dict{least} of names, each with {self.entry.allowed}"

    def sentence(self, name: str, value: Any) -> str:
        """Implement `Constraint.sentence`."""
        if not self.words and isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
            for key, entry in value.items():
                if self.entry.fault(entry) is not None:
                    return self.entry.sentence(f"{name}[{key!r}]", entry)
        return super().sentence(name, value)

    def good(self) -> Iterator[Any]:
        """Implement `Constraint.good`."""
        entry = next(self.entry.good(), None)
        if self.entry.fault(entry) is None:
            yield {"name": entry}

    def edges(self) -> Iterator[Any]:
        """Implement `Constraint.edges`."""
        yield from ({"name": value} for value in self.entry.bad())
        yield {}
        yield {1: next(self.entry.good(), None)}


@dataclass(frozen=True, eq=False)
class Rows(Constraint):
    """Data: an array, a tensor, a table of any library or a list, with at least `ndim` axes; never a lone value.

    What the entries must be depends on what is done with them, and is said there.
    """

    ndim: int = 1

    def fault(self, value: Any) -> type[Exception] | None:
        """Implement `Constraint.fault`."""
        if not _is_array_like(value):
            return TypeError
        try:
            shape = getattr(value, "shape", None)
            n_axes = len(shape) if isinstance(shape, tuple) else np.ndim(value)
        except Exception:  # rows of unequal lengths
            return TypeError
        if "complex" in str(getattr(value, "dtype", "")):
            return TypeError
        return None if n_axes >= self.ndim else ValueError

    def says(self) -> str:
        """Implement `Constraint.says`."""
        axes = "(n_samples, *features)" if self.ndim > 1 else "(n_samples, ...)"
        return f"an array, a tensor, a table or a list of shape {axes}"

    def sentence(self, name: str, value: Any) -> str:
        """Implement `Constraint.sentence`."""
        if hasattr(value, "collect") and hasattr(value, "lazy"):
            return f"{name} is a lazy table without rows; collect it first, for instance by {name}.collect()."
        shape = getattr(value, "shape", None)
        got = f"shape {tuple(shape)}" if isinstance(shape, tuple) else _kind(value)
        got = f"complex numbers of {got}" if "complex" in str(getattr(value, "dtype", "")) else got
        return f"{name} must be {self.allowed}, got {got}."

    def good(self) -> Iterator[Any]:
        """Implement `Constraint.good`."""
        yield np.zeros((3,) * self.ndim)

    def edges(self) -> Iterator[Any]:
        """Implement `Constraint.edges`."""
        yield np.zeros(())
        yield np.zeros((3,) * (self.ndim - 1))


@dataclass(frozen=True, eq=False)
class Numbers(Constraint):
    """A finite number, or an array or a list of them of any shape; no text, no booleans.

    Parameters
    ----------
    low : float
        No entry may be below.
    finite : bool, default=True
        Whether NaN and infinity are refused.
    """

    low: float = -math.inf
    finite: bool = True

    def fault(self, value: Any) -> type[Exception] | None:
        """Implement `Constraint.fault`."""
        if isinstance(value, Tensor):
            if value.is_complex():
                return TypeError
            if self.finite and not bool(value.isfinite().all()):
                return ValueError
            return ValueError if math.isfinite(self.low) and bool((value < self.low).any()) else None
        if isinstance(value, (str, bytes, bool, np.bool_, type)) or not (np.isscalar(value) or _is_array_like(value)):
            return TypeError
        try:
            array = np.asarray(value)
        except Exception:  # lists of unequal lengths, and types that NumPy does not know
            return TypeError
        if array.dtype.kind not in "biuf" and array.size:
            return ValueError if isinstance(value, int) else TypeError  # 10**400
        if self.finite and array.size and not np.isfinite(array).all():
            return ValueError
        return ValueError if array.size and (array < self.low).any() else None

    def says(self) -> str:
        """Implement `Constraint.says`."""
        low = f" >= {self.low:g}" if math.isfinite(self.low) else ""
        finite = "finite " if self.finite else ""
        return f"a {finite}number{low}, or an array of {finite}numbers{low}"

    def good(self) -> Iterator[Any]:
        """Implement `Constraint.good`."""
        yield from (1, np.ones(3))

    def edges(self) -> Iterator[Any]:
        """Implement `Constraint.edges`."""
        yield from ([math.nan], [1.0, math.inf], ["a"], [[1], [1, 2]])
        if math.isfinite(self.low):
            yield from (self.low - 1, [self.low - 1])


@dataclass(frozen=True, eq=False)
class Table(Constraint):
    """A pandas DataFrame with at least one row and some columns.

    Parameters
    ----------
    columns : tuple of str
        Columns that it must have.
    index : tuple of str, default=()
        Names that the levels of its index must have.
    source : str, default=""
        Where such a table comes from, for the message.
    """

    columns: tuple[str, ...] = ()
    index: tuple[str, ...] = ()
    source: str = ""

    def fault(self, value: Any) -> type[Exception] | None:
        """Implement `Constraint.fault`."""
        if not isinstance(value, pd.DataFrame):
            return TypeError
        return ValueError if not len(value) or self._lacks(value) else None

    def _lacks(self, value: pd.DataFrame) -> list[str]:
        missing = [f"the column {name!r}" for name in self.columns if name not in value]
        return missing + [f"the index level {name!r}" for name in self.index if name not in value.index.names]

    def says(self) -> str:
        """Implement `Constraint.says`."""
        columns = f" with the columns {', '.join(map(repr, self.columns))}" if self.columns else ""
        return f"a pandas DataFrame of at least one row{columns}{self.source and f', as {self.source} returns it'}"

    def sentence(self, name: str, value: Any) -> str:
        """Implement `Constraint.sentence`."""
        if not isinstance(value, pd.DataFrame):
            return f"{name} must be {self.allowed}, got {_kind(value)}."
        lacks = self._lacks(value)
        problem = f"lacks {', '.join(lacks)}" if lacks else "has no rows"
        return f"{name} {problem}. It must be {self.allowed}."

    def good(self) -> Iterator[Any]:
        """Implement `Constraint.good`."""
        rows = pd.DataFrame({name: [0.5] for name in (*self.columns, *self.index)}, index=[0])
        yield rows.set_index(list(self.index)) if self.index else rows

    def edges(self) -> Iterator[Any]:
        """Implement `Constraint.edges`."""
        whole = next(self.good())
        yield whole.iloc[:0]
        yield pd.DataFrame()
        yield from (whole.drop(columns=name) for name in self.columns)


@dataclass(frozen=True, eq=False)
class Either(Constraint):
    """A value that any of some constraints allows."""

    options: tuple[Constraint, ...]

    def fault(self, value: Any) -> type[Exception] | None:
        """Implement `Constraint.fault`."""
        found: type[Exception] = TypeError
        for option in self.options:
            error = option.fault(value)
            if error is None:
                return None
            if error is ValueError:
                found = error
        return found

    def says(self) -> str:
        """Implement `Constraint.says`."""
        return " or ".join(option.allowed for option in sorted(self.options, key=lambda o: isinstance(o, Nothing)))

    def sentence(self, name: str, value: Any) -> str:
        """Implement `Constraint.sentence`."""
        near = [option for option in self.options if option.fault(value) is ValueError]
        if len(near) == 1:
            return near[0].sentence(name, value)
        return super().sentence(name, value)

    def good(self) -> Iterator[Any]:
        """Implement `Constraint.good`."""
        for option in self.options:
            yield from option.good()

    def edges(self) -> Iterator[Any]:
        """Implement `Constraint.edges`."""
        for option in self.options:
            yield from option.edges()


def optional(constraint: Constraint) -> Either:
    """Return a constraint that allows `constraint` or None."""
    return Either((constraint, Nothing()), words=f"{constraint.allowed} or None", advice=constraint.advice)


#: A number that says how many.
COUNT = Number(1, integer=True)
POSITIVE = Number(0, above=True)
NOT_NEGATIVE = Number(0)
#: A part of a whole.
SHARE = Number(0, 1)
FLAG = Flag()
#: Norm of a threat model.
NORM = OneOf((2, "2", math.inf, "inf"), words="2 or inf")
#: A seed as a number.
INTEGER_SEED = Number(0, 2**32 - 1, integer=True, words="an integer from 0 to 2**32 - 1")
#: Number of processes, as joblib takes it.
N_JOBS = Either((COUNT, Number(high=-1, integer=True), Nothing()), words="an integer, not 0, or None")
#: Weights of rows, also in containers that only NumPy can read, as scikit-learn takes them.
WEIGHTS = Either((Rows(), Has(("__array__",)), Nothing()), words="an array of one number per row of X, or None")
#: What scikit-learn calls a random state.
SEED = Either(
    (INTEGER_SEED, Instance(np.random.RandomState), Nothing()),
    words="an integer from 0 to 2**32 - 1, a numpy RandomState, or None",
)


def check_arguments(instance: Any, owner: str | None = None) -> None:
    """Check the attributes of an object by the constraints of its class and base classes.

    Parameters
    ----------
    instance : object
        With an attribute for each argument.
    owner : str, optional
        What messages begin with; the name of the class by default, "" for nothing.

    Raises
    ------
    TypeError, ValueError
        The first that is not allowed, by its name and that of the class.
    """
    kind = type(instance)
    for name, constraint in _of_class(kind).items():
        constraint.check(name, getattr(instance, name), kind.__name__ if owner is None else owner)


Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def checked(**constraints: Constraint) -> Callable[[Decorated], Decorated]:
    """Decorate a function so that its arguments are checked before it runs; defaults are not checked.

    Raises
    ------
    NameError
        When the function is defined: a constraint for an argument that it has not.
    """

    def decorate(function: Decorated) -> Decorated:
        parameters = list(inspect.signature(function).parameters.values())
        unknown = set(constraints) - {p.name for p in parameters}
        if unknown:
            raise NameError(f"{function.__qualname__} has no argument {sorted(unknown)[0]!r}.")
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        places = {p.name: place for place, p in enumerate(parameters) if p.kind in positional}
        plan = [(name, places.get(name, sys.maxsize), c.fault, c) for name, c in constraints.items()]
        owner = function.__qualname__.removesuffix(".__init__").rpartition("<locals>.")[2]

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            n_places = len(args)
            for name, place, fault, constraint in plan:
                if place < n_places:
                    value = args[place]
                elif name in kwargs:
                    value = kwargs[name]
                else:
                    continue
                if fault(value) is not None:
                    constraint.check(name, value, owner)
            return function(*args, **kwargs)

        wrapper._constraints = constraints  # type: ignore[attr-defined]
        return cast(Decorated, wrapper)

    return decorate


def declared(thing: Any) -> dict[str, Constraint]:
    """Return the constraints on the arguments of a function or of a class."""
    if isinstance(thing, type):
        return dict(_of_class(thing))
    return dict(getattr(inspect.unwrap(thing, stop=lambda f: hasattr(f, "_constraints")), "_constraints", {}))


def _of_class(kind: type) -> dict[str, Constraint]:
    found: dict[str, Constraint] = {}
    for base in reversed(kind.__mro__):
        found |= vars(base).get("_constraints", {})
        found |= getattr(vars(base).get("__init__"), "_constraints", {})
    return found


def nonsense() -> tuple[Any, ...]:
    """Return values of many types, nearly all of which any argument refuses."""
    return (
        object(), "no such thing", "1", b"bytes", 1j, None, True, math.nan, math.inf, -math.inf, -1, 10**400, -2.5,
        np.array(1.0), np.array([[1, 2], [3, 4]]), Tensor, {"a": 1}, {1, 2}, slice(2), (object(),), pd.NaT, print,
    )  # fmt: skip


def _is_sequence(value: Any) -> bool:
    if isinstance(value, (str, bytes, bytearray, Mapping)):
        return False
    if isinstance(value, (Tensor, np.ndarray)):
        return value.ndim > 0
    return isinstance(value, (Sequence, pd.Index, pd.Series))


def _is_array_like(value: Any) -> bool:
    """Return whether `value` holds a sequence of values: an array, a tensor, a table or a sequence, but no text."""
    if isinstance(value, type):
        return False
    return _is_sequence(value) or any(hasattr(value, name) for name in ("__array__", "__dataframe__"))


def _kind(value: Any) -> str:
    return "None" if value is None else f"{_article(type(value).__name__)} {type(value).__name__}"


def _article(name: str) -> str:
    return "an" if name[:1].lower() in "aeio" else "a"


def _shown(value: Any) -> str:
    """Return a value for a message, on one line and of bounded length."""
    try:
        text = short(value)
    except Exception:  # a repr of a user's class may fail, and integers of thousands of digits have none
        text = _kind(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
