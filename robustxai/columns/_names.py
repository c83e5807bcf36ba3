"""Columns of features whose transformer is not at hand, by the names of the features."""

from __future__ import annotations

from collections.abc import Sequence

from robustxai._columns import columns_named
from robustxai.columns._feature import Feature

__all__ = ["features_by_name"]

_WHY = "the map was made of names alone"
_MARKS = (("missingindicator_", ""), ("", "_missing"))


def features_by_name(
    names: Sequence[str], columns: Sequence[str] | None
) -> tuple[tuple[Feature, ...], tuple[str, ...]]:
    """Return the features and the raw columns.

    Parameters
    ----------
    names : sequence of str
        Names of the features, as a ColumnTransformer, OneHotEncoder or `make_preprocessor` writes them.
    columns : sequence of str, optional
        Names of the raw columns, in their order. Without them every feature is a column of its own, but for marks of
        gaps.

    Raises
    ------
    ValueError
        A feature that belongs to no column or to several, a name that comes twice, or names that may be the levels of
        one column where `columns` is not given.
    """
    if len(set(names)) < len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise ValueError(f"The feature {twice!r} comes twice. Give every feature a name of its own.")
    bare = [name.split("__", 1)[-1] for name in names]
    if columns is None:
        columns = [name for place, name in enumerate(bare) if _marked(name, bare) is None]
        _check_no_levels(columns, names)
        columns = list(dict.fromkeys(columns))
        owners = {place: _marked(name, bare) or name for place, name in enumerate(bare)}
    else:
        columns, owners = [str(column) for column in columns], {}
        for column in sorted(columns, key=len, reverse=True):  # "home_type" before "home"
            for place in columns_named(column, names, indicators=True):
                owners.setdefault(place, column)
    for place, name in enumerate(names):
        if place not in owners:
            raise ValueError(
                f"The feature {name!r} belongs to none of the columns {', '.join(map(repr, columns))}. Add its "
                "column to feature_names."
            )
    found = []
    for place, name in enumerate(names):
        column = owners[place]
        rest = bare[place].removeprefix(f"{column}_")
        if bare[place] == column or name == column:
            found.append(Feature(name=name, column=columns.index(column), direction=0, reason=_WHY))
        elif _marked(bare[place], bare) == column:
            found.append(Feature(name=name, column=columns.index(column), kind="missing", source="mark", direction=0))
        else:
            found.append(
                Feature(
                    name=name,
                    column=columns.index(column),
                    kind="category",
                    source="mark",
                    direction=0,
                    categories=(rest,),
                    block=columns.index(column),
                )
            )
    levels = {f.block: tuple(g.categories for g in found if g.block == f.block) for f in found if f.block >= 0}
    found = [Feature(**{**vars(f), "levels": levels[f.block]}) if f.block >= 0 else f for f in found]
    return tuple(found), tuple(columns)


def _marked(name: str, names: Sequence[str]) -> str | None:
    """Return the column whose gaps a feature marks."""
    for before, after in _MARKS:
        if name.startswith(before) and name.endswith(after):
            column = name.removeprefix(before).removesuffix(after)
            if column != name and column in names:
                return column
    return None


def _check_no_levels(columns: Sequence[str], names: Sequence[str]) -> None:
    heads: dict[str, list[str]] = {}
    for name in columns:
        if "_" in name:
            heads.setdefault(name.rsplit("_", 1)[0], []).append(name)
    for head, several in heads.items():
        if len(several) > 1:
            shown = ", ".join(map(repr, several[:3]))
            raise ValueError(
                f"{shown} may be the levels of one column {head!r}, or columns of their own. Give the names of the raw "
                "columns: column_map(names, feature_names=[...]), or the fitted pipeline: column_map(pipeline)."
            )
    if len(set(columns)) < len(columns):
        twice = next(name for name in columns if list(columns).count(name) > 1)
        raise ValueError(f"Several steps make a feature of {twice!r}: {list(names)[:6]}. Give feature_names.")
