"""Paired differences between the methods of the R2ET paper's experiments, by both rules of choice."""

from __future__ import annotations

import numpy as np
import pandas as pd

from robustxai._arguments import Instance, Text, checked, optional
from robustxai.benchmark import comparison_markdown
from robustxai.experiments.r2et._methods import NORMALIZED, row_label
from robustxai.experiments.r2et._paper import STABLE, Study
from robustxai.experiments.r2et._tables import reference_aucs

__all__ = ["comparisons_markdown"]

#: Rule of choice -> heading.
_RULES = {
    "precision": "Most stable candidates within a point of AUC",
    "merit": f"Most accurate candidates with a P@k of at least {STABLE}",
    "family precision": "Families at the budget of one row: most stable candidates within a point of AUC",
    "family merit": f"Families at the budget of one row: most accurate candidates with a P@k of at least {STABLE}",
}
_METRICS = {
    "roc_auc": ("AUC, in points", 100.0, 2),
    "precision_at_k": ("P@k under the strongest attack, in points", 100.0, 1),
    "merit": (f"Figure of merit, in points, of methods with a mean P@k of at least {STABLE}", 1.0, 0),
}


@checked(study=Instance(Study), reference=optional(Text()))
def comparisons_markdown(study: Study, reference: str | None = None) -> str:
    """Return paired differences in AUC, P@k and figure of merit in Markdown, by both rules of choice.

    Parameters
    ----------
    study : Study
        Results of :class:`R2ETPaper`.
    reference : str, optional
        Method that the others are compared with; by default "R2ET, normalized", or else another form, or else Vanilla.
    """
    methods = list(dict.fromkeys(study.tests["method"]))
    forms = [name for name in methods if name.startswith("R2ET")]
    chosen = reference or (NORMALIZED if NORMALIZED in forms else [*forms, "Vanilla"][0])
    cells = _with_merit(study.tests)
    parts = []
    for rule, heading in _RULES.items():
        rows = cells[cells["choice"] == rule]
        if rows.empty:  # results from before families were compared
            continue
        text = comparison_markdown(rows, chosen, by="method", metrics=_METRICS, label=row_label)
        if text:
            parts.append(f"### {heading}\n\n{text}")
    return "\n".join(parts)


def _with_merit(tests: pd.DataFrame) -> pd.DataFrame:
    """Add the figure of merit of each split, in %; its reference AUCs are means over the splits of a table.

    A method whose mean P@k on a table is too low has none there.
    """
    parts = []
    for _, rows in tests.groupby("data", sort=False):
        linear, best = reference_aucs(rows)
        stable = rows.groupby(["method", "choice"])["precision_at_k"].transform("mean") >= STABLE
        share = 100 * (rows["roc_auc"] - linear) / (best - linear if best > linear else np.nan)
        parts.append(rows.assign(merit=share.where(stable)))
    return pd.concat(parts)
