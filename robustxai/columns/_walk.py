"""Features of a fitted Pipeline, ColumnTransformer or FeatureUnion, nested in any order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion, Pipeline

from robustxai.columns._feature import Feature
from robustxai.columns._steps import follow, names_out, refuse

__all__ = ["walk"]


def walk(step: str, transformer: Any, inputs: Sequence[Feature]) -> list[Feature]:
    """Return the features that a fitted transformer makes of others.

    Parameters
    ----------
    step : str
        Name of the transformer in the pipeline around it, for messages.
    transformer : transformer, "passthrough", "drop" or None
        What is followed.
    inputs : sequence of Feature
        Features that it gets.

    Raises
    ------
    NotFittedError, ValueError
        As :func:`~robustxai.columns._steps.follow`.
    """
    if transformer is None or (isinstance(transformer, str) and transformer == "passthrough"):
        return list(inputs)
    if isinstance(transformer, str) and transformer == "drop":
        return []
    if isinstance(transformer, FrozenEstimator):
        return walk(step, transformer.estimator, inputs)
    if isinstance(transformer, Pipeline):
        features = list(inputs)
        for name, inside in transformer.steps:
            features = walk(name, inside, features)
        return features
    if isinstance(transformer, ColumnTransformer):
        return _named(transformer, inputs, _columns(step, transformer, inputs))
    if isinstance(transformer, FeatureUnion):
        return _named(transformer, inputs, _union(transformer, inputs))
    return follow(step, transformer, inputs)


def _named(transformer: Any, inputs: Sequence[Feature], features: list[Feature]) -> list[Feature]:
    names = names_out(transformer, inputs)
    if names is None or len(names) != len(features):
        return features
    return [replace(feature, name=name) for feature, name in zip(features, names)]


def _weighted(features: list[Feature], weights: Any, name: str) -> list[Feature]:
    weight = (weights or {}).get(name)
    return features if weight is None else [feature.scaled(weight, 0.0) for feature in features]


def _columns(step: str, transformer: Any, inputs: Sequence[Feature]) -> list[Feature]:
    if not hasattr(transformer, "transformers_"):
        raise NotFittedError(
            f"The step {step!r} ({type(transformer).__name__}) is not fitted yet: call fit(X, y) of the whole pipeline "
            "first."
        )
    if transformer.n_features_in_ != len(inputs):
        why = (
            f"was fitted on {transformer.n_features_in_} columns and gets {len(inputs)}. Fit the whole pipeline again."
        )
        refuse(step, transformer, why)
    labels = getattr(transformer, "feature_names_in_", None)
    names = [feature.name for feature in inputs] if labels is None else list(labels)
    parts: list[tuple[int, list[Feature]]] = []
    for name, inside, columns in transformer.transformers_:
        places = _places(columns, names)
        if not places or (isinstance(inside, str) and inside == "drop"):
            continue
        made = _weighted(walk(name, inside, [inputs[place] for place in places]), transformer.transformer_weights, name)
        where = transformer.output_indices_[name]
        if len(made) != where.stop - where.start:
            refuse(
                name,
                inside,
                f"makes {where.stop - where.start} features and {len(made)} were expected of its "
                "parameters. Apply a transformer of scikit-learn, or one that returns the names of its columns.",
            )
        parts.append((where.start, made))
    return [feature for _, made in sorted(parts, key=lambda part: part[0]) for feature in made]


def _union(transformer: Any, inputs: Sequence[Feature]) -> list[Feature]:
    found: list[Feature] = []
    for name, inside in transformer.transformer_list:
        found += _weighted(walk(name, inside, inputs), transformer.transformer_weights, name)
    return found


def _places(columns: Any, names: Sequence[Any]) -> list[int]:
    """Return the places of the columns of a ColumnTransformer's step: labels, positions, a slice or a mask."""
    if isinstance(columns, str):
        return [names.index(columns)]
    if isinstance(columns, (int, np.integer)) and not isinstance(columns, bool):
        return [int(columns) % len(names)]
    if isinstance(columns, slice):
        start, stop = columns.start, columns.stop
        start = names.index(start) if isinstance(start, str) else start
        stop = names.index(stop) + 1 if isinstance(stop, str) else stop
        return list(range(len(names))[slice(start, stop, columns.step)])
    given = list(columns)
    if given and all(isinstance(one, (bool, np.bool_)) for one in given):
        return [place for place, one in enumerate(given) if one]
    return [place for one in given for place in _places(one if isinstance(one, str) else int(one), names)]
