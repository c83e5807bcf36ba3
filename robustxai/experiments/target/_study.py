"""A grid of cells on trainings to a target."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from robustxai._arguments import COUNT, NOT_NEGATIVE, Choice, Each, Number, PathName, check_arguments, checked
from robustxai.benchmark import TABLES, Data, announce, key, run_cells
from robustxai.experiments.target._cell import MODELS, TargetCell, run_target_cell

__all__ = ["TargetStudy"]


@dataclass(frozen=True)
class TargetStudy:
    """R2ET at its defaults and trained to a target, with a teacher and without, beside what it is compared with.

    Parameters
    ----------
    data : tuple of str or UserTable
        Names of tables, or users' files.
    defenses : tuple of str
        Keys of ``MODELS``; all by default.
    seeds : int, default=5
        Seeds 0 ... seeds-1, each with its own split.
    k, epsilon, target, n_rows
        As in :class:`TargetCell`.

    Raises
    ------
    ValueError
        An unknown name (the message has the nearest valid one), or a number out of its range.
    """

    data: tuple[Data, ...] = ("adult", "bank", "compas")
    defenses: tuple[str, ...] = tuple(MODELS)
    seeds: int = 5
    k: int = 8
    epsilon: float = 0.5
    target: float = 0.95
    n_rows: int = 1000

    _constraints = {
        "data": TABLES,
        "defenses": Each(Choice(MODELS, kind="defense"), least=1),
        "seeds": COUNT,
        "k": COUNT,
        "epsilon": NOT_NEGATIVE,
        "target": Number(0, 1, above=True, below=True),
        "n_rows": COUNT,
    }

    def __post_init__(self) -> None:
        check_arguments(self, "")

    def cells(self) -> list[TargetCell]:
        """Return all cells, split by split, so that a stopped run has every model on as many splits."""
        rest = (self.k, self.epsilon, self.target, self.n_rows)
        grid = product(range(self.seeds), self.data, self.defenses)
        made = {(key(d), s, m): TargetCell(d, m, s, *rest) for s, d, m in reversed(list(grid))}
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
            One row per cell, as :func:`run_target_cell` returns it.
        """
        announce(self.data)
        return run_cells(self.cells(), out, run=run_target_cell, **options)
