"""Features that a column of a user's table became, found by the name of the column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from robustxai._validation import nearest_name

__all__ = ["by_feature", "columns_named", "indices_of"]

#: Names of the indicators of missing values that SimpleImputer and `make_preprocessor` make.
_INDICATORS = ("missingindicator_{}", "{}_missing")
#: Smallest number of rows with which a feature with two values counts as a level.
_ENOUGH = 6


def columns_named(
    name: str, names: Sequence[str], X: np.ndarray | None = None, *, what: str = "feature", indicators: bool = False
) -> list[int]:
    """Return the features of a name.

    The first of these rules that finds something decides:

    1. A feature of exactly this name.
    2. ``step__name``, as a ColumnTransformer writes the column `name` of one of its steps.
    3. ``name_level``, as a OneHotEncoder writes the levels of the column `name`, with or without ``step__`` before it.

    So "age" is the feature "age" where there is one, and never "age_group" then.

    Parameters
    ----------
    name : str
        What is looked for.
    names : sequence of str
        The names of the features.
    X : ndarray of shape (n_samples, n_features), optional
        Rows, to tell a one-hot group, of which one feature is set at most, from several columns that begin alike.
    what : str, default="feature"
        What the name is, for the messages.
    indicators : bool, default=False
        Whether ``missingindicator_name`` or ``name_missing``, which says that the value of the column was missing,
        belongs to it.

    Returns
    -------
    list of int
        Indices into `names`, in their order.

    Raises
    ------
    ValueError
        A name that nothing is found for, with the nearest one, or that may mean several columns.
    """
    found = [i for i, other in enumerate(names) if other == name]
    if not found:
        found = _one_step(name, names, [i for i, other in enumerate(names) if _bare(other) == name], what)
    if not found:
        prefix = f"{name}_"
        starts = [i for i, other in enumerate(names) if other.startswith(prefix)]  # a level may hold "__" itself
        starts = starts or [i for i, other in enumerate(names) if _bare(other).startswith(prefix)]
        found = _one_step(name, names, starts, what)
        if found:
            _check_one_group(name, names, found, X, what)
    if not found:
        groups = {other.rsplit("_", 1)[0] for other in names if "_" in other}
        raise ValueError(f"{what} {name!r} is not in the data.{nearest_name(name, {*names, *groups})}")
    if indicators:
        marked = [i for i, other in enumerate(names) if _bare(other) in {form.format(name) for form in _INDICATORS}]
        found = sorted({*found, *marked})
    return found


def indices_of(
    features: Iterable[Any],
    names: Sequence[str] | None,
    n_features: int,
    X: np.ndarray | None = None,
    *,
    what: str,
    indicators: bool = False,
) -> list[list[int]]:
    """Return the feature indices of every key, an index or a name (`columns_named`).

    Raises
    ------
    ValueError, TypeError
        An unknown or ambiguous name, an index out of range, or something that is neither.
    """
    found: list[list[int]] = []
    for feature in features:
        if isinstance(feature, str):
            if names is None or not len(names):
                raise ValueError(
                    f"{what} names features, but the data has no feature names; give indices or a mask, or a DataFrame."
                )
            found.append(columns_named(feature, list(names), X, what=f"{what} feature", indicators=indicators))
        elif isinstance(feature, (int, np.integer)) and not isinstance(feature, bool):
            if not -n_features <= feature < n_features:
                raise ValueError(
                    f"{what} has the feature {feature}; features are given by name, or by indices below {n_features}."
                )
            found.append([int(feature) % n_features])
        else:
            raise TypeError(f"{what} must give features by name or by index, got {feature!r}.")
    return found


def by_feature(
    values: Mapping[Any, Any],
    default: float,
    names: Sequence[str] | None,
    n_features: int,
    X: np.ndarray | None = None,
    *,
    what: str,
) -> np.ndarray:
    """Return the values of a mapping of features to numbers, `default` elsewhere; shape (n_features,)."""
    array, given = np.full(n_features, default), np.zeros(n_features, dtype=int)
    for value, columns in zip(values.values(), indices_of(values, names, n_features, X, what=what)):
        array[columns] = value
        given[columns] += 1
    if (given > 1).any():
        twice = int(given.argmax())
        label = repr(str(names[twice])) if names is not None and len(names) else str(twice)
        raise ValueError(f"{what} gives the feature {label} twice; give it once.")
    return array


def _bare(name: str) -> str:
    """Return the name without the prefix of a ColumnTransformer's step."""
    return name.split("__", 1)[-1]


def _one_step(name: str, names: Sequence[str], found: list[int], what: str) -> list[int]:
    """Return `found`; raise if several steps of a ColumnTransformer have such a column."""
    steps = {names[i].split("__", 1)[0] if "__" in names[i] else "" for i in found}
    if len(steps) > 1 and not any(names[i].startswith(f"{name}_") for i in found):
        raise ValueError(
            f"{what} {name!r} may be any of {_listed(names, found)}. Give the names of the features themselves."
        )
    return found


def _check_one_group(name: str, names: Sequence[str], found: list[int], X: np.ndarray | None, what: str) -> None:
    """Raise where the features belong, or by their names may belong, to more than one column."""
    if len(found) == 1:
        return
    one_hot = None
    if X is not None and X.ndim == 2 and len(X):
        rows = X[:, found]
        low, high = rows.min(axis=0), rows.max(axis=0)
        plain = np.isin(rows, (0.0, 1.0)).all(axis=0)
        levels = plain | ((rows == low) | (rows == high)).all(axis=0)  # also where they were standardized
        if plain.all() or (levels.all() and len(X) >= _ENOUGH):
            here = np.where(plain, rows == 1.0, (rows == high) & (high > low))
            one_hot = bool((here.sum(axis=1) <= 1).all())
        elif levels.any() and not levels.all() and len(X) >= _ENOUGH:
            one_hot = False  # numbers beside levels
    if one_hot is None:
        # "type_flat" and "type_house" beside "own": "home_type" may be a column of its own beside "home"
        rests = [_bare(names[i]).removeprefix(f"{name}_") for i in found]
        heads = [rest.split("_", 1)[0] for rest in rests if "_" in rest]
        one_hot = not (len(set(heads)) < len(heads) < len(rests))
    if not one_hot:
        raise ValueError(
            f"{what} {name!r} is no feature, and {_listed(names, found)}, which begin with it, are not the levels of "
            "one column. Give the names of the features themselves."
        )


def _listed(names: Sequence[str], found: list[int]) -> str:
    return ", ".join([*(repr(str(names[i])) for i in found[:4]), *(["..."] if len(found) > 4 else [])])
