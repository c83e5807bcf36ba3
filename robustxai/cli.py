"""Command line: ``robustxai demo``, ``benchmark``, ``paper`` and ``bracket``."""

from __future__ import annotations

import importlib.util
import io
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, cast

import pandas as pd
import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from robustxai._arguments import Choice, Each
from robustxai._files import file_name, write_csv, write_text, written_at_once
from robustxai.benchmark import (
    ATTACKS,
    COLUMNS,
    DATA,
    DEFENSES,
    STANDARD_ATTACKS,
    STANDARD_DEFENSES,
    STANDARD_EXPLAINERS,
    CriticalDifferenceDisplay,
    Data,
    Experiment,
    FrontierDisplay,
    UserTable,
    by_explanation,
    is_file,
    run_experiment,
    summarize,
    write_tables,
)
from robustxai.exceptions import AlteredFileWarning, DataWarning, DivergedError, FailedCellsError
from robustxai.experiments.atex import (
    EPSILONS,
    IMAGE_LABELS,
    TOP_K,
    ATEXEfficacy,
    ATEXFigure4,
    ATEXImages,
    EfficacyDisplay,
    atex_images_markdown,
    efficacy_markdown,
    image_curves,
)
from robustxai.experiments.bracket import Bracket, BracketDisplay, bracket_markdown
from robustxai.experiments.columns import (
    MODELS,
    ColumnsStudy,
    columns_comparison,
    columns_markdown,
    columns_protocol,
)
from robustxai.experiments.r2et import (
    SHAPES,
    CandidatesDisplay,
    FlipsDisplay,
    R2ETPaper,
    R2ETShapes,
    comparisons_markdown,
    paper_markdown,
    shapes_markdown,
)
from robustxai.explainers import EXPLAINERS
from robustxai.inspection import StabilityCurveDisplay
from robustxai.protocols import ExperimentSize, MeasuredExplainer

__all__ = ["app", "main"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Train classifiers with stable explanations, attack them and report their scores.",
)
#: Output: tables and the names of written files.
console = Console()
#: Progress, notes and errors: they reach the terminal with `robustxai ... > table.txt` too.
messages = Console(stderr=True)

#: Attacks of the demo: without the ensemble, which takes twice as long as the rest.
_QUICK_ATTACKS = tuple(name for name in STANDARD_ATTACKS if name != "auto")
_SCHEDULER_HELP = (
    "Address of a Dask scheduler, such as tcp://host:8786. Its workers run the cells instead of this machine, and "
    "--n-jobs has no effect. A cell uses one thread: start the workers with 'dask worker ADDRESS --nworkers CORES "
    "--nthreads 1', the same version of robustxai, and ROBUSTXAI_DATA. Needs robustxai\\[distributed]."
)
#: Columns that fit a terminal; the files have all columns.
_SHOWN = (
    "roc_auc",
    "precision_at_k",
    "between_rows_precision",
    "precision_at_k_auto",
    "certified_precision_at_k",
    "precision_at_k_random",
    "comprehensiveness",
    "fit_seconds",
)


_FILES = "For FILE.csv: "
_Target = Annotated[str | None, typer.Option(help=f"{_FILES}column of the label; the last one by default.")]
_Drop = Annotated[list[str], typer.Option(help=f"{_FILES}columns to leave out, such as an id.")]
_NaValues = Annotated[
    list[str], typer.Option(help=f"{_FILES}values that mean missing, such as -9, or COLUMN=-9 for one column.")
]
_Sep = Annotated[
    str | None, typer.Option(help=f"{_FILES}separator, or the word 'tab' or 'space'; detected by default.")
]
_Encoding = Annotated[str | None, typer.Option(help=f"{_FILES}encoding, such as cp1252; detected by default.")]
_DropUnlabeled = Annotated[bool, typer.Option("--drop-unlabeled", help=f"{_FILES}leave out rows without a label.")]


def _tables(
    names: Sequence[str],
    target: str | None,
    drop: list[str],
    na_values: list[str],
    sep: str | None,
    encoding: str | None,
    drop_unlabeled: bool,
) -> tuple[Data, ...]:
    """Return names and paths, the paths with their options."""
    given = (target, _names(drop), _names(na_values), sep, encoding, drop_unlabeled)
    if not any(given):
        return tuple(names)
    if not any(map(is_file, names)):
        raise ValueError(
            "--target, --drop, --na-values, --sep, --encoding and --drop-unlabeled apply to a file: give "
            "its path with --data."
        )
    return tuple(UserTable(name, *given) if is_file(name) else name for name in names)


#: Explanations that ``--explainer`` takes.
_EXPLAINERS_HELP = (
    f"Explanations that are ranked, attacked and measured: any of {', '.join(EXPLAINERS)}, separated by commas, or "
    f"'all' for {', '.join(STANDARD_EXPLAINERS)}; gradient by default."
)
_Explainers = Annotated[list[str], typer.Option("--explainer", help=_EXPLAINERS_HELP)]


def _names(values: list[str], default: Sequence[str] = (), every: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names of ``--x a --x b`` or ``--x a,b``; `default` if none is given, `every` for "all"."""
    names = tuple(name.strip() for value in values for name in value.split(",") if name.strip())
    return tuple(every) if every and names == ("all",) else names or tuple(default)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the table and the figure.")] = Path("robustxai-demo"),
    seeds: Annotated[int, typer.Option(help="Seeds, each with its own split.")] = 3,
    n_jobs: Annotated[int, typer.Option("--n-jobs", help="Processes.")] = 2,
) -> None:
    """Train seven models on the breast-cancer data that scikit-learn ships, attack them, print one table."""
    console.print(
        "Seven classifiers on the breast-cancer table (30 features, scaled to \\[0, 1]). An explanation is the "
        "gradient of the predicted class. An attack moves the input by at most 0.3 in l2 and must keep the prediction. "
        "P@8 is the share of the eight most important features that stay among the eight most important. The true P@8 "
        "lies between the certified value and the worst attack. B is the P@8 between the explanations of two different "
        "rows: if it is 1, all rows share one explanation, and its stability says nothing about single rows.\n"
    )
    _run(Experiment(("breast_cancer",), attacks=_QUICK_ATTACKS, seeds=seeds, epsilon=0.3), out, n_jobs, fresh=True)


@app.command()
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
    explainer: _Explainers = [],  # noqa: B006
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
    target: _Target = None,
    drop: _Drop = [],  # noqa: B006
    na_values: _NaValues = [],  # noqa: B006
    sep: _Sep = None,
    encoding: _Encoding = None,
    drop_unlabeled: _DropUnlabeled = False,
    certify: Annotated[bool, typer.Option(help="Also compute a certified P@k of the attacked rows.")] = True,
    n_jobs: Annotated[int, typer.Option("--n-jobs", help="Processes.")] = 1,
    scheduler: Annotated[str | None, typer.Option(help=_SCHEDULER_HELP)] = None,
    out: Annotated[Path, typer.Option(help="Folder for results; run again with the same one to resume.")] = Path(
        "robustxai-benchmark"
    ),
) -> None:
    """Run defenses against attacks on real tables. Options with several values take a,b or are repeated."""
    Choice(_FOREIGN, kind="unit").check("units", units)
    _refuse_foreign(context, units)
    tables = _tables(_names(data), target, drop, na_values, sep, encoding, drop_unlabeled)
    sizes: dict[str, Any] = {name: value for name, value in (("k", k), ("n_rows", n_rows)) if value is not None}
    if units == "columns":
        models = _names(defenses, ColumnsStudy.defenses, tuple(MODELS))
        sizes |= {"share": share, "max_switches": max_switches}
        _columns(ColumnsStudy(tables, models, seeds, **sizes), out, n_jobs, scheduler)
        return
    defense_names, attack_names = (
        _names(defenses, STANDARD_DEFENSES, tuple(DEFENSES)),
        _names(attacks, STANDARD_ATTACKS),
    )
    explainers = _names(explainer, Experiment.explainers, STANDARD_EXPLAINERS)
    trained_on = _names(training_explainer, Experiment.training_explainers)
    attacked: dict[str, Any] = {"epsilon": epsilon, "norm": norm, "max_iter": max_iter, "certify": certify}
    options: dict[str, Any] = {"explainers": explainers, "training_explainers": trained_on, "n_train": n_train}
    experiment = Experiment(tables, defense_names, attack_names, seeds, **sizes, **attacked, **options)
    _run(experiment, out, n_jobs, fresh=False, scheduler=scheduler)


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
    with _stoppable(fresh=False), _progress() as progress, _notes():
        results, failed = _finished(
            lambda: study.run(out, n_jobs=n_jobs, scheduler=scheduler, progress=_reporter(progress))
        )
    if len(results):
        table = columns_markdown(results)
        parts = [columns_protocol(results), table, columns_comparison(results)]
        written = _results(results, "\n\n".join(filter(None, parts)), out, "results")
        console.print(table, markup=False, highlight=False, no_wrap=True, overflow="ignore", crop=False)
        console.print("Written: " + ", ".join(str(path) for path in written), markup=False, soft_wrap=True)
    if failed:
        raise failed


@app.command()
def paper(
    name: Annotated[str, typer.Argument(help="Paper: r2et or atex.")],
    data: Annotated[
        list[str],
        typer.Option(
            help="Any of adult, bank, compas, separated by commas; all three by default. r2et also has mnist, cifar10, "
            "abide, and atex has mnist, fashion_mnist: experiments with tables of their own."
        ),
    ] = [],  # noqa: B006
    size: Annotated[
        str,
        typer.Option(
            help="Size of the experiments on images and graphs: small, for two CPU cores, or full, for a GPU."
        ),
    ] = "small",
    tables: Annotated[
        list[str],
        typer.Option(
            help="r2et; atex on images: any of 1, 2, 3, 4, separated by commas; all by default, none with --figures "
            "alone."
        ),
    ] = [],  # noqa: B006
    figures: Annotated[
        list[str], typer.Option(help="r2et: 3; atex on images: 2, 4. All of them by default, none with --tables alone.")
    ] = [],  # noqa: B006
    seeds: Annotated[int, typer.Option(help="Test splits.")] = 5,
    n_splits: Annotated[int, typer.Option("--n-splits", help="r2et only: validation splits for choosing weights.")] = 3,
    explainer: Annotated[
        list[str],
        typer.Option("--explainer", help=f"On tables: {_EXPLAINERS_HELP} r2et also trains and chooses by each."),
    ] = [],  # noqa: B006
    n_jobs: Annotated[int, typer.Option("--n-jobs", help="Processes.")] = 1,
    scheduler: Annotated[str | None, typer.Option(help=_SCHEDULER_HELP)] = None,
    out: Annotated[Path, typer.Option(help="Folder for results; run again with the same one to resume.")] = Path(
        "robustxai-paper"
    ),
) -> None:
    """Rerun a paper's experiments on real data and print its figures beside ours.

    r2et: on tables, Tables 1 to 4, the figure of merit and Figure 3, with all weights chosen on validation splits; on
    images and graphs, Table 1. atex: on tables, adversarial training after ATEX (Section 4.4); on images, Tables 1 to
    4, Figure 2, and Figure 4, which is Section 4.4.
    """
    Choice(_PAPERS, kind="paper").check("name", name)
    names = _names(data, R2ETPaper.data)
    known = (*R2ETPaper.data, *(SHAPES if name == "r2et" else ATEXImages.data))
    Each(Choice(known, kind="data set")).check("data", names)
    named = tuple(data_set for data_set in names if data_set in R2ETPaper.data)
    shaped = tuple(data_set for data_set in names if data_set not in R2ETPaper.data)
    explainers = _names(explainer, ("gradient",), STANDARD_EXPLAINERS)
    Each(Choice(EXPLAINERS, kind="explainer")).check("explainer", explainers)
    if shaped and explainers != ("gradient",):
        raise ValueError("--explainer is for tables; the experiments on images and graphs explain by gradients.")
    if name == "atex" and named and (tables or figures):
        raise ValueError(
            "--tables and --figures are parts of the r2et paper and of the atex paper's images; on tables, 'paper "
            "atex' runs Section 4.4 as a whole."
        )
    written: list[Path] = []
    with _stoppable(fresh=False), _progress() as progress, _notes():
        options: dict[str, Any] = {"n_jobs": n_jobs, "scheduler": scheduler, "progress": _reporter(progress)}
        for chosen in explainers if named else ():
            if name == "r2et":
                written += _r2et(named, chosen, seeds, n_splits, tables, figures, out, options)
            else:
                written += _atex(named, chosen, seeds, out, options)
        if shaped and name == "r2et":
            results = R2ETShapes(shaped, seeds=seeds, size=cast(ExperimentSize, size)).run(out, **options)
            written += _results(results, shapes_markdown(results), out, "r2et-shapes")
        elif shaped:
            written += _atex_images(shaped, seeds, cast(ExperimentSize, size), tables, figures, out, options)
    console.print("Written: " + ", ".join(str(path) for path in written), markup=False, soft_wrap=True)


_PAPERS = ("r2et", "atex")


def _r2et(
    data: tuple[str, ...],
    explainer: str,
    seeds: int,
    n_splits: int,
    tables: list[str],
    figures: list[str],
    out: Path,
    options: dict[str, Any],
) -> list[Path]:
    table_numbers = _numbers("table", tables, "" if figures else "1234", "1234")
    figure_numbers = _numbers("figure", figures, "" if tables else "3", "3")
    study = R2ETPaper(data=data, seeds=seeds, n_splits=n_splits, explainer=cast(MeasuredExplainer, explainer)).run(
        out, retrained=4 in table_numbers, flips=3 in figure_numbers, **options
    )
    stem = _stem("r2et", explainer)
    markdown = out / f"{stem}.md"
    paired = f"## Paired differences\n\n{comparisons_markdown(study)}"
    write_text(markdown, f"{paper_markdown(study, table_numbers, figure_numbers)}\n{paired}")
    written = [markdown]
    parts = {"tests": study.tests, "search": study.search, "retrained": study.retrained, "figure-3": study.flips}
    for part, table in parts.items():
        if len(table):
            written.append(out / f"{stem}-{part}.csv")
            write_csv(table, written[-1])
    if _can_plot():
        stable = study.tests[study.tests["choice"] == "precision"]
        written += _ranks(stable, "method", out / f"{stem}-critical-difference.png")
        for name in data:
            # one split only: AUCs of different splits do not compare
            search = study.search[(study.search["data"] == name) & (study.search["seed"] == 0)]
            # one point of AUC beyond the tolerance: no rule chooses candidates left of it
            edge = search.loc[search["method"] == "Vanilla", "roc_auc"].max() - 0.02
            written.append(
                _save(CandidatesDisplay.from_results(search, min_auc=edge), name, out / f"{stem}-frontier-{name}.png")
            )
            if len(study.flips):
                flips = study.flips[study.flips["data"] == name]
                display = FlipsDisplay.from_results(flips, methods=[m for m in _FIGURE_3 if m in set(flips["method"])])
                written.append(_save(display, name, out / f"{stem}-figure-3-{name}.png"))
    return written


#: Methods of Figure 3. The paper shows R2ET alone; a model that no attack flips has an empty panel, hence the others.
_FIGURE_3 = ("Vanilla", "SP", "R2ET, Eq. 6", "R2ET, normalized")


def _results(results: pd.DataFrame, markdown: str, out: Path, stem: str) -> list[Path]:
    """Write the rows and their table."""
    written = [out / f"{stem}.md", out / f"{stem}.csv"]
    write_text(written[0], markdown)
    write_csv(results, written[1])
    return written


def _atex(data: tuple[str, ...], explainer: str, seeds: int, out: Path, options: dict[str, Any]) -> list[Path]:
    results = ATEXEfficacy(data=data, seeds=seeds, explainer=cast(MeasuredExplainer, explainer)).run(out, **options)
    stem = _stem("atex", explainer)
    written = [out / f"{stem}.md", out / f"{stem}.csv"]
    write_text(written[0], efficacy_markdown(results))
    write_csv(results, written[1])
    if _can_plot():
        for epsilon, rows in results.groupby("epsilon", sort=False):
            title = f"epsilon {epsilon:g}"
            written.append(_save(EfficacyDisplay.from_results(rows), title, out / f"{stem}-{epsilon:g}.png"))
    return written


def _atex_images(
    data: tuple[str, ...],
    seeds: int,
    size: ExperimentSize,
    tables: list[str],
    figures: list[str],
    out: Path,
    options: dict[str, Any],
) -> list[Path]:
    """Run Tables 1 to 4 with Figure 2, which is of the same models, and Figure 4."""
    table_numbers = _numbers("table", tables, "" if figures else "1234", "1234", "on images")
    figure_numbers = _numbers("figure", figures, "" if tables else "24", "24", "on images")
    written: list[Path] = []
    if table_numbers or 2 in figure_numbers:
        results = ATEXImages(data, seeds=seeds, size=size).run(out, **options)
        written += _results(results, atex_images_markdown(results), out, "atex-images")
        written += _image_curves(results, out)
    if 4 in figure_numbers:
        results = ATEXFigure4(data, seeds=seeds, size=size).run(out, **options)
        written += _results(results, efficacy_markdown(results), out, "atex-figure-4")
        if _can_plot():
            written.append(_save(EfficacyDisplay.from_results(results), "Figure 4", out / "atex-figure-4.png"))
    return written


def _image_curves(results: pd.DataFrame, out: Path) -> list[Path]:
    """Draw the strongest attack's top-k intersection against epsilon, one figure per data set."""
    if not _can_plot():
        return []
    paths = []
    for name, rows in results.groupby("data", sort=False):
        curves = {label: list(curve) for label, curve in image_curves(rows).items()}
        labels = rows["arm"].map(lambda arm: IMAGE_LABELS.get(arm, arm))
        scores = {str(label): float(accuracy) for label, accuracy in rows.groupby(labels)["accuracy"].mean().items()}
        display = StabilityCurveDisplay.from_curves(curves, EPSILONS, k=TOP_K, scores=scores, norm="inf")
        paths.append(_save(display, str(name), out / f"atex-images-{name}.png"))
    return paths


_BRACKET_DATA = tuple(map(str, Bracket.data))


@app.command()
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
    explainer: _Explainers = [],  # noqa: B006
    target: _Target = None,
    drop: _Drop = [],  # noqa: B006
    na_values: _NaValues = [],  # noqa: B006
    sep: _Sep = None,
    encoding: _Encoding = None,
    drop_unlabeled: _DropUnlabeled = False,
    n_jobs: Annotated[int, typer.Option("--n-jobs", help="Processes.")] = 1,
    scheduler: Annotated[str | None, typer.Option(help=_SCHEDULER_HELP)] = None,
    out: Annotated[Path, typer.Option(help="Folder for results; run again with the same one to resume.")] = Path(
        "robustxai-bracket"
    ),
) -> None:
    """Bracket the true P@8 of models on real tables between a certificate and an attack, at five radii."""
    tables = _tables(_names(data, _BRACKET_DATA), target, drop, na_values, sep, encoding, drop_unlabeled)
    explainers = cast(tuple[MeasuredExplainer, ...], _names(explainer, Bracket.explainers, STANDARD_EXPLAINERS))
    study = Bracket(tables, _names(defenses, Bracket.defenses), seeds, n_rows=n_rows, explainers=explainers)
    with _stoppable(fresh=False), _progress() as progress, _notes():
        results, failed = _finished(
            lambda: study.run(out, n_jobs=n_jobs, scheduler=scheduler, progress=_reporter(progress))
        )
    if len(results):
        written = _results(results, bracket_markdown(results), out, "bracket")
        if _can_plot():
            for name, explanation, table in by_explanation(results):
                path = out / f"bracket-{_stem(name, explanation)}.png"
                written.append(_save(BracketDisplay.from_results(table), _titled(name, explanation), path))
        console.print("Written: " + ", ".join(str(path) for path in written), markup=False, soft_wrap=True)
        _point_to_warnings(results, written[1])
    if failed:
        raise failed


def _numbers(kind: str, given: list[str], default: str, valid: str, where: str = "on tabular data") -> list[int]:
    """Return the requested numbers of tables or figures."""
    numbers = _names(given, tuple(default))
    for number in numbers:
        if number not in valid:
            raise ValueError(f"The paper has no {kind} {number!r} {where}; valid: {', '.join(valid)}.")
    return [int(number) for number in numbers]


@contextmanager
def _stoppable(fresh: bool) -> Iterator[None]:
    """On Ctrl-C, print one sentence (typer itself prints none) and exit with the code of a signal."""
    try:
        yield
    except KeyboardInterrupt:
        kept = "" if fresh else " Finished cells are kept: run the same command again to resume."
        messages.print(f"\nStopped.{kept}")
        raise typer.Exit(130) from None


def _progress() -> Progress:
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(TextColumn("{task.description}"), *columns, console=messages)


def _reporter(progress: Progress) -> Callable[[int, int, dict[str, Any]], None]:
    """Return a callback for :func:`run_cells` that updates the progress bar."""
    task = progress.add_task("starting", total=None)

    def show(finished: int, total: int, row: dict[str, Any]) -> None:
        model = next(row[name] for name in ("defense", "method", "arm") if name in row)
        latest = f"{escape(row['data'])} · {model} · seed {row['seed']}"
        description = "done" if finished == total else latest
        progress.update(task, completed=finished, total=total, description=description)

    return show


def _run(experiment: Experiment, out: Path, n_jobs: int, *, fresh: bool, scheduler: str | None = None) -> None:
    options: dict[str, Any] = {"n_jobs": n_jobs, "fresh": fresh, "scheduler": scheduler}
    with _stoppable(fresh), _progress() as progress, _notes():
        cells, failed = _finished(lambda: run_experiment(experiment, out, progress=_reporter(progress), **options))
    if len(cells):
        csv, markdown = write_tables(cells, out)
        for name, explanation, rows in by_explanation(cells):
            console.print(_rich_table(_titled(name, explanation), rows))
        written = [csv, markdown, *_figures(cells, out)]
        console.print("Written: " + ", ".join(str(path) for path in written), markup=False, soft_wrap=True)
        _point_to_warnings(cells, csv)
    if failed:
        raise failed


def _point_to_warnings(rows: pd.DataFrame, csv: Path) -> None:
    """Name the models whose figures are doubtful; the sentences themselves would fill the screen."""
    if "warning" not in rows:
        return
    doubtful = rows[rows["warning"].fillna("") != ""]
    if len(doubtful):
        names = {data: ", ".join(dict.fromkeys(own["defense"])) for data, own in doubtful.groupby("data", sort=False)}
        which = "; ".join(f"{data}: {models}" for data, models in names.items())
        text = f"note: some figures are doubtful ({which}); the column 'warning' of {csv} says why."
        messages.print(text, markup=False, soft_wrap=True)


def _finished(run: Callable[[], pd.DataFrame]) -> tuple[pd.DataFrame, FailedCellsError | None]:
    """Return the finished rows and the error of the failed cells, which is raised after the rows are written."""
    try:
        return run(), None
    except FailedCellsError as error:
        return error.rows, error


@contextmanager
def _notes() -> Iterator[None]:
    """Print warnings about files as one line each, without the source line that Python adds."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def note(message: Any, category: type[Warning], *args: Any, **kwargs: Any) -> None:
            if issubclass(category, _NOTES):
                messages.print(f"note: {message}", markup=False, soft_wrap=True)
            else:
                show(message, category, *args, **kwargs)

        warnings.showwarning = note
        for category in _NOTES:
            warnings.simplefilter("always", category)
        yield


#: Warnings about files.
_NOTES = (DataWarning, AlteredFileWarning)


def _titled(name: str, explanation: str) -> str:
    """Return the name of a data set with that of the explanation, unless that is the gradient."""
    return name if explanation in ("", "gradient") else f"{name}, {explanation.replace('_', ' ')}"


def _stem(name: str, explanation: str) -> str:
    """Return the same as a part of a file's name."""
    return file_name(name) if explanation in ("", "gradient") else f"{file_name(name)}-{explanation}"


def _rich_table(name: str, cells: pd.DataFrame) -> Table:
    first = cells.iloc[0]
    seeds = cells["seed"].nunique()
    title = f"{escape(name)}: epsilon {first['epsilon']:g}, mean over {seeds} seed{'s' if seeds > 1 else ''}"
    # narrow, to fit a terminal of 80 columns
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    table.add_column("defense", no_wrap=True)
    shown = [column for column in _SHOWN if column in cells]
    for column in shown:
        heading = COLUMNS[column][0].format(k=first["k"]).replace(" ", "\n")
        table.add_column(heading, justify="right", no_wrap=True)
    for (_, defense), row in summarize(cells.drop(columns="training_explainer", errors="ignore")).iterrows():
        values = [(row[column, "mean"], COLUMNS[column][1]) for column in shown]
        table.add_row(str(defense), *("-" if pd.isna(value) else f"{value:.{digits}f}" for value, digits in values))
    return table


def _figures(cells: pd.DataFrame, out: Path) -> list[Path]:
    """Draw one frontier per data set and explanation, if matplotlib is installed."""
    if not _can_plot():
        return []
    paths = []
    for name, explanation, rows in by_explanation(cells):
        if "precision_at_k" not in rows or rows["precision_at_k"].isna().all():
            continue
        path = out / f"frontier-{_stem(name, explanation)}.png"
        paths.append(_save(FrontierDisplay.from_results(rows), _titled(name, explanation), path))
    explanations: dict[str, list[pd.DataFrame]] = {}
    for _, explanation, rows in by_explanation(cells):
        explanations.setdefault(explanation, []).append(rows)
    for explanation, tables in explanations.items():
        paths += _ranks(pd.concat(tables), "defense", out / f"{_stem('critical-difference', explanation)}.png")
    return paths


def _ranks(cells: pd.DataFrame, by: str, path: Path) -> list[Path]:
    """Draw the average ranks of the methods, if there are two with a P@k on the same two splits or more."""
    if "precision_at_k" not in cells:
        return []
    known = cells.pivot_table(index=["data", "seed"], columns=by, values="precision_at_k").dropna(axis=1)
    if len(known) < 2 or known.shape[1] < 2:
        return []
    return [_save(CriticalDifferenceDisplay.from_results(cells, by=by), "all tables", path)]


def _can_plot() -> bool:
    if importlib.util.find_spec("matplotlib") is None:
        messages.print("No figure: pip install 'robustxai[plot]' for matplotlib.", markup=False)
        return False
    import matplotlib

    matplotlib.use("Agg")
    return True


def _save(display: Any, title: str, path: Path) -> Path:
    """Write the figure of a display, with the name of its data set as title."""
    display.figure_.suptitle(title)
    with written_at_once(path) as file:
        display.figure_.savefig(file, format="png", dpi=120)
    return path


def main() -> None:
    """Run the command line; print errors that a user can fix as one sentence, without a traceback."""
    _speak_utf8()
    try:
        app()
    except FailedCellsError as error:
        for sentence in (*error.sentences, error.summary):
            messages.print(f"[red]error:[/red] {escape(sentence)}", soft_wrap=True)
        sys.exit(1)
    except (ValueError, TypeError, OSError, ImportError, DivergedError) as error:
        messages.print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True)
        sys.exit(2)


def _speak_utf8() -> None:
    """Write UTF-8 to pipes and files regardless of the locale; a terminal gets the characters that it can show.

    Arguments that the locale cannot decode hold surrogates, which are written as the original bytes.
    """
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper):
            continue  # replaced by a notebook or a test
        if stream.isatty() and not stream.encoding.lower().startswith("utf"):
            stream.reconfigure(errors="replace")
        else:
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")


if __name__ == "__main__":
    main()
