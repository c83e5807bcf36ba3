"""Benchmarks as data: defenses, attacks, tables and seeds; run, resumed, and put into tables."""

from robustxai.benchmark._base_cell import BaseCell
from robustxai.benchmark._cell import PART as PART
from robustxai.benchmark._cell import Cell, run_cell
from robustxai.benchmark._cell import Params as Params
from robustxai.benchmark._cell import fit_model as fit_model
from robustxai.benchmark._cell import prepare_rows as prepare_rows
from robustxai.benchmark._cell import with_warnings as with_warnings
from robustxai.benchmark._comparison import compare_methods
from robustxai.benchmark._comparison import comparison_markdown as comparison_markdown
from robustxai.benchmark._critical_difference import CriticalDifferenceDisplay
from robustxai.benchmark._data_content import library_content as library_content
from robustxai.benchmark._data_content import stored_content as stored_content
from robustxai.benchmark._experiment import Experiment, run_cells, run_experiment
from robustxai.benchmark._explanation import EXPLAINED_BY as EXPLAINED_BY
from robustxai.benchmark._explanation import STANDARD_EXPLAINERS
from robustxai.benchmark._explanation import TRAINED_ON as TRAINED_ON
from robustxai.benchmark._explanation import explainer_for as explainer_for
from robustxai.benchmark._explanation import own_explainer as own_explainer
from robustxai.benchmark._frontier import FrontierDisplay
from robustxai.benchmark._registry import ATTACKS, DATA, DEFENSES, STANDARD_ATTACKS, STANDARD_DEFENSES
from robustxai.benchmark._table import COLUMNS as COLUMNS
from robustxai.benchmark._table import by_explanation as by_explanation
from robustxai.benchmark._table import comparisons as comparisons
from robustxai.benchmark._table import ranked_markdown, summarize, to_markdown, write_tables
from robustxai.benchmark._user_table import TABLES as TABLES
from robustxai.benchmark._user_table import Data as Data
from robustxai.benchmark._user_table import UserTable
from robustxai.benchmark._user_table import announce as announce
from robustxai.benchmark._user_table import identity as identity
from robustxai.benchmark._user_table import is_file as is_file
from robustxai.benchmark._user_table import key as key
from robustxai.benchmark._user_table import load as load
from robustxai.benchmark._user_table import stem as stem

# "as" marks names for robustxai.experiments and the command line, which are not part of the public interface
__all__ = [
    "ATTACKS",
    "DATA",
    "DEFENSES",
    "STANDARD_ATTACKS",
    "STANDARD_DEFENSES",
    "STANDARD_EXPLAINERS",
    "BaseCell",
    "Cell",
    "CriticalDifferenceDisplay",
    "Experiment",
    "FrontierDisplay",
    "UserTable",
    "compare_methods",
    "ranked_markdown",
    "run_cell",
    "run_cells",
    "run_experiment",
    "summarize",
    "to_markdown",
    "write_tables",
]
