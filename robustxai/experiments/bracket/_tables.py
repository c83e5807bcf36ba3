"""Tables of the bracket in Markdown: mean ± s.d. over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from robustxai._arguments import NOT_NEGATIVE, Each, Instance, Named, Table, checked
from robustxai._markdown import markdown_table
from robustxai.benchmark import by_explanation
from robustxai.experiments.bracket._bracket import _MAX_RADIUS

__all__ = ["bracket_markdown", "bracket_summary"]

#: Heading, column and decimals of the metrics beside stability.
_MODEL = (
    ("AUC", "roc_auc", 4),
    ("COMP ↑", "comprehensiveness", 3),
    ("SUFF ↓", "sufficiency", 3),
    ("DFFOT ↓", "decision_flip_fraction", 3),
    ("B", "between_rows_precision", 3),
    ("sets", "distinct_top_k_sets", 0),
    ("commonest", "commonest_top_k_share", 2),
)
_POINT_COLUMNS = (
    ("certified", "certified", 3),
    ("attacked", "attacked", 3),
    ("(P - B) / (1 - B)", "corrected_attacked", 3),
    ("sensitivity", "prediction_sensitivity", 3),
    ("gap", "gap", 3),
    ("papers' attack", "er_paper", 3),
    ("random", "random", 3),
    ("rows proven whole", "fully_certified", 2),
)
_RADIUS_COLUMNS = (
    ("proven radius", "certified_radius", 4),
    ("attack radius", "attack_radius", 4),
    ("ratio", "radius_ratio", 2),
    ("rows with attack radius", "has_attack_radius", 2),
)


@checked(
    results=Table(
        ("data", "defense", "seed", "epsilon", "attacked", "certified", "n_features", "n_rows", "k"),
        source="Bracket.run",
    )
)
def bracket_markdown(results: pd.DataFrame) -> str:
    """Return two Markdown tables per data set and explanation: P@k at every radius, and the radii.

    Entries are mean ± s.d. over seeds.
    Every line has AUC, faithfulness and the similarity of different rows (B: the P@k between the explanations of two
    rows; the number of different top-k sets; the share of the most frequent set), because a linear or collapsed model
    is certified stable at any radius. Columns that the results lack are left out.

    Parameters
    ----------
    results : DataFrame
        As :meth:`Bracket.run` returns it.
    """
    parts: list[str] = []
    for data, explainer, table in by_explanation(results.assign(gap=results["attacked"] - results["certified"])):
        first = table.iloc[0]
        seeds = table["seed"].nunique()
        about = f"{first['n_features']} features, {seeds} seed{'s' if seeds > 1 else ''}, {first['n_rows']} rows each"
        models = table.drop_duplicates(["defense", "seed"])
        named = "" if explainer in ("", "gradient") else f", {explainer.replace('_', ' ')}"
        parts += [f"### {data}{named} ({about})", "", f"P@{first['k']}:", ""]
        parts += [_table(table, ["defense", "epsilon"], (*_POINT_COLUMNS, *_MODEL)), "", "Medians over rows:", ""]
        parts += [_table(models, ["defense"], (*_RADIUS_COLUMNS, *_MODEL)), ""]
    return "\n".join(parts)


@checked(
    results=Table(("defense", "epsilon", "certified", "attacked"), source="Bracket.run"),
    defenses=Named(Instance(str)),
    epsilons=Each(NOT_NEGATIVE),
)
def bracket_summary(
    results: pd.DataFrame, defenses: Mapping[str, str], epsilons: Sequence[float] = (0.1, 0.25, 0.5)
) -> str:
    """Return a small Markdown table: AUC, B, and the mean certified and attacked P@k around the true P@k.

    Parameters
    ----------
    results : DataFrame
        Rows of one data set, as :meth:`Bracket.run` returns them.
    defenses : mapping of str to str
        Name of a defense to the label of its line, in the order of the lines.
    epsilons : sequence of float, default=(0.1, 0.25, 0.5)
        Radii, one column each.
    """
    models = {name: heading for heading, name, _ in _MODEL if name in ("roc_auc", "between_rows_precision")}
    models = {name: heading for name, heading in models.items() if name in results}
    means = results.groupby(["defense", "epsilon"])[[*models, "certified", "attacked"]].mean()
    headings = ["", *models.values(), *(f"epsilon {epsilon:g}" for epsilon in epsilons)]
    body = []
    digits = {name: digits for _, name, digits in _MODEL}
    for defense, label in defenses.items():
        points = [means.loc[(defense, epsilon)] for epsilon in epsilons]
        ends = [f"{point['certified']:.3f} to {point['attacked']:.3f}" for point in points]
        body.append([label, *(f"{points[0][name]:.{digits[name]}f}" for name in models), *ends])
    return markdown_table(headings, body)


#: Radii, which may exceed the largest radius of the search.
_RADII = ("certified_radius", "attack_radius")
#: Columns that need a value for every seed.
_COMPLETE_ONLY = ("corrected_attacked",)


def _table(rows: pd.DataFrame, keys: list[str], columns: tuple[tuple[str, str, int], ...]) -> str:
    columns = tuple(column for column in columns if column[1] in rows)
    body = []
    for values, group in rows.groupby(keys, sort=False):
        label = [value if isinstance(value, str) else f"{value:g}" for value in values]
        body.append([*label, *(_entry(group, column, digits) for _, column, digits in columns)])
    return markdown_table([*keys, *(heading for heading, _, _ in columns)], body)


def _entry(rows: pd.DataFrame, column: str, digits: int) -> str:
    values = rows[column].to_numpy(dtype=float)
    if column in _COMPLETE_ONLY and np.isnan(values).any():
        return "-"
    return _number(values, digits, _MAX_RADIUS if column in _RADII else np.inf)


def _number(values: np.ndarray, digits: int, limit: float = _MAX_RADIUS) -> str:
    """Return mean ± s.d.; for radii beyond `limit`, the largest radius of the search, a lower bound."""
    beyond = values >= limit
    if beyond.any():
        return f"≥ {limit:g}" if beyond.all() else f"{values.min():.{digits}f} to ≥ {limit:g}"
    known = values[~np.isnan(values)]
    if not len(known):
        return "-"
    spread = f" ± {known.std(ddof=1):.{digits}f}" if len(known) > 1 else ""
    return f"{known.mean():.{digits}f}{spread}"
