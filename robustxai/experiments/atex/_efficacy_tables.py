"""Efficacy of adversarial training after ATEX in Markdown: mean ± s.d. over seeds, in per cent."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from robustxai._arguments import Table, checked
from robustxai._markdown import markdown_table

__all__ = ["efficacy_markdown"]

#: Heading, column, and whether it is compared with iteration 0.
_COLUMNS = (
    ("P@{k}", "precision_at_k", False),
    ("B", "between_rows_precision", False),
    ("sensitivity", "prediction_sensitivity", False),
    ("COMP ↑", "comprehensiveness", False),
    ("SUFF ↓", "sufficiency", False),
    ("AUC", "roc_auc_before", False),
    ("accuracy", "accuracy_before", False),
    ("FGSM", "fgsm_accuracy_before", False),
    ("samples: accuracy", "accuracy_samples", False),
    ("FGSM", "fgsm_accuracy_samples", False),
    ("gain", "fgsm_accuracy_samples", True),
    ("online: AUC", "roc_auc_online", False),
    ("accuracy", "accuracy_online", False),
    ("FGSM", "fgsm_accuracy_online", False),
    ("gain", "fgsm_accuracy_online", True),
    ("balanced", "fgsm_balanced_online", False),
    ("PGD", "pgd_accuracy_online", False),
)


@checked(results=Table(("data", "defense", "seed", "iterations", "epsilon", "majority"), source="ATEXEfficacy.run"))
def efficacy_markdown(results: pd.DataFrame) -> str:
    """Return one Markdown table per data set and radius, in per cent: mean ± s.d. over seeds.

    Columns: before adversarial training, and after each kind of it. A gain is the FGSM accuracy minus that of iteration
    0 in the same split. Iteration 0 is equal in all arms and has one row.
    """
    parts = []
    # results of older versions have neither B, the P@k between two different rows, nor sensitivity and faithfulness
    columns = [column for column in _COLUMNS if column[1] in results]
    k = int(results["k"].iloc[0]) if "k" in results else 8  # of images; on tables always 8
    headings = ["arm", "iterations", *(heading.format(k=k) for heading, _, _ in columns)]
    for (data, epsilon), table in results.groupby(["data", "epsilon"], sort=False):
        majority = (100 * table.drop_duplicates("seed")["majority"]).mean()
        parts += [
            f"## {data}, epsilon {epsilon:g}",
            "",
            f"A constant prediction has {majority:.1f} under any attack.",
            "",
        ]
        iterated = table["defense"] != "logistic_regression"
        start = table[iterated & (table["iterations"] == 0)].drop_duplicates("seed").set_index("seed")
        lines = [_line("none", start, start, columns)] if len(start) else []
        others = table[~iterated | (table["iterations"] > 0)].groupby(["defense", "iterations"], sort=False)
        for (arm, _), rows in others:
            lines.append(_line(str(arm).replace("_", " "), rows.set_index("seed"), start, columns))
        parts += [markdown_table(headings, lines), ""]
    return "\n".join(parts)


def _line(arm: str, rows: pd.DataFrame, start: pd.DataFrame, columns: Sequence[tuple[str, str, bool]]) -> list[str]:
    count = int(rows["iterations"].iloc[0])
    cells = []
    for _, column, compared in columns:
        if compared and not (count and len(start)):
            cells.append("-")
        else:
            values = 100 * rows[column] - (100 * start[column] if compared else 0)
            spread = f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else ""
            cells.append(f"{values.mean():{'+' if compared else ''}.1f}{spread}")
    return [arm, str(count), *cells]
