"""What the columns of a table hold, in a form that a file can keep."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

__all__ = ["ColumnSchema", "TableSchema"]


@dataclass(frozen=True)
class ColumnSchema:
    """One column.

    Parameters
    ----------
    name : str
        Its name.
    kind : {"number", "category"}
        What it holds; true and false are categories.
    values : tuple of float
        Of a number, the smallest and the largest that were seen and a third, which has a fraction if any has one.
    levels : tuple of str or bool
        Of a category, those that were seen.
    """

    name: str
    kind: Literal["number", "category"]
    values: tuple[float, ...] = ()
    levels: tuple[str | bool, ...] = ()

    @classmethod
    def of(cls, column: pd.Series) -> ColumnSchema:
        """Describe a column of a table as :func:`load_table` returns it."""
        name, seen = str(column.name), column.dropna()
        if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
            values = np.unique(seen.to_numpy(dtype=float))
            inner = values[1:-1]
            third = [*inner[inner != np.floor(inner)][:1], *inner[:1]][:1]
            return cls(name, "number", tuple(map(float, [*dict.fromkeys([*values[:1], *values[-1:]]), *third])))
        levels = [value if isinstance(value, (bool, np.bool_)) else str(value) for value in seen.unique()]
        return cls(name, "category", levels=tuple(bool(v) if isinstance(v, np.bool_) else v for v in sorted(levels)))

    @classmethod
    def read(cls, node: Any) -> ColumnSchema:
        """Make one of what :meth:`TableSchema.to_json` wrote; ValueError for anything else."""
        if not isinstance(node, Mapping) or set(node) != set(cls.__dataclass_fields__):
            raise ValueError("a column is described by other words than expected")
        made = cls(node["name"], node["kind"], tuple(node["values"]), tuple(node["levels"]))
        sound = (
            isinstance(made.name, str)
            and made.kind in ("number", "category")
            and all(type(value) in (int, float) and math.isfinite(value) for value in made.values)
            and all(isinstance(level, (str, bool)) for level in made.levels)
        )
        if not sound:
            raise ValueError(f"the column {str(made.name)[:80]!r} is described by values of the wrong kind")
        return made


@dataclass(frozen=True)
class TableSchema:
    """The columns of a table, in their order.

    Parameters
    ----------
    columns : tuple of ColumnSchema
        The columns.
    """

    columns: tuple[ColumnSchema, ...]

    @classmethod
    def of(cls, frame: pd.DataFrame) -> TableSchema:
        """Describe a table as :func:`load_table` returns it."""
        return cls(tuple(ColumnSchema.of(frame[name]) for name in frame))

    def with_levels_of(self, frame: pd.DataFrame, names: Collection[str]) -> TableSchema:
        """Return the schema with the categories of another table in some of its columns, too."""
        added = [
            replace(one, levels=tuple(sorted({*one.levels, *ColumnSchema.of(frame[one.name]).levels}, key=str)))
            if one.name in names and one.kind == "category"
            else one
            for one in self.columns
        ]
        return TableSchema(tuple(added))

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return [column.name for column in self.columns]

    def to_json(self) -> list[dict[str, Any]]:
        """Return the columns as plain values."""
        return [
            {"name": one.name, "kind": one.kind, "values": list(one.values), "levels": list(one.levels)}
            for one in self.columns
        ]

    @classmethod
    def read(cls, nodes: Any) -> TableSchema:
        """Make one of what :meth:`to_json` returned; ValueError for anything else."""
        if not isinstance(nodes, list) or not nodes:
            raise ValueError("it describes no columns")
        made = cls(tuple(map(ColumnSchema.read, nodes)))
        if len(set(made.names)) < len(nodes):
            raise ValueError("it describes a column twice")
        return made

    def coded(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return a table with the categories of these columns; any other category is a gap."""
        levels = {one.name: pd.CategoricalDtype(list(one.levels)) for one in self.columns if one.kind == "category"}
        known = {
            name: frame[name].astype(object).where(frame[name].isin(dtype.categories)) for name, dtype in levels.items()
        }
        return frame.assign(**{name: column.astype(levels[name]) for name, column in known.items()})

    def example(self) -> pd.DataFrame:
        """Return a small table with these ranges and categories, of which a threat model can be made."""
        n = max(1, *(len(column.values) + len(column.levels) for column in self.columns))
        return pd.DataFrame({column.name: _example(column, n) for column in self.columns})


def _example(column: ColumnSchema, n: int) -> Any:
    if column.kind == "category":
        values = [*column.levels, *[None] * n][:n]
        return pd.Categorical(values, categories=list(column.levels))
    numbers = np.resize(column.values, n) if column.values else np.full(n, np.nan)
    return numbers.astype(np.int64) if _are_whole(numbers) else numbers


def _are_whole(numbers: np.ndarray) -> bool:
    return bool((numbers == np.floor(numbers)).all() and (np.abs(numbers) < 2**53).all())
