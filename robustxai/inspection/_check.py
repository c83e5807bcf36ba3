"""What displays ask of the results that they are given, and of the machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from robustxai._arguments import Constraint, Either, Nothing, Rows

__all__ = ["AX", "AXES", "ESTIMATORS", "NAMES", "ByName", "check_one_data_set", "pyplot"]


def check_one_data_set(display: type, rows: pd.DataFrame) -> None:
    """Raise ValueError where the results of several data sets would be drawn over each other."""
    if rows["data"].nunique() != 1:
        raise ValueError(f"{display.__name__} shows one data set, got {sorted(rows['data'].unique())}.")


@dataclass(frozen=True, eq=False)
class ByName(Constraint):
    """A mapping of at least one name, of which an empty one and anything else are refused alike."""

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


@dataclass(frozen=True, eq=False)
class Axes(Constraint):
    """One matplotlib Axes, or with `several` an array of them; None for a new figure."""

    several: bool = False

    def fault(self, value: Any) -> type[Exception] | None:
        """As `Constraint.fault`."""
        if value is None:
            return None
        parts = np.asarray(value, dtype=object).ravel() if self.several else [value]
        fits = len(parts) and all(hasattr(part, "plot") and hasattr(part, "figure") for part in parts)
        return None if fits else TypeError

    def says(self) -> str:
        """As `Constraint.says`."""
        return "an array of matplotlib Axes or None" if self.several else "a matplotlib Axes or None"

    def good(self) -> Iterator[Any]:
        """As `Constraint.good`."""
        yield None


#: What may be given for `estimators`.
ESTIMATORS = ByName(words='a dict of at least one name and fitted classifier, for instance {"Vanilla": clf}')
AX, AXES = Axes(), Axes(several=True)
#: What may be given for names of features.
NAMES = Either((Rows(), Nothing()), words="a sequence of names or None")


def pyplot() -> Any:
    """``matplotlib.pyplot``, imported when something is drawn."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Figures need matplotlib, which is not installed. Install it with: pip install 'robustxai[plot]'"
        ) from error
    return plt
