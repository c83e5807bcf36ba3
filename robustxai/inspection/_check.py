"""Constraints on the arguments of displays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from robustxai._arguments import Constraint, Either, Nothing, Rows

__all__ = ["ESTIMATORS", "NAMES", "ByName"]


@dataclass(frozen=True, eq=False)
class ByName(Constraint):
    """A mapping of at least one name."""

    def fault(self, value: Any) -> type[Exception] | None:
        """As `Constraint.fault`."""
        return None if isinstance(value, Mapping) and len(value) else TypeError

    def says(self) -> str:
        """As `Constraint.says`."""
        return "a dict of at least one name"

    def good(self) -> Iterator[Any]:
        """As `Constraint.good`."""
        yield {"name": None}

    def edges(self) -> Iterator[Any]:
        """As `Constraint.edges`."""
        yield from ({}, ["name"])


#: Constraint of `estimators`.
ESTIMATORS = ByName(words='a dict of at least one name and fitted classifier, for instance {"Vanilla": clf}')
#: Constraint of feature names.
NAMES = Either((Rows(), Nothing()), words="a sequence of names or None")
