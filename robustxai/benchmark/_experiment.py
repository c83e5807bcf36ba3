"""Run the cells of an experiment in parallel; finished cells are stored and not computed again."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from robustxai._arguments import (
    COUNT,
    FLAG,
    N_JOBS,
    NORM,
    NOT_NEGATIVE,
    Choice,
    Each,
    Function,
    Instance,
    PathName,
    Rows,
    check_arguments,
    checked,
    optional,
)
from robustxai._files import check_place, write_text, written_at_once
from robustxai._fingerprint import read_once
from robustxai.benchmark._cell import Cell, norm_name, run_cell
from robustxai.benchmark._cell_file import check_row, read_row, sealed_row
from robustxai.benchmark._explanation import EXPLAINED_BY, TRAINED_ON, own_explainer, reads_explanation
from robustxai.benchmark._registry import ATTACKS, DEFENSES, STANDARD_ATTACKS, STANDARD_DEFENSES
from robustxai.benchmark._scheduler import AnyCell, Failure, Run, on_cluster, on_this_machine
from robustxai.benchmark._user_table import TABLES, Data, announce, is_file, key, labels
from robustxai.classifiers import R2ETClassifier
from robustxai.exceptions import AlteredFileError, AlteredFileWarning, DataNotFoundError, FailedCellsError
from robustxai.protocols import MeasuredExplainer, Norm, TrainingExplainer

__all__ = ["Experiment", "run_cells", "run_experiment"]


#: Trainings of a defense with two rows.
_BOTH = ("own", "same")


@dataclass(frozen=True)
class Experiment:
    """A grid of cells.

    Parameters
    ----------
    data : tuple of str or UserTable
        Names from ``DATA``, paths of tables, or paths with options. Files are told apart by their content: two files
        of one name are two tables, and copies of a file are one table.
    defenses, attacks : tuple of str
        Names from ``DEFENSES`` and ``ATTACKS``.
    seeds : int, default=5
        Seeds 0 ... seeds-1, each with its own split.
    k, epsilon, norm, max_iter, n_rows
        As in :class:`Cell`.
    certify : bool, default=True
        Compute a certified P@k of the attacked rows, if the network and the explainer have a certificate.
    explainers : tuple of str, default=("gradient",)
        Explanations that are ranked, attacked and measured, as in :class:`Cell`. A model is trained once for all of
        them, as far as its training does not depend on the explanation.
    training_explainers : tuple of str, default=()
        What a defense is trained on if its objective uses an explanation: "own" (its default), "same" as the measured
        one, or a name; one row each where they differ. By default R2ET has both rows, because its paper claims the
        conclusions for every explanation, and the others have "own": they are what their papers train, and a bound of
        SmoothGrad as in :class:`CertifiedR2ETClassifier` takes a bound for every draw. Defenses without an explanation
        in the objective have one row.
    n_train : int, optional
        Training rows at most, as in :class:`Cell`.

    Raises
    ------
    ValueError
        An unknown name (the message has the nearest valid one), or a number out of its range.
    """

    data: tuple[Data, ...]
    defenses: tuple[str, ...] = STANDARD_DEFENSES
    attacks: tuple[str, ...] = STANDARD_ATTACKS
    seeds: int = 5
    k: int = 8
    epsilon: float = 0.5
    norm: Norm = "2"
    max_iter: int = 100
    n_rows: int = 1000
    certify: bool = True
    explainers: tuple[MeasuredExplainer, ...] = ("gradient",)
    training_explainers: tuple[TrainingExplainer, ...] = ()
    n_train: int | None = None

    _constraints = {
        "data": TABLES,
        "defenses": Each(Choice(DEFENSES, kind="defense"), least=1),
        "attacks": Each(Choice(ATTACKS, kind="attack"), least=1),
        "seeds": COUNT,
        "k": COUNT,
        "epsilon": NOT_NEGATIVE,
        "norm": NORM,
        "max_iter": COUNT,
        "n_rows": COUNT,
        "certify": FLAG,
        "explainers": Each(EXPLAINED_BY, least=1, called="explainer"),
        "training_explainers": Each(TRAINED_ON, called="training explainer"),
        "n_train": optional(COUNT),
    }

    def __post_init__(self) -> None:
        check_arguments(self, "")
        object.__setattr__(self, "norm", norm_name(self.norm))

    def cells(self) -> list[Cell]:
        """Return all cells, data set by data set, so that a stopped run leaves complete tables."""
        rest = (self.attacks, self.k, self.epsilon, self.norm, self.max_iter, self.n_rows)
        explanations = {defense: self._explanations(defense) for defense in dict.fromkeys(self.defenses)}
        cells: dict[Any, Cell] = {}
        for data, seed, defense in reversed(list(product(self.data, range(self.seeds), self.defenses))):
            for explainer, trained_on in reversed(explanations[defense]):
                how: dict[str, Any] = {"explainer": explainer, "training_explainer": trained_on}
                how["n_train"] = self.n_train
                cells[key(data), seed, defense, explainer, trained_on] = Cell(
                    data, defense, seed, *rest, certify=self.certify, **how
                )
        return list(reversed(cells.values()))  # a table given twice counts once

    def _explanations(self, defense: str) -> list[tuple[str, str]]:
        """Return the pairs (measured, trained on) of a defense; two names of one training count once."""
        estimator = DEFENSES[defense](self.k, 0)
        own = own_explainer(estimator)
        trainings = self.training_explainers or (_BOTH if isinstance(estimator, R2ETClassifier) else ("own",))
        if {*self.explainers, *trainings} <= {own, "own", "same"} or not reads_explanation(estimator):
            return [(explainer, "own") for explainer in dict.fromkeys(self.explainers)]
        pairs: dict[tuple[str, str], tuple[str, str]] = {}
        for explainer, trained_on in product(self.explainers, trainings):
            name = {"own": own, "same": own if explainer == "own" else explainer}.get(trained_on, trained_on)
            pairs.setdefault((explainer, name), (explainer, trained_on))
        return list(pairs.values())


@checked(
    cells=Rows(),
    out=PathName(),
    run=optional(Function()),
    n_jobs=N_JOBS,
    scheduler=optional(Instance(str)),
    fresh=FLAG,
    progress=optional(Function()),
)
def run_cells(
    cells: Sequence[AnyCell],
    out: str | Path,
    *,
    run: Run | None = None,
    n_jobs: int = 1,
    scheduler: str | None = None,
    fresh: bool = False,
    progress: Callable[[int, int, dict[str, Any]], None] | None = None,
) -> pd.DataFrame:
    """Run the cells that have no result under ``out/cells`` and return one row per cell.

    Parameters
    ----------
    cells : sequence of Cell
        Cells to run. With `run`, any hashable objects with a unique ``name``.
    out : path
        Folder for the results, on this machine. The file of a finished cell is written atomically, so that a stop at
        any moment, in any process, loses at most the running cells. It holds the cell's name and a checksum.
    run : callable, default=run_cell
        Function from a cell to a flat dict that JSON can hold. A metric that does not exist is NaN. Other numbers are
        finite, except those under the keys in the `may_be_infinite` of the cell's class.
    n_jobs : int, default=1
        Processes, started by joblib. Has no effect with a `scheduler`.
    scheduler : str, optional
        Address of a Dask scheduler, "tcp://host:8786", whose workers run the cells instead of this machine. They need
        the same version of this library. A worker reads data from its own ``ROBUSTXAI_DATA``; results are written here.
        A cell uses one thread, and a worker process runs one cell at a time: start one worker process per core with
        ``dask worker ADDRESS --nworkers CORES --nthreads 1``. If a worker dies, its cell starts again on another one.
    fresh : bool, default=False
        Compute all cells, including finished ones.
    progress : callable, optional
        Called with (finished, total, row) after every cell, finished ones from an earlier run first.

    Returns
    -------
    DataFrame
        In the order of `cells`.

    Raises
    ------
    ImportError
        There is a `scheduler`, but the extra ``distributed`` is not installed.
    ConnectionError
        The scheduler does not answer, or no longer.
    ChildProcessError
        Every worker that ran a certain cell died; the message has the cell's name. All other cells have run.
    FailedCellsError
        Some cells raised an error, lost their process, returned an invalid row, or cannot be written because their
        file's place is taken. All other cells have run and are kept; their rows are in its `rows`. Tracebacks are in
        ``out/failures.txt``.
    OSError
        A result cannot be written, for instance on a full disk; the message names its file. Finished cells are kept.

    Warns
    -----
    AlteredFileWarning
        Some files were altered or truncated, hold another cell's row, or lack a checksum. These cells are computed
        again.
    """
    folder = Path(out) / "cells"
    folder.mkdir(parents=True, exist_ok=True)
    named = _table_names(cells)
    with read_once():
        names = {cell: cell.name for cell in cells}
    failures = _blocked({cell: folder / name for cell, name in names.items()})
    stored = {} if fresh else _stored({cell: folder / names[cell] for cell in cells if cell not in failures})
    rows = {cell: {**row, **named(cell)} for cell, row in stored.items()}
    report = progress or (lambda finished, total, row: None)
    for finished, row in enumerate(rows.values(), start=1):
        report(finished, len(cells), row)
    missing = [cell for cell in cells if cell not in rows and cell not in failures]
    run = run or run_cell
    results = on_this_machine(missing, run, n_jobs) if scheduler is None else on_cluster(missing, run, scheduler)
    with closing(results):  # an exception in the loop also stops the running cells
        try:
            for cell, returned in results:
                result = _checked(cell, returned)
                if isinstance(result, Failure):
                    failures[cell] = result
                    continue
                with written_at_once(folder / names[cell], "w") as file:
                    json.dump(sealed_row(result, names[cell]), file)
                rows[cell] = {**result, **named(cell)}
                report(len(rows), len(cells), rows[cell])
        except ChildProcessError as error:
            if failures:
                raise _failed(failures, cells, rows, Path(out)) from error
            raise
    with suppress(OSError):  # a log that cannot be removed is harmless
        (Path(out) / "failures.txt").unlink(missing_ok=True)
    if failures:
        raise _failed(failures, cells, rows, Path(out))
    return pd.DataFrame([rows[cell] for cell in cells])


def _table_names(cells: Sequence[Any]) -> Callable[[Any], dict[str, str]]:
    """Return a function from a cell to the name of its user's file in rows, unique among the files of this run."""
    called = labels(cell.data for cell in cells if hasattr(cell, "data"))
    return lambda cell: {"data": called[cell.data]} if hasattr(cell, "data") and is_file(cell.data) else {}


def _failed(failures: dict[Any, Failure], cells: Sequence[Any], rows: dict[Any, Any], out: Path) -> Exception:
    """Return the error that names every failed cell; cells that failed for the same reason share a sentence.

    If all cells failed because the data are absent, return that error alone.
    """
    reasons = {str(failure) for failure in failures.values()}
    if not rows and len(reasons) == 1 and {own.kind for own in failures.values()} == {"DataNotFoundError"}:
        return DataNotFoundError(reasons.pop())
    groups: dict[tuple[str, str], list[Any]] = {}
    for cell in (cell for cell in cells if cell in failures):  # in the order of the run
        failure = failures[cell]
        groups.setdefault((str(getattr(cell, "data", "")), str(failure)), []).append(cell)
    sentences = []
    for (data, reason), failed in groups.items():
        where = f" of {data}" if data and data not in reason else ""
        shown = ", ".join(_describe(cell) for cell in failed[:_SHOWN])
        more = f" and {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else ""
        sentences.append(f"{'Cell' if len(failed) == 1 else 'Cells'} {shown}{more}{where}: {reason}")
    log = out / "failures.txt"
    try:
        write_text(log, "\n".join(f"{_describe(cell)}\n{own.trace}" for cell, own in failures.items()) + "\n")
        traces = f"tracebacks are in {log}"
    except OSError as error:
        traces = f"tracebacks could not be written ({error})"
    kept = f" {len(rows)} are finished and kept." if rows else ""
    summary = (
        f"{len(failures)} of {len(cells)} cells failed, see above; {traces}.{kept} "
        "Run the same command again to retry the failed ones."
    )
    return FailedCellsError(sentences, summary, pd.DataFrame([rows[cell] for cell in cells if cell in rows]))


#: Maximum number of cells that a sentence names.
_SHOWN = 3


def _describe(cell: Any) -> str:
    """Return the name of a cell in sentences."""
    model = next((getattr(cell, name) for name in ("defense", "method", "arm") if hasattr(cell, name)), None)
    return str(cell.name) if model is None else f"{model} with seed {cell.seed}"


@checked(experiment=Instance(Experiment), out=PathName())
def run_experiment(experiment: Experiment, out: str | Path, **options: Any) -> pd.DataFrame:
    """Run all cells of `experiment` with :func:`run_cells`, after one round of warnings about its tables."""
    announce(experiment.data)
    return run_cells(experiment.cells(), out, **options)


def _checked(cell: Any, result: Any) -> dict[str, Any] | Failure:
    """Return the row as it will be read back from its file, or a failure if it is no valid row."""
    if isinstance(result, Failure):
        return result
    try:
        return check_row(result, _may_be_infinite(cell))
    except (TypeError, ValueError) as error:
        return Failure.of(error)


def _may_be_infinite(cell: Any) -> tuple[str, ...]:
    return tuple(getattr(cell, "may_be_infinite", ()))


def _blocked(paths: dict[AnyCell, Path]) -> dict[AnyCell, Failure]:
    """Return the cells whose file cannot be written, before they run."""
    found = {}
    for cell, path in paths.items():
        try:
            check_place(path)
        except OSError as error:
            found[cell] = Failure.of(error)
    return found


def _stored(paths: dict[AnyCell, Path]) -> dict[AnyCell, dict[str, Any]]:
    """Return the rows of finished cells; warn about files that fail their checks."""
    rows, refused = {}, []
    for cell, path in paths.items():
        try:
            rows[cell] = read_row(path, _may_be_infinite(cell))
        except FileNotFoundError:
            continue
        except AlteredFileError as error:
            refused.append(f"{path.name}: {error}")
    if refused:
        more = f"; and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        warnings.warn(
            f"{len(refused)} of {len(paths)} results in {path.parent} cannot be used and are computed again "
            f"({'; '.join(refused[:_SHOWN])}{more}).",
            AlteredFileWarning,
            stacklevel=3,
        )
    return rows
