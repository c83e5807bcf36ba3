"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

__all__ = ["markdown_table"]


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table of texts, written by pandas.

    Parameters
    ----------
    headings : sequence of str
        One for each column; several columns may share one.
    rows : iterable of sequence of str
        Cells of each row, as they are to appear.

    Returns
    -------
    str
        Lines without padding, so that a change of one cell changes one line.
    """
    table = pd.DataFrame(list(rows), columns=list(headings), dtype=str)
    text: str = table.to_markdown(index=False, tablefmt="github", disable_numparse=True, stralign=None)
    return text
