"""``robustxai bracket``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from robustxai.benchmark import DATA, DEFENSES, STANDARD_EXPLAINERS, by_explanation
from robustxai.cli._options import (
    SCHEDULER_HELP,
    Drop,
    DropUnlabeled,
    Encoding,
    Explainers,
    NaValues,
    Sep,
    Target,
    names_of,
    tables_of,
)
from robustxai.cli._results import can_plot, draw, point_to_warnings, stem_of, titled, write_results
from robustxai.cli._running import finished, notes, progress_bar, reporter, stoppable
from robustxai.cli._streams import console
from robustxai.experiments.bracket import Bracket, BracketDisplay, bracket_markdown
from robustxai.protocols import MeasuredExplainer

__all__ = ["bracket"]


_BRACKET_DATA = tuple(map(str, Bracket.data))


def bracket(
    data: Annotated[
        list[str],
        typer.Option(help=f"Any of {', '.join(DATA)}, or FILE.csv, separated by commas; all tables by default."),
    ] = [],  # noqa: B006
    defenses: Annotated[
        list[str],
        typer.Option(
            help=f"Any of {', '.join(DEFENSES)}, separated by commas; {len(Bracket.defenses)} of them by default."
        ),
    ] = [],  # noqa: B006
    seeds: Annotated[int, typer.Option(help="Seeds, each with its own split.")] = 3,
    n_rows: Annotated[int, typer.Option("--n-rows", help="Test rows that are certified and attacked.")] = 100,
    explainer: Explainers = [],  # noqa: B006
    target: Target = None,
    drop: Drop = [],  # noqa: B006
    na_values: NaValues = [],  # noqa: B006
    sep: Sep = None,
    encoding: Encoding = None,
    drop_unlabeled: DropUnlabeled = False,
    n_jobs: Annotated[int, typer.Option("--n-jobs", help="Processes.")] = 1,
    scheduler: Annotated[str | None, typer.Option(help=SCHEDULER_HELP)] = None,
    out: Annotated[Path, typer.Option(help="Folder for results; run again with the same one to resume.")] = Path(
        "robustxai-bracket"
    ),
) -> None:
    """Bracket the true P@8 of models on real tables between a certificate and an attack, at five radii."""
    tables = tables_of(names_of(data, _BRACKET_DATA), target, drop, na_values, sep, encoding, drop_unlabeled)
    explainers = cast(tuple[MeasuredExplainer, ...], names_of(explainer, Bracket.explainers, STANDARD_EXPLAINERS))
    study = Bracket(tables, names_of(defenses, Bracket.defenses), seeds, n_rows=n_rows, explainers=explainers)
    with stoppable(fresh=False), progress_bar() as progress, notes():
        results, failed = finished(
            lambda: study.run(out, n_jobs=n_jobs, scheduler=scheduler, progress=reporter(progress))
        )
    if len(results):
        written = write_results(results, bracket_markdown(results), out, "bracket")
        if can_plot():
            for name, explanation, table in by_explanation(results):
                path = out / f"bracket-{stem_of(name, explanation)}.png"
                written.append(draw(BracketDisplay.from_results(table), titled(name, explanation), path))
        console.print("Written: " + ", ".join(str(path) for path in written), markup=False, soft_wrap=True)
        point_to_warnings(results, written[1])
    if failed:
        raise failed
