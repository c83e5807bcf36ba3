"""What displays ask of the results that they are given, and of the machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

__all__ = ["check_estimators", "check_one_data_set", "pyplot"]


def check_one_data_set(display: type, rows: pd.DataFrame) -> None:
    """Raise ValueError where the results of several data sets would be drawn over each other."""
    if rows["data"].nunique() != 1:
        raise ValueError(f"{display.__name__} shows one data set, got {sorted(rows['data'].unique())}.")


def check_estimators(estimators: object) -> None:
    """Raise unless `estimators` names at least one model."""
    if not isinstance(estimators, Mapping) or not estimators:
        raise TypeError(
            "estimators must be a dict of at least one name and fitted classifier, for instance "
            f'{{"Vanilla": clf}}, got {estimators!r}.'
        )


def pyplot() -> Any:
    """``matplotlib.pyplot``, imported when something is drawn."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Figures need matplotlib, which is not installed. Install it with: pip install 'robustxai[plot]'"
        ) from error
    return plt
