"""Experiments as data: which defences, attacks, tables and seeds; run, resumed, and put into tables."""

from robustxai.benchmark._atex_efficacy import (
    ARMS,
    ATEXEfficacy,
    EfficacyCell,
    efficacy_markdown,
    run_efficacy_cell,
)
from robustxai.benchmark._bracket import Bracket, BracketCell, bracket_markdown, bracket_summary, run_bracket_cell
from robustxai.benchmark._cell import Cell, run_cell
from robustxai.benchmark._experiment import Experiment, run_cells, run_experiment
from robustxai.benchmark._r2et_methods import METHODS
from robustxai.benchmark._r2et_paper import R2ETPaper, Study, figure_of_merit
from robustxai.benchmark._r2et_tables import paper_markdown, reference_aucs
from robustxai.benchmark._registry import ATTACKS, DATA, DEFENCES, STANDARD_ATTACKS, STANDARD_DEFENCES
from robustxai.benchmark._table import summarise, to_markdown, write_tables

__all__ = [
    "ARMS",
    "ATTACKS",
    "DATA",
    "DEFENCES",
    "METHODS",
    "STANDARD_ATTACKS",
    "STANDARD_DEFENCES",
    "ATEXEfficacy",
    "Bracket",
    "BracketCell",
    "Cell",
    "EfficacyCell",
    "Experiment",
    "R2ETPaper",
    "Study",
    "bracket_markdown",
    "bracket_summary",
    "efficacy_markdown",
    "figure_of_merit",
    "paper_markdown",
    "reference_aucs",
    "run_bracket_cell",
    "run_cell",
    "run_cells",
    "run_efficacy_cell",
    "run_experiment",
    "summarise",
    "to_markdown",
    "write_tables",
]
