"""Experiments as data: which defences, attacks, tables and seeds; run, resumed, and put into tables."""

from robustxai.benchmark._cell import Cell, run_cell
from robustxai.benchmark._experiment import Experiment, run_cells, run_experiment
from robustxai.benchmark._paper import METHODS, R2ETPaper, figure_of_merit, paper_markdown
from robustxai.benchmark._registry import ATTACKS, DATA, DEFENCES, STANDARD_ATTACKS, STANDARD_DEFENCES
from robustxai.benchmark._table import summarise, to_markdown, write_tables

__all__ = [
    "ATTACKS",
    "DATA",
    "DEFENCES",
    "METHODS",
    "STANDARD_ATTACKS",
    "STANDARD_DEFENCES",
    "Cell",
    "Experiment",
    "R2ETPaper",
    "figure_of_merit",
    "paper_markdown",
    "run_cell",
    "run_cells",
    "run_experiment",
    "summarise",
    "to_markdown",
    "write_tables",
]
