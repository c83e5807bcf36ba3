"""``robustxai demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robustxai.benchmark import STANDARD_ATTACKS, Experiment
from robustxai.cli._benchmark import run
from robustxai.cli._streams import console

__all__ = ["demo"]


#: Attacks of the demo: without the ensemble, which takes twice as long as the rest.
_QUICK_ATTACKS = tuple(name for name in STANDARD_ATTACKS if name != "auto")


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
    run(Experiment(("breast_cancer",), attacks=_QUICK_ATTACKS, seeds=seeds, epsilon=0.3), out, n_jobs, fresh=True)
