"""Experiments as data: which defenses, attacks, tables and seeds; run, resumed, and put into tables."""

from robustxai.benchmark._atex_efficacy import (
    ARMS,
    ATEXEfficacy,
    EfficacyCell,
    efficacy_markdown,
    run_efficacy_cell,
)
from robustxai.benchmark._atex_images import IMAGE_ATTACKS, ATEXImages, ImageCell, run_image_cell
from robustxai.benchmark._atex_images_models import IMAGE_ARMS, SIZES, Size
from robustxai.benchmark._atex_images_tables import atex_images_markdown
from robustxai.benchmark._base_cell import BaseCell
from robustxai.benchmark._bracket import Bracket, BracketCell, run_bracket_cell
from robustxai.benchmark._bracket_tables import bracket_markdown, bracket_summary
from robustxai.benchmark._cell import Cell, run_cell
from robustxai.benchmark._experiment import Experiment, run_cells, run_experiment
from robustxai.benchmark._r2et_methods import METHODS
from robustxai.benchmark._r2et_paper import R2ETPaper, Study, figure_of_merit
from robustxai.benchmark._r2et_shapes import SHAPE_METHODS, R2ETShapes, ShapeCell, run_shape_cell
from robustxai.benchmark._r2et_tables import paper_markdown, reference_aucs
from robustxai.benchmark._registry import ATTACKS, DATA, DEFENSES, STANDARD_ATTACKS, STANDARD_DEFENSES
from robustxai.benchmark._shape_data import SHAPES
from robustxai.benchmark._shape_tables import shapes_markdown
from robustxai.benchmark._table import summarize, to_markdown, write_tables
from robustxai.benchmark._user_table import UserTable

__all__ = [
    "ARMS",
    "ATTACKS",
    "DATA",
    "DEFENSES",
    "IMAGE_ARMS",
    "IMAGE_ATTACKS",
    "METHODS",
    "SHAPES",
    "SHAPE_METHODS",
    "SIZES",
    "STANDARD_ATTACKS",
    "STANDARD_DEFENSES",
    "ATEXEfficacy",
    "ATEXImages",
    "BaseCell",
    "Bracket",
    "BracketCell",
    "Cell",
    "EfficacyCell",
    "Experiment",
    "ImageCell",
    "R2ETPaper",
    "R2ETShapes",
    "ShapeCell",
    "Size",
    "Study",
    "UserTable",
    "atex_images_markdown",
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
    "run_image_cell",
    "run_shape_cell",
    "shapes_markdown",
    "summarize",
    "to_markdown",
    "write_tables",
]
