"""How a row may change, as the command line says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

import pandas as pd

from robustxai._validation import nearest_name
from robustxai.cli._own_table import columns_of
from robustxai.columns import TableThreat
from robustxai.datasets import TableSchema

__all__ = ["Budgets"]


@dataclass(frozen=True)
class Budgets:
    """Options of a threat model.

    Parameters
    ----------
    budget : tuple of str
        Such as ``"age=1"``, ``"income=5%"`` and, for all other columns, ``"2%"``.
    immutable : tuple of str
        Columns, separated by commas or one each.
    monotone : tuple of str
        Such as ``"age=up"``.
    max_switches : int or None
        Most switches; None for the default of 1.
    """

    budget: tuple[str, ...] = ()
    immutable: tuple[str, ...] = ()
    monotone: tuple[str, ...] = ()
    max_switches: int | None = None

    @classmethod
    def given(
        cls, budget: Sequence[str], immutable: Sequence[str], monotone: Sequence[str], max_switches: int | None
    ) -> Budgets:
        """Take what the command line gives."""
        if max_switches is not None and max_switches < 0:
            raise ValueError(f"--max-switches must be 0 or more, got {max_switches}.")
        return cls(tuple(budget), tuple(immutable), tuple(monotone), max_switches)

    def over(self, others: Budgets) -> Budgets:
        """Return these options, and those of `others` where nothing is said here."""
        mine = {name: value for name, value in asdict(self).items() if value not in ((), None)}
        return Budgets(**{**asdict(others), **mine})

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def read(cls, node: Any) -> Budgets:
        """Make one of what :meth:`to_json` returned; ValueError for anything else."""
        if not isinstance(node, Mapping) or set(node) != set(cls.__dataclass_fields__):
            raise ValueError("its budgets have another form")
        switches = node["max_switches"]
        lists = [node[name] for name in ("budget", "immutable", "monotone")]
        texts = all(isinstance(one, list) and all(isinstance(text, str) for text in one) for one in lists)
        if not texts or not (switches is None or type(switches) is int):
            raise ValueError("its budgets have another form")
        return cls.given(lists[0], lists[1], lists[2], switches)

    def threat(self, schema: TableSchema, rows: pd.DataFrame | None = None) -> TableThreat:
        """Return the threat model of a table.

        Budgets are shares of the ranges of the training rows. Bounds are these ranges, extended to what `rows` hold, so
        that a row beyond them may be asked about.

        Parameters
        ----------
        schema : TableSchema
            Of the training rows.
        rows : DataFrame, optional
            Rows that are asked about.

        Raises
        ------
        ValueError
            A column that does not exist, or a text that says no budget.
        """
        example = schema.example()
        rules = {rule.name: rule for rule in TableThreat.from_frame(example).rules}
        numbers = [name for name, rule in rules.items() if rule.kind == "number"]
        immutable = columns_of(self.immutable, schema.names, "--immutable")
        named, everywhere = self._by_column(schema.names, numbers, immutable)
        budgets = named if everywhere is None else {name: named.get(name, everywhere) for name in numbers}
        budgets = {name: budget for name, budget in budgets.items() if name not in immutable}
        options: dict[str, Any] = {
            "immutable": immutable,
            "monotone": self._directions(numbers),
            "max_switches": 1 if self.max_switches is None else self.max_switches,
        }
        threat = TableThreat.from_frame(example, budgets, **options)
        if rows is None:
            return threat
        # the amounts are those of the training rows, whatever the rows are
        amounts = {rule.name: rule.budget for rule in threat.rules if rule.kind == "number" and not rule.immutable}
        return TableThreat.from_frame(_joined(example, rows), amounts, **options)

    def _by_column(
        self, names: Sequence[str], numbers: Sequence[str], immutable: Sequence[str]
    ) -> tuple[dict[str, float | str], float | str | None]:
        found: dict[str, float | str] = {}
        everywhere: float | str | None = None
        for text in self.budget:
            name, equals, amount = text.rpartition("=")
            value = _amount(amount, text)
            if not equals:
                everywhere = value
                continue
            if name not in names:
                raise ValueError(
                    f"--budget names the column {name!r}, which is not in the table.{nearest_name(name, names)}"
                )
            if name not in numbers:
                raise ValueError(
                    f"--budget names {name!r}, a column of categories, which switch: say how many by --max-switches, "
                    f"or that it never does by --immutable {name}."
                )
            if name in immutable:
                raise ValueError(f"--budget and --immutable both name {name!r}. Leave it out of one of them.")
            found[name] = value
        return found, everywhere

    def _directions(self, numbers: Sequence[str]) -> dict[str, Literal["up", "down"]]:
        found: dict[str, Literal["up", "down"]] = {}
        for text in self.monotone:
            name, _, direction = text.rpartition("=")
            if direction not in ("up", "down"):
                raise ValueError(f"--monotone {text!r} is no direction. Write COLUMN=up or COLUMN=down.")
            if name not in numbers:
                near = nearest_name(name, numbers)
                raise ValueError(f"--monotone names {name!r}, which is no column of numbers in the table.{near}")
            found[name] = cast(Literal["up", "down"], direction)
        return found


def _amount(text: str, whole: str) -> float | str:
    text = text.strip()
    if text.endswith("%"):
        return text
    try:
        return float(text)
    except ValueError:
        raise ValueError(
            f"--budget {whole!r} is no budget. Write COLUMN=1, COLUMN=5% or, for all columns, 5%."
        ) from None


def _joined(example: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return both tables below each other, with the categories of the first."""
    both = pd.concat([example, rows], ignore_index=True)
    kinds = {name: dtype for name, dtype in example.dtypes.items() if isinstance(dtype, pd.CategoricalDtype)}
    return both.astype(kinds)
