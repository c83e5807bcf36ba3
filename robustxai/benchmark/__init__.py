"""Experiments as data: which defences, attacks, tables and seeds; run, resumed, and put into tables."""

from robustxai.benchmark._cell import Cell, run_cell
from robustxai.benchmark._experiment import Experiment, run_experiment
from robustxai.benchmark._registry import ATTACKS, DATA, DEFENCES
from robustxai.benchmark._table import summarise, to_markdown, write_tables

__all__ = [
    "ATTACKS",
    "DATA",
    "DEFENCES",
    "Cell",
    "Experiment",
    "run_cell",
    "run_experiment",
    "summarise",
    "to_markdown",
    "write_tables",
]
