"""The bracket: certified P@k <= true P@k <= attacked P@k, row by row, on real tables."""

from robustxai.experiments.bracket._bracket import Bracket, BracketCell, run_bracket_cell
from robustxai.experiments.bracket._display import BracketDisplay
from robustxai.experiments.bracket._tables import bracket_markdown, bracket_summary

__all__ = [
    "Bracket",
    "BracketCell",
    "BracketDisplay",
    "bracket_markdown",
    "bracket_summary",
    "run_bracket_cell",
]
