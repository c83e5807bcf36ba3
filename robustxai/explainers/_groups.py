"""Groups of features: the columns of a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from robustxai._arguments import Each, Either, Nothing, Number

__all__ = ["GROUPS", "check_features", "check_table", "checked_groups"]

_INDEX = Number(0, integer=True)
#: Constraint on `groups`.
GROUPS = Either((Each(Each(_INDEX, least=1), least=1), Nothing()), words="a sequence of the features of each column")


def checked_groups(groups: Iterable[Iterable[int]]) -> tuple[tuple[int, ...], ...]:
    """Return groups as tuples; raise ValueError unless they hold every feature once."""
    made = tuple(tuple(int(j) for j in group) for group in groups)
    members = [j for group in made for j in group]
    if sorted(members) != list(range(len(members))):
        raise ValueError(
            "groups must hold every feature exactly once, numbered from 0 on; "
            f"got {len(members)} entries, {len(set(members))} of them different, up to {max(members)}."
        )
    return made


def check_table(explainer: Any, feature_shape: Sequence[int]) -> None:
    """Raise ValueError unless an input is a row of a table."""
    if len(feature_shape) != 1:
        raise ValueError(
            f"{type(explainer).__name__} explains rows of a table; an input has the shape {tuple(feature_shape)}. Use "
            "another explainer, such as IntegratedGradients."
        )


def check_features(groups: Sequence[Sequence[int]] | Sequence[np.ndarray], feature_shape: Sequence[int]) -> None:
    """Raise ValueError unless the groups hold as many features as an input."""
    n_features = sum(len(group) for group in groups)
    if n_features != feature_shape[0]:
        raise ValueError(
            f"groups holds {n_features} features, and an input has {feature_shape[0]}. Take the groups of the "
            "pipeline that makes the inputs: column_map(pipeline).groups."
        )
