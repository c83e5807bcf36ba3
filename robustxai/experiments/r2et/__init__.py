"""*Robust ranking explanations* (Chen et al., 2023): tables, images, pairs and graphs."""

from robustxai.experiments.r2et._candidates import CandidatesDisplay
from robustxai.experiments.r2et._comparison import comparisons_markdown
from robustxai.experiments.r2et._flip_cell import FlipCell, run_flip_cell
from robustxai.experiments.r2et._flips_display import FlipsDisplay
from robustxai.experiments.r2et._methods import METHODS
from robustxai.experiments.r2et._paper import R2ETPaper, Study, figure_of_merit
from robustxai.experiments.r2et._published import PUBLISHED
from robustxai.experiments.r2et._shape_data import SHAPES
from robustxai.experiments.r2et._shape_published import PUBLISHED_SHAPES
from robustxai.experiments.r2et._shape_tables import shapes_markdown, shapes_summary
from robustxai.experiments.r2et._shapes import SHAPE_METHODS, R2ETShapes, ShapeCell, run_shape_cell
from robustxai.experiments.r2et._tables import paper_markdown, reference_aucs

__all__ = [
    "METHODS",
    "PUBLISHED",
    "PUBLISHED_SHAPES",
    "SHAPES",
    "SHAPE_METHODS",
    "CandidatesDisplay",
    "FlipCell",
    "FlipsDisplay",
    "R2ETPaper",
    "R2ETShapes",
    "ShapeCell",
    "Study",
    "comparisons_markdown",
    "figure_of_merit",
    "paper_markdown",
    "reference_aucs",
    "run_flip_cell",
    "run_shape_cell",
    "shapes_markdown",
    "shapes_summary",
]
