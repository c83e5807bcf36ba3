"""Options that commands share, and what their texts mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from robustxai.benchmark import STANDARD_EXPLAINERS, Data, UserTable, is_file
from robustxai.explainers import EXPLAINERS

__all__ = [
    "EXPLAINERS_HELP",
    "SCHEDULER_HELP",
    "Drop",
    "DropUnlabeled",
    "Encoding",
    "Explainers",
    "NaValues",
    "Sep",
    "Target",
    "names_of",
    "tables_of",
]


SCHEDULER_HELP = (
    "Address of a Dask scheduler, such as tcp://host:8786. Its workers run the cells instead of this machine, and "
    "--n-jobs has no effect. A cell uses one thread: start the workers with 'dask worker ADDRESS --nworkers CORES "
    "--nthreads 1', the same version of robustxai, and ROBUSTXAI_DATA. Needs robustxai\\[distributed]."
)


_FILES = "For FILE.csv: "
Target = Annotated[str | None, typer.Option(help=f"{_FILES}column of the label; the last one by default.")]
Drop = Annotated[list[str], typer.Option(help=f"{_FILES}columns to leave out, such as an id.")]
NaValues = Annotated[
    list[str], typer.Option(help=f"{_FILES}values that mean missing, such as -9, or COLUMN=-9 for one column.")
]
Sep = Annotated[str | None, typer.Option(help=f"{_FILES}separator, or the word 'tab' or 'space'; detected by default.")]
Encoding = Annotated[str | None, typer.Option(help=f"{_FILES}encoding, such as cp1252; detected by default.")]
DropUnlabeled = Annotated[bool, typer.Option("--drop-unlabeled", help=f"{_FILES}leave out rows without a label.")]


def tables_of(
    names: Sequence[str],
    target: str | None,
    drop: list[str],
    na_values: list[str],
    sep: str | None,
    encoding: str | None,
    drop_unlabeled: bool,
) -> tuple[Data, ...]:
    """Return names and paths, the paths with their options."""
    given = (target, names_of(drop), names_of(na_values), sep, encoding, drop_unlabeled)
    if not any(given):
        return tuple(names)
    if not any(map(is_file, names)):
        raise ValueError(
            "--target, --drop, --na-values, --sep, --encoding and --drop-unlabeled apply to a file: give "
            "its path with --data."
        )
    return tuple(UserTable(name, *given) if is_file(name) else name for name in names)


#: Explanations that ``--explainer`` takes.
EXPLAINERS_HELP = (
    f"Explanations that are ranked, attacked and measured: any of {', '.join(EXPLAINERS)}, separated by commas, or "
    f"'all' for {', '.join(STANDARD_EXPLAINERS)}; gradient by default."
)
Explainers = Annotated[list[str], typer.Option("--explainer", help=EXPLAINERS_HELP)]


def names_of(values: list[str], default: Sequence[str] = (), every: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names of ``--x a --x b`` or ``--x a,b``; `default` if none is given, `every` for "all"."""
    names = tuple(name.strip() for value in values for name in value.split(",") if name.strip())
    return tuple(every) if every and names == ("all",) else names or tuple(default)
