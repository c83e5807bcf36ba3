"""Result of an audit: figures, tables, words, and the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from robustxai._arguments import Either, Nothing, PathName, checked
from robustxai._files import write_text
from robustxai.audit._figure import AuditFigure
from robustxai.audit._render import to_html, to_markdown
from robustxai.protocols import Ranking

if TYPE_CHECKING:
    from robustxai.audit._sources import StabilitySources

__all__ = ["AuditResult"]

_PATH = Either((PathName(), Nothing()), words="a path, or None for the text alone")


@dataclass(frozen=True, eq=False, repr=False)
class AuditResult:
    """What :func:`audit` found.

    Attributes
    ----------
    frame : DataFrame of shape (n, ...)
        One line per audited row, with the index of X: ``predicted``, ``probability`` (of that class), ``y`` (where
        given), ``reasons`` (the top set, first reason first), ``precision_random`` (lowest P@k of random admissible
        changes), ``precision_papers`` (the papers' ER attack), ``precision_strongest`` (lowest of all that was tried),
        ``precision_certified`` (proven), ``status`` ("attacked", "proven" or "undecided"), ``left`` and ``entered``
        (reasons that the strongest change displaces, and what takes their places), ``typical`` (mean P@k of random
        admissible changes), ``thickness``, ``comprehensiveness``, ``sufficiency``, ``exhaustive``.
    summary : DataFrame
        One line per measure: ``measure``, ``value``, ``low`` and ``high`` (95 %), ``meaning``.
    warnings : list of str
        What a reader must know, in plain words.
    curves : DataFrame
        Mean P@k by ``share`` of the threat model: ``random``, ``papers``, ``strongest``, ``certified``; ``n_rows``.
    columns : DataFrame
        One line per column, least stable first: ``n_reasons``, ``displaced`` and its interval, ``n_entered``,
        ``mean_rank``.
    examples : DataFrame
        The least stable rows (``column`` is None) and columns: ``row``, ``left``, ``entered``, ``precision_at_k``,
        ``changes`` (column to old and new value, no more than needed), ``probability`` before and after.
    changed_rows : DataFrame
        For every example the admissible row that displaces the reasons.
    subgroups : DataFrame
        One line per level of every grouping; empty without `groups`.
    comparison : DataFrame
        The audited model, logistic regression and R2ET on the same rows; empty without `y`.
    verdict : str
        What the comparison says; "" without one.
    settings : dict
        How the audit was made, as texts.
    sources : StabilitySources or None
        Where instability comes from, where it was asked for.
    k : int
        Size of the top set, after clipping.
    ranking : {"magnitude", "signed"}
    """

    frame: pd.DataFrame
    summary: pd.DataFrame
    warnings: list[str]
    curves: pd.DataFrame
    columns: pd.DataFrame
    examples: pd.DataFrame
    changed_rows: pd.DataFrame
    subgroups: pd.DataFrame
    comparison: pd.DataFrame
    verdict: str
    settings: Mapping[str, Any]
    k: int
    ranking: Ranking
    sources: StabilitySources | None = None

    def __repr__(self) -> str:
        values = self.summary.set_index("measure")["value"]
        return (
            f"AuditResult({len(self.frame)} rows, P@{self.k} attacked {values['P@k, strongest attack']:.3f}, proven "
            f"{values['P@k, proven']:.3f}, {len(self.warnings)} warnings)"
        )

    def figures(self) -> dict[str, AuditFigure]:
        """Return the figures of the report by name: "curve", "rows", "columns", "subgroups", "comparison", "sources".

        Notebooks show them; :meth:`AuditFigure.save` writes an SVG file.
        """
        from robustxai.audit._report import figures

        return figures(self)

    @checked(path=_PATH)
    def to_html(self, path: str | Path | None = None) -> str:
        """Return the report as one HTML file, and write it to `path` if one is given.

        The file needs no network, sorts its tables, follows light and dark settings, and prints. Names and values of
        the table are shown as text.
        """
        from robustxai.audit._report import report

        return _written(to_html(report(self)), path)

    @checked(path=_PATH)
    def to_markdown(self, path: str | Path | None = None) -> str:
        """Return the report as Markdown, and write it to `path` if one is given."""
        from robustxai.audit._report import report

        return _written(to_markdown(report(self)), path)

    def _repr_html_(self) -> str:
        from robustxai.audit._report import fragment

        return fragment(self)


def _written(text: str, path: str | Path | None) -> str:
    if path is not None:
        write_text(path, text)
    return text
