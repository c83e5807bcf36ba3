"""What runs around a command: Ctrl-C, the progress bar, notes about files."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
import typer
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from robustxai.cli._streams import messages
from robustxai.exceptions import AlteredFileWarning, DataWarning, FailedCellsError

__all__ = ["finished", "notes", "progress_bar", "reporter", "stoppable", "work_bar"]


@contextmanager
def stoppable(fresh: bool) -> Iterator[None]:
    """On Ctrl-C, print one sentence (typer itself prints none) and exit with the code of a signal."""
    try:
        yield
    except KeyboardInterrupt:
        kept = "" if fresh else " Finished cells are kept: run the same command again to resume."
        messages.print(f"\nStopped.{kept}")
        raise typer.Exit(130) from None


def progress_bar() -> Progress:
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(TextColumn("{task.description}"), *columns, console=messages)


def work_bar() -> Progress:
    """Return a bar of one piece of work: how much of it is done, and the time left."""
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("left"), TimeRemainingColumn())
    return Progress(TextColumn("{task.description}"), *columns, console=messages)


def reporter(progress: Progress) -> Callable[[int, int, dict[str, Any]], None]:
    """Return a callback for :func:`run_cells` that updates the progress bar."""
    task = progress.add_task("starting", total=None)

    def show(finished: int, total: int, row: dict[str, Any]) -> None:
        model = next(row[name] for name in ("defense", "method", "arm") if name in row)
        latest = f"{escape(row['data'])} · {model} · seed {row['seed']}"
        description = "done" if finished == total else latest
        progress.update(task, completed=finished, total=total, description=description)

    return show


def finished(run: Callable[[], pd.DataFrame]) -> tuple[pd.DataFrame, FailedCellsError | None]:
    """Return the finished rows and the error of the failed cells, which is raised after the rows are written."""
    try:
        return run(), None
    except FailedCellsError as error:
        return error.rows, error


@contextmanager
def notes() -> Iterator[None]:
    """Print warnings about files as one line each, without the source line that Python adds."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def note(message: Any, category: type[Warning], *args: Any, **kwargs: Any) -> None:
            if issubclass(category, _NOTES):
                messages.print(f"note: {message}", markup=False, soft_wrap=True)
            else:
                show(message, category, *args, **kwargs)

        warnings.showwarning = note
        # a rare category among the held-out rows alone: it has no features
        warnings.filterwarnings("ignore", "Found unknown categories", UserWarning)
        for category in _NOTES:
            warnings.simplefilter("always", category)
        yield


#: Warnings about files.
_NOTES = (DataWarning, AlteredFileWarning)
