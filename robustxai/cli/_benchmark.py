"""``robustxai benchmark``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from robustxai._arguments import Choice
from robustxai.benchmark import (
    ATTACKS,
    DATA,
    DEFENSES,
    STANDARD_ATTACKS,
    STANDARD_DEFENSES,
    STANDARD_EXPLAINERS,
    Experiment,
    by_explanation,
    run_experiment,
    write_tables,
)
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
from robustxai.cli._results import figures, point_to_warnings, rich_table, titled, write_results
from robustxai.cli._running import finished, notes, progress_bar, reporter, stoppable
from robustxai.cli._streams import console
from robustxai.experiments.columns import MODELS, ColumnsStudy, columns_comparison, columns_markdown, columns_protocol

__all__ = ["benchmark", "run"]


def benchmark(
    context: typer.Context,
    data: Annotated[
        list[str],
        typer.Option(help=f"Tables, separated by commas: {', '.join(DATA)} or FILE.csv (last column = label)."),
    ],
    defenses: Annotated[
        list[str],
        typer.Option(
            help=f"Any of {', '.join(DEFENSES)}, separated by commas, or 'all'; {len(STANDARD_DEFENSES)} of them by "
            f"default. With --units columns any of {', '.join(MODELS)}; all by default."
        ),
    ] = [],  # noqa: B006
    units: Annotated[
        str,
        typer.Option(
            help="What is ranked: features, or columns, the contributions of raw columns under budgets in the units of "
            "the table."
        ),
    ] = "features",
    attacks: Annotated[
        list[str],
        typer.Option(
            help=f"Any of {', '.join(ATTACKS)}, separated by commas; {len(STANDARD_ATTACKS)} of them by default."
        ),
    ] = [],  # noqa: B006
    seeds: Annotated[int, typer.Option(help="Seeds, each with its own split.")] = 5,
    k: Annotated[
        int | None, typer.Option(help=f"Size of the top set: {Experiment.k}, or {ColumnsStudy.k} columns.")
    ] = None,
    share: Annotated[
        float, typer.Option(help="With --units columns: budget of every number, as a share of its column's range.")
    ] = ColumnsStudy.share,
    max_switches: Annotated[
        int, typer.Option("--max-switches", help="With --units columns: most columns of categories that switch.")
    ] = ColumnsStudy.max_switches,
    epsilon: Annotated[float, typer.Option(help="Attack radius; features are scaled to [0, 1].")] = 0.5,
    norm: Annotated[str, typer.Option(help="Norm of the attack radius: 2 or inf.")] = "2",
    max_iter: Annotated[int, typer.Option(help="Maximum number of iterations of each attack.")] = 100,
    n_rows: Annotated[
        int | None,
        typer.Option(
            "--n-rows", help=f"Test rows that are attacked: {Experiment.n_rows}, or {ColumnsStudy.n_rows} for columns."
        ),
    ] = None,
    explainer: Explainers = [],  # noqa: B006
    training_explainer: Annotated[
        list[str],
        typer.Option(
            help="Explanations that a defense is trained on if its objective uses one: 'own' (its default), 'same' (as "
            "the measured one), or a name; one row each where they differ. By default own,same for R2ET, own for the "
            "others."
        ),
    ] = [],  # noqa: B006
    n_train: Annotated[
        int | None, typer.Option("--n-train", help="Training rows at most; all by default. Fewer are faster.")
    ] = None,
    target: Target = None,
    drop: Drop = [],  # noqa: B006
    na_values: NaValues = [],  # noqa: B006
    sep: Sep = None,
    encoding: Encoding = None,
    drop_unlabeled: DropUnlabeled = False,
    certify: Annotated[bool, typer.Option(help="Also compute a certified P@k of the attacked rows.")] = True,
    n_jobs: Annotated[int, typer.Option("--n-jobs", help="Processes.")] = 1,
    scheduler: Annotated[str | None, typer.Option(help=SCHEDULER_HELP)] = None,
    out: Annotated[Path, typer.Option(help="Folder for results; run again with the same one to resume.")] = Path(
        "robustxai-benchmark"
    ),
) -> None:
    """Run defenses against attacks on real tables. Options with several values take a,b or are repeated."""
    Choice(_FOREIGN, kind="unit").check("units", units)
    _refuse_foreign(context, units)
    tables = tables_of(names_of(data), target, drop, na_values, sep, encoding, drop_unlabeled)
    sizes: dict[str, Any] = {name: value for name, value in (("k", k), ("n_rows", n_rows)) if value is not None}
    if units == "columns":
        models = names_of(defenses, ColumnsStudy.defenses, tuple(MODELS))
        sizes |= {"share": share, "max_switches": max_switches}
        _columns(ColumnsStudy(tables, models, seeds, **sizes), out, n_jobs, scheduler)
        return
    defense_names, attack_names = (
        names_of(defenses, STANDARD_DEFENSES, tuple(DEFENSES)),
        names_of(attacks, STANDARD_ATTACKS),
    )
    explainers = names_of(explainer, Experiment.explainers, STANDARD_EXPLAINERS)
    trained_on = names_of(training_explainer, Experiment.training_explainers)
    attacked: dict[str, Any] = {"epsilon": epsilon, "norm": norm, "max_iter": max_iter, "certify": certify}
    options: dict[str, Any] = {"explainers": explainers, "training_explainers": trained_on, "n_train": n_train}
    experiment = Experiment(tables, defense_names, attack_names, seeds, **sizes, **attacked, **options)
    run(experiment, out, n_jobs, fresh=False, scheduler=scheduler)


#: Options of ``benchmark`` that belong to the other kind of unit, and what holds instead.
_FOREIGN = {
    "features": dict.fromkeys(("share", "max_switches"), "it is for --units columns"),
    "columns": {
        "attacks": "the ensemble attacks contributions of columns",
        "epsilon": "numbers have budgets by --share",
        "norm": "every number has a budget of its own, by --share",
        "max_iter": "the ensemble sets its own steps",
        "explainer": "contributions of columns are ranked",
        "training_explainer": "the models that train for an explanation train for contributions of columns",
        "n_train": "all training rows are used",
        "certify": "all models but trees are certified",
    },
}


def _refuse_foreign(context: typer.Context, units: str) -> None:
    """Raise where an option is given that has no meaning for the units."""
    for name, reason in _FOREIGN[units].items():
        source = context.get_parameter_source(name)
        if source is not None and source.name != "DEFAULT":
            option = "no_certify" if context.params[name] is False else name
            option = f"--{option.replace('_', '-')}"
            raise ValueError(f"{option} has no meaning with --units {units}: {reason}. Leave it out.")


def _columns(study: ColumnsStudy, out: Path, n_jobs: int, scheduler: str | None) -> None:
    with stoppable(fresh=False), progress_bar() as progress, notes():
        results, failed = finished(
            lambda: study.run(out, n_jobs=n_jobs, scheduler=scheduler, progress=reporter(progress))
        )
    if len(results):
        table = columns_markdown(results)
        parts = [columns_protocol(results), table, columns_comparison(results)]
        written = [*write_results(results, "\n\n".join(filter(None, parts)), out, "results"), *figures(results, out)]
        console.print(table, markup=False, highlight=False, no_wrap=True, overflow="ignore", crop=False)
        console.print("Written: " + ", ".join(str(path) for path in written), markup=False, soft_wrap=True)
    if failed:
        raise failed


def run(experiment: Experiment, out: Path, n_jobs: int, *, fresh: bool, scheduler: str | None = None) -> None:
    options: dict[str, Any] = {"n_jobs": n_jobs, "fresh": fresh, "scheduler": scheduler}
    with stoppable(fresh), progress_bar() as progress, notes():
        cells, failed = finished(lambda: run_experiment(experiment, out, progress=reporter(progress), **options))
    if len(cells):
        csv, markdown = write_tables(cells, out)
        for name, explanation, rows in by_explanation(cells):
            console.print(rich_table(titled(name, explanation), rows))
        written = [csv, markdown, *figures(cells, out)]
        console.print("Written: " + ", ".join(str(path) for path in written), markup=False, soft_wrap=True)
        point_to_warnings(cells, csv)
    if failed:
        raise failed
