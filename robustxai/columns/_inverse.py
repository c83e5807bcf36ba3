"""Raw values of one column from the values of its features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from robustxai.columns._feature import Feature

__all__ = ["raw_values"]

#: Largest difference that counts as rounding, of a feature and, relative to its size, of an amount.
_ROUNDING = 1e-5


def raw_values(name: Any, features: Sequence[Feature], x: np.ndarray, originals: Mapping[str, Any]) -> np.ndarray:
    """Return the values of a raw column at which its features have given values.

    Parameters
    ----------
    name : hashable
        The column, for messages.
    features : sequence of Feature
        All that depend on it.
    x : ndarray of shape (n, n_features)
        Their values.
    originals : mapping of str to object
        Text of categories to what the raw column has.

    Returns
    -------
    ndarray of shape (n,)
        Floats, or objects of a column of categories.

    Raises
    ------
    ValueError
        The features do not tell the value.
    """
    exact = [place for place, feature in enumerate(features) if not feature.reason]
    amounts = [j for j in exact if features[j].source == "amount" and not features[j].hole]
    codes = [j for j in exact if features[j].source == "code" and features[j].kind == "category"]
    marks = [j for j in exact if features[j].source == "mark" and features[j].kind == "category"]
    if amounts:
        values: np.ndarray = _amounts(name, [features[j] for j in amounts], x[:, amounts])
    elif codes:
        values = _decoded(features[codes[0]], x[:, codes[0]], originals)
    elif marks:
        block = [j for j in marks if features[j].block == features[marks[0]].block]
        values = _marked(name, [features[j] for j in block], x[:, block], originals)
    else:
        why = next((f.reason or f.hole for f in features if f.reason or f.hole), "") or features[0].why_no_unit
        raise ValueError(
            f"The features of the column {name!r} do not tell its value: {why}. Take the value from the raw row, or "
            "scale the column by StandardScaler or MinMaxScaler, which are affine."
        )
    for j in exact:
        if features[j].kind == "missing":
            on = (x[:, j] - features[j].shift) / features[j].scale > 0.5
            if on.any():
                values = values.astype(object) if values.dtype.kind not in "fO" else values
                values[on] = features[j].categories[0] if features[j].categories else np.nan
    return values


def _amounts(name: Any, features: list[Feature], x: np.ndarray) -> np.ndarray:
    values, gaps = np.full(len(x), np.nan), np.zeros(len(x), dtype=bool)
    filled = np.stack([_near(f.amount(column), f.fill, f) for column, f in zip(x.T.astype(float), features)])
    for column, feature in zip(x.T.astype(float), features):
        gaps |= np.isnan(column)
        slack = _ROUNDING * max(1.0, abs(feature.scale))
        beyond = (column < feature.low - slack) | (column > feature.high + slack)
        if beyond.any():
            raise ValueError(
                f"The feature {feature.name!r} is {column[beyond.argmax()]:g}, outside of what its scaler clips it to, "
                f"{feature.low:g} to {feature.high:g}. Clip x to these limits."
            )
        free = (column > feature.low + slack) & (column < feature.high - slack)
        amount = (column - feature.shift) / feature.scale
        known = ~np.isnan(values)
        apart = np.abs(values - amount) * abs(feature.scale) > _ROUNDING * np.maximum(1.0, np.abs(column))
        gaps |= apart & filled.all(axis=0)  # two imputers, each with its own number for a gap
        if (known & free & apart & ~gaps).any():
            row = int((known & free & apart & ~gaps).argmax())
            raise ValueError(
                f"The features of the column {name!r} contradict each other: {feature.name!r} means {amount[row]:g} "
                f"and another one {values[row]:g}. Move them together."
            )
        values = np.where(known, values, amount)
    return np.where(gaps, np.nan, values)


def _near(amount: Any, other: float, feature: Feature) -> np.ndarray:
    near = np.abs(amount - other) * abs(feature.scale) <= _ROUNDING * (1.0 + abs(feature.scale * other))
    found: np.ndarray = near | np.isnan(amount)
    return found


def _raw(feature: Feature, level: tuple[Any, ...], originals: Mapping[str, Any]) -> Any:
    value = level[0]
    return originals.get(value, value) if feature.text else value


def _decoded(feature: Feature, x: np.ndarray, originals: Mapping[str, Any]) -> np.ndarray:
    codes = np.array([feature.shift + feature.scale * code for code in feature.values], dtype=float)
    codes = np.clip(codes, feature.low, feature.high)
    raw = [_raw(feature, level, originals) for level in feature.levels]
    distance = np.abs(x[:, None].astype(float) - codes)
    distance[np.isnan(x.astype(float))[:, None] & np.isnan(codes)] = 0.0
    return _objects([raw[j] for j in np.nan_to_num(distance, nan=np.inf).argmin(axis=1)])


def _marked(name: Any, features: list[Feature], x: np.ndarray, originals: Mapping[str, Any]) -> np.ndarray:
    shares = np.stack([(x[:, j].astype(float) - f.shift) / f.scale for j, f in enumerate(features)], axis=1)
    levels = [feature.categories for feature in features]
    covered = {id(level) for level in levels}
    rest = [level for level in features[0].levels if id(level) not in covered]
    if rest:  # the category without a feature: dropped, or left out by a selection
        shares = np.column_stack([shares, 1.0 - shares.sum(axis=1)])
        levels.append(rest[0])
    elif (none := shares.max(axis=1) <= _ROUNDING).any():
        raise ValueError(
            f"Row {int(none.argmax())} has no category of the column {name!r}: all of its features are 0, as of a "
            "category that the encoder did not see. Set one of them."
        )
    raw = [_raw(features[0], level, originals) for level in levels]
    return _objects([raw[j] for j in shares.argmax(axis=1)])


def _objects(values: list[Any]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
