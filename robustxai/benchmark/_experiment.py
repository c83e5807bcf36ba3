"""Run the cells of an experiment in parallel; a finished one is on disk and is never computed again."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pandas as pd
from joblib import Parallel, delayed

from robustxai._validation import check_number, nearest_name
from robustxai.benchmark._cell import Cell, run_cell
from robustxai.benchmark._registry import ATTACKS, DATA, DEFENCES, STANDARD_ATTACKS, STANDARD_DEFENCES

__all__ = ["Experiment", "check_names", "run_cells", "run_experiment"]


class Keepable(Protocol):
    """What :func:`run_cells` asks of a cell: that it is hashable, and names the file of its result."""

    @property
    def name(self) -> str: ...


AnyCell = TypeVar("AnyCell", bound=Keepable)
Run = Callable[[Any], dict[str, Any]]


@dataclass(frozen=True)
class Experiment:
    """A grid of cells.

    Parameters
    ----------
    data, defences, attacks : tuple of str
        Names from ``DATA`` (or paths of CSV files), ``DEFENCES`` and ``ATTACKS``.
    seeds : int, default=5
        Seeds 0 ... seeds-1, each with its own split.
    k, epsilon, norm, max_iter, n_attacked
        As in :class:`Cell`.

    Raises
    ------
    ValueError
        An unknown name (the message has the nearest valid one), or a number out of its range.
    """

    data: tuple[str, ...]
    defences: tuple[str, ...] = STANDARD_DEFENCES
    attacks: tuple[str, ...] = STANDARD_ATTACKS
    seeds: int = 5
    k: int = 8
    epsilon: float = 0.5
    norm: str = "2"
    max_iter: int = 100
    n_attacked: int = 1000

    def __post_init__(self) -> None:
        check_names("data set", (d for d in self.data if not d.endswith((".csv", ".csv.gz"))), DATA)
        check_names("defence", self.defences, DEFENCES)
        check_names("attack", self.attacks, ATTACKS)
        for name in ("data", "defences", "attacks"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty: nothing to do.")
        for name in ("seeds", "k", "max_iter", "n_attacked"):
            check_number(name, getattr(self, name), minimum=1, integer=True)
        check_number("epsilon", self.epsilon, minimum=0.0)
        if self.norm not in ("2", "inf"):
            raise ValueError(f"norm={self.norm!r} is not supported; use '2' or 'inf'.")

    def cells(self) -> list[Cell]:
        """All cells, data set by data set, so that a stopped run leaves whole tables behind."""
        rest = (self.attacks, self.k, self.epsilon, self.norm, self.max_iter, self.n_attacked)
        grid = product(self.data, range(self.seeds), self.defences)
        return list(dict.fromkeys(Cell(d, m, s, *rest) for d, s, m in grid))  # a name given twice counts once


def check_names(kind: str, names: Iterable[str], valid: Iterable[str]) -> None:
    """Raise ValueError with the nearest valid name for the first name that is not valid."""
    for name in names:
        if name not in valid:
            raise ValueError(f"There is no {kind} {name!r}.{nearest_name(name, valid)}")


def run_cells(
    cells: Sequence[AnyCell],
    out: str | Path,
    *,
    run: Run | None = None,
    n_jobs: int = 1,
    fresh: bool = False,
    progress: Callable[[int, int, dict[str, Any]], None] | None = None,
) -> pd.DataFrame:
    """Run what is missing under ``out/cells`` and return one row per cell.

    Parameters
    ----------
    cells : sequence of Cell
        What to run. With `run`, anything hashable with a ``name`` that no other result has.
    out : path
        Folder for the results. A cell is written in one step when it is finished, so that stopping at any moment, in
        any process, loses at most the cells in flight.
    run : callable, default=run_cell
        A cell in, a flat dict that JSON can hold out.
    n_jobs : int, default=1
        Processes, by joblib.
    fresh : bool, default=False
        Compute everything anew.
    progress : callable, optional
        Called with (finished, total, row) after every cell, finished ones from an earlier run first.

    Returns
    -------
    DataFrame
        In the order of `cells`.
    """
    folder = Path(out) / "cells"
    folder.mkdir(parents=True, exist_ok=True)
    rows = {} if fresh else {cell: row for cell in cells if (row := _read(folder / cell.name)) is not None}
    report = progress or (lambda finished, total, row: None)
    for finished, row in enumerate(rows.values(), start=1):
        report(finished, len(cells), row)
    missing = [cell for cell in cells if cell not in rows]
    for cell, row in _compute(missing, run or run_cell, folder, n_jobs):
        rows[cell] = row
        report(len(rows), len(cells), row)
    return pd.DataFrame([rows[cell] for cell in cells])


def run_experiment(experiment: Experiment, out: str | Path, **options: Any) -> pd.DataFrame:
    """:func:`run_cells` of all cells of `experiment`."""
    return run_cells(experiment.cells(), out, **options)


def _compute(cells: list[AnyCell], run: Run, folder: Path, n_jobs: int) -> Iterator[tuple[AnyCell, dict[str, Any]]]:
    parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered", pre_dispatch="n_jobs")
    yield from parallel(delayed(_run_and_keep)(cell, run, folder) for cell in cells)


def _run_and_keep(cell: AnyCell, run: Run, folder: Path) -> tuple[AnyCell, dict[str, Any]]:
    row = run(cell)
    descriptor, temporary = tempfile.mkstemp(dir=folder, suffix=".part")
    with os.fdopen(descriptor, "w") as file:
        json.dump(row, file)
    os.replace(temporary, folder / cell.name)
    return cell, row


def _read(path: Path) -> dict[str, Any] | None:
    """A finished cell, or None if there is none that can be read."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):  # ValueError: no JSON, or not even text
        return None
