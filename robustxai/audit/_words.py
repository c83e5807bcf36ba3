"""What an audit says in plain words: warnings, and what a model of another kind does better."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["about_doubts", "about_figures", "about_gaps", "about_rivals", "percent"]

#: Share of common reasons from which rows have no reasons of their own.
_SAME = 0.9
#: AUC that counts as equal.
_EQUAL = 0.01
#: Share of undecided rows that is worth a sentence.
_MANY = 0.5
#: Rows below which intervals are wide.
_FEW = 50
#: Levels of at least so many rows are spoken of.
_ENOUGH = 20
_OPENING = re.compile(r"^This P@k is probably not what it seems: ")


def percent(share: float) -> str:
    """Return a share in words: "12 %"."""
    return "unknown" if math.isnan(share) else f"{100 * share:.0f} %"


def about_doubts(doubts: Iterable[str]) -> list[str]:
    """Return the library's warnings about figures as sentences, each once."""
    said = []
    for doubt in doubts:
        text = _OPENING.sub("", doubt)
        if "without any attack, two different rows have" in text:
            continue  # said with the figures
        text = text[:1].upper() + text[1:]
        if text not in said:
            said.append(text)
    return said


def about_figures(
    rows: pd.DataFrame,
    between: float,
    k: int,
    n_units: int,
    area: tuple[float, float, float],
    n_dropped: int,
    is_black_box: bool,
) -> list[str]:
    """Return warnings about the figures of the audited model."""
    said = []
    if is_black_box:
        said.append(
            "The model gives no gradients: nothing could be proven, and the search for changes was a weaker one. The "
            "true figures may be lower than those of the attacks."
        )
    n = len(rows)
    attacked, proven = (rows["status"] == "attacked").mean(), (rows["status"] == "proven").mean()
    if n < _FEW:
        said.append(f"Only {n} rows were audited: the intervals are wide. Give more rows.")
    if n_dropped:
        said.append(
            f"{n_dropped} rows were left out, because their values lie outside of the threat model (a number beyond "
            "its bounds, or a category that it has not seen). Make the threat model of a table that has them."
        )
    if attacked > 0:
        said.append(
            f"In {percent(attacked)} of the rows an admissible change that leaves the decision as it is displaces at "
            f"least one of the top {k} reasons. Do not hand these reasons out as the only ones."
        )
    undecided = 1 - attacked - proven
    if undecided > _MANY and not is_black_box:
        said.append(
            f"In {percent(undecided)} of the rows no change was found that displaces a reason, and none was excluded: "
            "what was not found is not proven. preset='strong' looks harder and proves more."
        )
    if between > _SAME:
        said.append(
            f"Two different rows have {percent(between)} of their top {k} reasons in common without any change: the "
            "model ranks all rows alike, and its stability says little about the reasons of any one row. Read the "
            "chance-corrected figure."
        )
    if k > n_units / 2:
        said.append(
            f"The top {k} are more than half of the {n_units} columns: two random top sets already have "
            f"{percent(k / n_units)} in common. Ask for a smaller k."
        )
    if not math.isnan(area[0]) and area[1] < 0.55:
        said.append(
            f"The area under the ROC curve is {area[0]:.2f}: the model is hardly better than chance, and a model that "
            "says nothing can have very stable reasons."
        )
    return said


def about_gaps(groups: pd.DataFrame) -> list[str]:
    """Return warnings about subgroups whose explanations or predictions are clearly worse."""
    said = []
    for _, line in groups.iterrows() if len(groups) else ():
        where = f"Where {line['group']} is {line['level']}"
        if line["n_rows"] < _ENOUGH:
            continue
        if line["gap_is_clear"] and line["gap"] < 0:
            said.append(
                f"{where}, reasons are less stable than elsewhere: P@k is {line['precision_at_k']:.2f}, lower by "
                f"{-line['gap']:.2f} (95 % interval {-line['gap_high']:.2f} to {-line['gap_low']:.2f})."
            )
        if line.get("auc_gap_is_clear") and line["auc_gap"] < 0:
            said.append(
                f"{where}, predictions are worse than elsewhere: the area under the ROC curve is "
                f"{line['roc_auc']:.2f}, lower by {-line['auc_gap']:.2f}."
            )
    return said


def about_rivals(lines: dict[str, dict[str, Any]], audited: str) -> tuple[str, list[str]]:
    """Return a verdict on the comparison, and warnings."""
    own = lines[audited]
    better, words = [], []
    for name, line in lines.items():
        if name == audited:
            continue
        as_good = math.isnan(own["roc_auc"]) or line["roc_auc"] >= own["roc_auc"] - _EQUAL
        # more stable, also when what all rows share is taken off
        steadier = line["strongest_low"] > own["strongest"] or line["strongest"] > own["strongest_high"]
        corrected = not math.isnan(line["corrected"]) and line["corrected"] >= np.nan_to_num(own["corrected"], nan=-1)
        sharper = line["roc_auc_low"] > own["roc_auc_high"]
        if (as_good and steadier) or (sharper and line["strongest"] >= own["strongest_low"]):
            better.append(name)
            text = (
                f"{name[:1].upper()}{name[1:]} wins on these rows: its area under the ROC curve is "
                f"{line['roc_auc']:.3f} beside {own['roc_auc']:.3f}, and {line['strongest']:.2f} of its reasons "
                f"withstand the attack beside {own['strongest']:.2f}."
            )
            if not corrected:
                text += (
                    f" But {percent(line['between_rows'])} of its reasons are the same for any two rows: it is stable "
                    "because it says nearly the same of everybody."
                )
            words.append(text)
    if better:
        verdict = " ".join(words)
        return verdict, [f"{verdict} Ask why the audited model is needed."]
    steady = max((name for name in lines if name != audited), key=lambda name: lines[name]["strongest"])
    other = lines[steady]
    clearly = other["strongest_low"] > own["strongest"] or other["strongest"] > own["strongest_high"]
    first = "No rival is both as accurate and clearly more stable."
    if clearly:
        first += f" One is clearly more stable, at the price of accuracy: {steady}, with"
    else:
        first += f" The most stable of them, {steady}, has"
    return (
        f"{first} an area under the ROC curve of {other['roc_auc']:.3f} (audited model: {own['roc_auc']:.3f}), and "
        f"{other['strongest']:.2f} of its reasons withstand the attack ({own['strongest']:.2f}).",
        [],
    )
