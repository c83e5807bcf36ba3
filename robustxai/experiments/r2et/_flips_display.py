"""Figure 3 of the R2ET paper, from the cells of a study."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from typing_extensions import Self

from robustxai._arguments import COUNT, Each, Table, Text, checked, optional
from robustxai._plotting import check_one_data_set
from robustxai.inspection import ThicknessDisplay

__all__ = ["FlipsDisplay"]

_QUANTITIES = ("thickness", "hessian_norm")


class FlipsDisplay(ThicknessDisplay):
    """First flip of each row against its thickness and its Hessian norm, from ``Study.flips``.

    Parameters and attributes are those of :class:`robustxai.inspection.ThicknessDisplay`.
    """

    @classmethod
    @checked(
        flips=Table(
            ("data", "method", "first_flip", *_QUANTITIES, *(f"spearman_{name}" for name in _QUANTITIES)),
            source="Study.flips",
        ),
        methods=optional(Each(Text(), least=1)),
        max_iter=COUNT,
    )
    def from_results(cls, flips: pd.DataFrame, *, methods: Sequence[str] | None = None, max_iter: int = 1000) -> Self:
        """Plot `methods` (all by default) of ``Study.flips`` of one data set."""
        check_one_data_set(cls, flips)
        names = list(flips["method"]) if methods is None else list(methods)
        absent = set(names) - set(flips["method"])
        if absent:
            raise ValueError(f"There is no method {min(absent)!r} in these results; there are {list(flips['method'])}.")
        table = flips.set_index("method").loc[names]
        columns = ("first_flip", *_QUANTITIES)
        rows = {name: pd.DataFrame({c: table.loc[name, c] for c in columns}) for name in names}
        correlations = {name: {q: float(table.loc[name, f"spearman_{q}"]) for q in _QUANTITIES} for name in names}
        return cls(rows, correlations, max_iter=max_iter).plot()
