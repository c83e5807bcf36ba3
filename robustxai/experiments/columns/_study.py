"""A grid of cells on the contributions of raw columns."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from robustxai._arguments import COUNT, SHARE, Choice, Each, Number, PathName, check_arguments, checked
from robustxai.benchmark import TABLES, Data, announce, key, run_cells
from robustxai.experiments.columns._cell import MODELS, ColumnsCell, run_columns_cell

__all__ = ["ColumnsStudy"]


@dataclass(frozen=True)
class ColumnsStudy:
    """Contributions of the raw columns of tables: models at their defaults, attacked and certified under budgets.

    Parameters
    ----------
    data : tuple of str or UserTable
        Names of tables, or users' files.
    defenses : tuple of str
        Keys of ``MODELS``; all by default.
    seeds : int, default=5
        Seeds 0 ... seeds-1, each with its own split.
    k, share, max_switches, n_rows
        As in :class:`ColumnsCell`.

    Raises
    ------
    ValueError
        An unknown name (the message has the nearest valid one), or a number out of its range.
    """

    data: tuple[Data, ...] = ("adult", "bank", "compas")
    defenses: tuple[str, ...] = tuple(MODELS)
    seeds: int = 5
    k: int = 4
    share: float = 0.05
    max_switches: int = 1
    n_rows: int = 200

    _constraints = {
        "data": TABLES,
        "defenses": Each(Choice(MODELS, kind="defense"), least=1),
        "seeds": COUNT,
        "k": COUNT,
        "share": SHARE,
        "max_switches": Number(0, integer=True),
        "n_rows": COUNT,
    }

    def __post_init__(self) -> None:
        check_arguments(self, "")

    def cells(self) -> list[ColumnsCell]:
        """Return all cells, split by split, so that a stopped run has every model on as many splits."""
        rest = (self.k, self.share, self.max_switches)
        grid = product(range(self.seeds), self.data, self.defenses)
        made = {(key(d), s, m): ColumnsCell(d, m, s, *rest, n_rows=self.n_rows) for s, d, m in reversed(list(grid))}
        return list(reversed(made.values()))  # a table given twice counts once

    @checked(out=PathName())
    def run(self, out: str | Path, **options: Any) -> pd.DataFrame:
        """Run or resume everything under `out`.

        Parameters
        ----------
        out : path
            Folder for the results.
        **options
            `n_jobs`, `scheduler` and `progress` as in :func:`run_cells`.

        Returns
        -------
        DataFrame
            One row per cell, as :func:`run_columns_cell` returns it.
        """
        announce(self.data)
        return run_cells(self.cells(), out, run=run_columns_cell, **options)
