"""Tables of trainings to a target in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from robustxai._arguments import Instance, Named, Table, checked, optional
from robustxai._markdown import markdown_table
from robustxai.benchmark import comparison_markdown

__all__ = [
    "CENTERED",
    "NAMES",
    "TargetFits",
    "gain_kept",
    "of_explanation",
    "target_comparison",
    "target_fits",
    "target_fits_markdown",
    "target_markdown",
    "target_page",
    "target_protocol",
]

#: Ends of the gain in AUC: logistic regression, and the best network without a teacher.
_FROM, _TO = "logistic_regression", "plain"
#: Prefix of the columns of centered gradients.
CENTERED = "centered_"
#: How the name of a model ends that is trained on centered gradients.
_CENTERED = "_centered"
#: Models that are trained on neither explanation and stand in both tables.
_BOTH = ("logistic_regression", "teacher", "plain", "plain_teacher")
_FIGURES = ("precision_at_k", "between_rows_precision", "corrected_precision_at_k")
_COLUMNS = ("chosen", "fit_seconds", "roc_auc", "shortfall", "held_out_precision", *_FIGURES)
_RESULTS = Table(
    (
        *("data", "defense", "seed", "k", "epsilon", "target", "n_rows", *_COLUMNS),
        *(f"centered_{name}" for name in _FIGURES),
    ),
    source="TargetStudy.run",
)
_LABELS = optional(Named(Instance(str)))
#: Names of the models in tables and figures.
NAMES = {
    "logistic_regression": "logistic regression",
    "teacher": "boosted trees, the teacher",
    "plain": "best network",
    "plain_teacher": "best network, taught",
    "r2et": "R2ET",
    "r2et_target": "R2ET to the target",
    "r2et_target_teacher": "R2ET to the target, taught",
}


class TargetFits(NamedTuple):
    """What the trainings to a target promised and kept.

    Attributes
    ----------
    n : int
        Number of trainings.
    n_shortfalls : int
        How many of them gave a warning.
    mean, lowest : float
        Mean and lowest attacked P@k on test rows of those that gave none; nan if all gave one.
    lowest_of_all : float
        Lowest attacked P@k on test rows of all.
    """

    n: int
    n_shortfalls: int
    mean: float
    lowest: float
    lowest_of_all: float


@checked(results=_RESULTS)
def target_protocol(results: pd.DataFrame) -> str:
    """Say what the rows have in common: tables, splits, attack, target, and what the columns are."""
    first = results.iloc[0]
    splits = results.groupby("data", sort=False)["seed"].nunique()
    tables = ", ".join(f"{data} ({n} split{'s' if n > 1 else ''})" for data, n in splits.items())
    return (
        f"Tables: {tables}; {results['n_rows'].max():,} test rows of each (all there are, if fewer), attacked by the "
        f"ensemble (`AutoExplanationAttack`) in the l2 ball of radius {first['epsilon']:g} within [0, 1]. "
        f"The target is a P@{first['k']} of {first['target']:g} in the same ball. *Gain kept*: mean gain in AUC over "
        "logistic regression, divided by that of the best network without a teacher. *Corrected*: (P - B) / (1 - B) "
        "with B, the P@k between rows; negative where another row's explanation is nearer than the attacked one. *Held "
        "out*: the P@k that the fit itself reports, of rows that it did not learn from. *Warnings*: fits that "
        "announced a shortfall. Mean ± standard deviation over the splits; a dash where there is no such figure."
    )


@checked(results=_RESULTS, labels=_LABELS)
def target_markdown(results: pd.DataFrame, labels: Mapping[str, str] | None = None) -> str:
    """Return two tables, one of raw and one of centered gradients: one line per data set and model.

    Parameters
    ----------
    results : DataFrame
        Rows of :meth:`TargetStudy.run`.
    labels : mapping of str to str, optional
        Name of a model to the label of its line.
    """
    raw, centered = _table(results, "", labels or {}), _table(results, CENTERED, labels or {})
    return f"**Gradients**\n\n{raw}\n\n**Gradients, centered in one-hot groups**\n\n{centered}"


def _table(results: pd.DataFrame, prefix: str, labels: Mapping[str, str]) -> str:
    k = results["k"].iloc[0]
    headings = ["data", "model", "AUC", "gain kept", f"P@{k} attacked", f"P@{k} between rows", f"P@{k} corrected"]
    headings += ["held out", "warnings", "fit seconds"]
    body = []
    for (data, base), rows in of_explanation(results, prefix).groupby(["data", "defense"], sort=False):
        name = str(rows["model"].iloc[0])
        to_target = rows["held_out_precision"].notna().all()
        body.append([
            str(data),
            labels.get(name, labels.get(str(base), NAMES.get(str(base), str(base).replace("_", " ")))),
            _mean_and_sd(rows["roc_auc"], 4),
            _share(gain_kept(results, str(data), name)),
            *(_mean_and_sd(rows[figure], 3) for figure in _FIGURES[:-1]),
            _corrected(rows[_FIGURES[-1]]),
            _mean_and_sd(rows["held_out_precision"], 3),
            f"{rows['shortfall'].sum():.0f} of {len(rows)}" if to_target else "-",
            _mean_and_sd(rows["fit_seconds"], 1),
        ])  # fmt: skip
    return markdown_table(headings, body)


def of_explanation(results: pd.DataFrame, prefix: str) -> pd.DataFrame:
    """Return the models that are trained on an explanation or on none, with its figures under their plain names.

    Parameters
    ----------
    results : DataFrame
        Rows of :meth:`TargetStudy.run`.
    prefix : {"", "centered_"}
        Gradients, or gradients centered in one-hot groups.

    Returns
    -------
    DataFrame
        ``model`` is the name of the model, ``defense`` that name without its explanation.
    """
    name = results["defense"].astype(str)
    shown = results[name.isin(_BOTH) | (name.str.endswith(_CENTERED) == bool(prefix))]
    base = shown["defense"].astype(str).str.removesuffix(_CENTERED)
    figures = {figure: shown[prefix + figure] for figure in _FIGURES}
    return shown.assign(model=shown["defense"], defense=base, **figures)


@checked(results=_RESULTS, data=Instance(str), defense=Instance(str))
def gain_kept(results: pd.DataFrame, data: str, defense: str) -> float:
    """Return the mean gain of a model in AUC over logistic regression, divided by that of the best network.

    Means over the splits that all three have: a quotient of one split has a denominator near zero on small tables. nan
    without one of the three, or where the network is no better than logistic regression.
    """
    areas = results[results["data"] == data].pivot_table(index="seed", columns="defense", values="roc_auc")
    if not {_FROM, _TO, defense} <= set(areas):
        return float("nan")
    areas = areas[list(dict.fromkeys((_FROM, _TO, defense)))].dropna()
    whole = (areas[_TO] - areas[_FROM]).mean()
    return float((areas[defense] - areas[_FROM]).mean() / whole) if whole > 0 else float("nan")


@checked(results=_RESULTS)
def target_fits(results: pd.DataFrame) -> TargetFits:
    """Return what the trainings to a target kept on test rows, each in the explanation that it was trained on."""
    fits = results[results["held_out_precision"].notna()]
    centered = fits["defense"].str.endswith(_CENTERED)
    tested = fits["precision_at_k"].where(~centered, fits["centered_precision_at_k"])
    kept = tested[fits["shortfall"] == 0]
    return TargetFits(
        len(fits), int(fits["shortfall"].sum()), float(kept.mean()), float(kept.min()), float(tested.min())
    )


@checked(results=_RESULTS)
def target_fits_markdown(results: pd.DataFrame) -> str:
    """Say in two sentences what :func:`target_fits` returns; empty without trainings to a target."""
    found, target = target_fits(results), results["target"].iloc[0]
    if not found.n:
        return ""
    warned = f"Of {found.n} fits to {target:g}, {found.n_shortfalls} announced a shortfall."
    if found.n_shortfalls == found.n:
        return f"{warned} Their lowest P@k on test rows is {found.lowest_of_all:.3f}."
    return (
        f"{warned} The others have a mean P@k of {found.mean:.3f} on test rows, each in the explanation that it was "
        f"trained on, and none is below {found.lowest:.3f}."
    )


@checked(results=_RESULTS)
def target_comparison(results: pd.DataFrame) -> str:
    """Return the paired differences in AUC from the best network without a teacher; empty without it."""
    metrics = {"roc_auc": ("AUC, in points", 100.0, 2)}
    return comparison_markdown(results, _TO, metrics=metrics, label=_label)


def target_page(results: pd.DataFrame, labels: Mapping[str, str] | None = None) -> str:
    """Return protocol, tables, the line on the fits, and differences."""
    parts = [target_protocol(results), target_markdown(results, labels), target_fits_markdown(results)]
    return "\n\n".join(filter(None, [*parts, target_comparison(results)]))


def _label(name: str) -> str:
    base = name.removesuffix(_CENTERED)
    return NAMES.get(base, base.replace("_", " ")) + (", centered" if base != name else "")


def _corrected(values: pd.Series) -> str:
    """Return no more than the sign of a large negative number: it has a divisor near zero."""
    return "below -1" if values.mean(skipna=False) < -1 else _mean_and_sd(values, 3)


def _share(value: float) -> str:
    return "-" if pd.isna(value) else f"{100 * value:.0f} %"


def _mean_and_sd(values: pd.Series, decimals: int) -> str:
    """Return nothing but a dash where one split has no value: a mean of the others would refer to other models."""
    mean, sd = values.mean(skipna=False), values.std(ddof=1, skipna=False)
    if pd.isna(mean):
        return "-"
    return f"{mean:.{decimals}f}" + ("" if pd.isna(sd) else f" ± {sd:.{decimals}f}")
