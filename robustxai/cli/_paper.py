"""``robustxai paper``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import pandas as pd
import typer

from robustxai._arguments import Choice, Each
from robustxai._files import write_csv, write_text
from robustxai.benchmark import STANDARD_EXPLAINERS
from robustxai.cli._options import EXPLAINERS_HELP, SCHEDULER_HELP, names_of
from robustxai.cli._results import can_plot, draw, ranks, stem_of, write_results
from robustxai.cli._running import notes, progress_bar, reporter, stoppable
from robustxai.cli._streams import console
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

__all__ = ["paper"]


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
        typer.Option("--explainer", help=f"On tables: {EXPLAINERS_HELP} r2et also trains and chooses by each."),
    ] = [],  # noqa: B006
    n_jobs: Annotated[int, typer.Option("--n-jobs", help="Processes.")] = 1,
    scheduler: Annotated[str | None, typer.Option(help=SCHEDULER_HELP)] = None,
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
    names = names_of(data, R2ETPaper.data)
    known = (*R2ETPaper.data, *(SHAPES if name == "r2et" else ATEXImages.data))
    Each(Choice(known, kind="data set")).check("data", names)
    named = tuple(data_set for data_set in names if data_set in R2ETPaper.data)
    shaped = tuple(data_set for data_set in names if data_set not in R2ETPaper.data)
    explainers = names_of(explainer, ("gradient",), STANDARD_EXPLAINERS)
    Each(Choice(EXPLAINERS, kind="explainer")).check("explainer", explainers)
    if shaped and explainers != ("gradient",):
        raise ValueError("--explainer is for tables; the experiments on images and graphs explain by gradients.")
    if name == "atex" and named and (tables or figures):
        raise ValueError(
            "--tables and --figures are parts of the r2et paper and of the atex paper's images; on tables, 'paper "
            "atex' runs Section 4.4 as a whole."
        )
    written: list[Path] = []
    with stoppable(fresh=False), progress_bar() as progress, notes():
        options: dict[str, Any] = {"n_jobs": n_jobs, "scheduler": scheduler, "progress": reporter(progress)}
        for chosen in explainers if named else ():
            if name == "r2et":
                written += _r2et(named, chosen, seeds, n_splits, tables, figures, out, options)
            else:
                written += _atex(named, chosen, seeds, out, options)
        if shaped and name == "r2et":
            results = R2ETShapes(shaped, seeds=seeds, size=cast(ExperimentSize, size)).run(out, **options)
            written += write_results(results, shapes_markdown(results), out, "r2et-shapes")
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
    stem = stem_of("r2et", explainer)
    markdown = out / f"{stem}.md"
    paired = f"## Paired differences\n\n{comparisons_markdown(study)}"
    write_text(markdown, f"{paper_markdown(study, table_numbers, figure_numbers)}\n{paired}")
    written = [markdown]
    parts = {"tests": study.tests, "search": study.search, "retrained": study.retrained, "figure-3": study.flips}
    for part, table in parts.items():
        if len(table):
            written.append(out / f"{stem}-{part}.csv")
            write_csv(table, written[-1])
    if can_plot():
        stable = study.tests[study.tests["choice"] == "precision"]
        written += ranks(stable, "method", out / f"{stem}-critical-difference.png")
        for name in data:
            # one split only: AUCs of different splits do not compare
            search = study.search[(study.search["data"] == name) & (study.search["seed"] == 0)]
            # one point of AUC beyond the tolerance: no rule chooses candidates left of it
            edge = search.loc[search["method"] == "Vanilla", "roc_auc"].max() - 0.02
            written.append(
                draw(CandidatesDisplay.from_results(search, min_auc=edge), name, out / f"{stem}-frontier-{name}.png")
            )
            if len(study.flips):
                flips = study.flips[study.flips["data"] == name]
                display = FlipsDisplay.from_results(flips, methods=[m for m in _FIGURE_3 if m in set(flips["method"])])
                written.append(draw(display, name, out / f"{stem}-figure-3-{name}.png"))
    return written


#: Methods of Figure 3. The paper shows R2ET alone; a model that no attack flips has an empty panel, hence the others.
_FIGURE_3 = ("Vanilla", "SP", "R2ET, Eq. 6", "R2ET, normalized")


def _atex(data: tuple[str, ...], explainer: str, seeds: int, out: Path, options: dict[str, Any]) -> list[Path]:
    results = ATEXEfficacy(data=data, seeds=seeds, explainer=cast(MeasuredExplainer, explainer)).run(out, **options)
    stem = stem_of("atex", explainer)
    written = [out / f"{stem}.md", out / f"{stem}.csv"]
    write_text(written[0], efficacy_markdown(results))
    write_csv(results, written[1])
    if can_plot():
        for epsilon, rows in results.groupby("epsilon", sort=False):
            title = f"epsilon {epsilon:g}"
            written.append(draw(EfficacyDisplay.from_results(rows), title, out / f"{stem}-{epsilon:g}.png"))
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
        written += write_results(results, atex_images_markdown(results), out, "atex-images")
        written += _image_curves(results, out)
    if 4 in figure_numbers:
        results = ATEXFigure4(data, seeds=seeds, size=size).run(out, **options)
        written += write_results(results, efficacy_markdown(results), out, "atex-figure-4")
        if can_plot():
            written.append(draw(EfficacyDisplay.from_results(results), "Figure 4", out / "atex-figure-4.png"))
    return written


def _image_curves(results: pd.DataFrame, out: Path) -> list[Path]:
    """Draw the strongest attack's top-k intersection against epsilon, one figure per data set."""
    if not can_plot():
        return []
    paths = []
    for name, rows in results.groupby("data", sort=False):
        curves = {label: list(curve) for label, curve in image_curves(rows).items()}
        labels = rows["arm"].map(lambda arm: IMAGE_LABELS.get(arm, arm))
        scores = {str(label): float(accuracy) for label, accuracy in rows.groupby(labels)["accuracy"].mean().items()}
        display = StabilityCurveDisplay.from_curves(curves, EPSILONS, k=TOP_K, scores=scores, norm="inf")
        paths.append(draw(display, str(name), out / f"atex-images-{name}.png"))
    return paths


def _numbers(kind: str, given: list[str], default: str, valid: str, where: str = "on tabular data") -> list[int]:
    """Return the requested numbers of tables or figures."""
    numbers = names_of(given, tuple(default))
    for number in numbers:
        if number not in valid:
            raise ValueError(f"The paper has no {kind} {number!r} {where}; valid: {', '.join(valid)}.")
    return [int(number) for number in numbers]
