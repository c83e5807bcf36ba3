"""AUC, attacked P@k and what different rows share of it, of trainings to a target, as figures."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from robustxai._files import written_at_once
from robustxai.benchmark import FrontierDisplay
from robustxai.experiments.target._tables import CENTERED, NAMES, of_explanation

__all__ = ["draw_frontiers"]

_TITLES = {"": "{data}, gradients", CENTERED: "{data}, gradients centered in one-hot groups"}


def draw_frontiers(results: pd.DataFrame, out: Path) -> list[Path]:
    """Draw one figure for each data set and explanation; return the files.

    Parameters
    ----------
    results : DataFrame
        Rows of :meth:`TargetStudy.run`.
    out : Path
        Folder of ``frontier-{data}.png`` and ``frontier-{data}-centered.png``.
    """
    paths = []
    for data, rows in results.groupby("data", sort=False):
        for prefix, title in _TITLES.items():
            shown = of_explanation(rows, prefix)
            if shown["precision_at_k"].isna().all():
                continue
            display = FrontierDisplay.from_results(shown.assign(defense=shown["defense"].replace(NAMES)))
            display.figure_.suptitle(title.format(data=data))
            path = out / f"frontier-{data}{'-centered' if prefix else ''}.png"
            with written_at_once(path) as file:
                display.figure_.savefig(file, format="png", dpi=120)
            paths.append(path)
    return paths
