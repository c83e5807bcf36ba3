"""What displays ask of the results that they are given."""

from __future__ import annotations

import pandas as pd

__all__ = ["check_one_data_set"]


def check_one_data_set(display: type, rows: pd.DataFrame) -> None:
    """Raise ValueError where the results of several data sets would be drawn over each other."""
    if rows["data"].nunique() != 1:
        raise ValueError(f"{display.__name__} shows one data set, got {sorted(rows['data'].unique())}.")
