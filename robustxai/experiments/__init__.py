"""Experiments that reproduce papers and the library's own evidence, one folder each.

=================== ==================================================================================
``r2et``            *Robust ranking explanations* (Chen et al., 2023): tables, images, pairs, graphs
``atex``            *Defense against explanation manipulation* (Tang et al., 2021): tables, images
``bracket``         certified P@k <= true P@k <= attacked P@k, on real tables
``columns``         contributions of raw columns; ``robustxai benchmark --units columns``
``attack_strength`` the ensemble against a search per pair; ``python -m robustxai.experiments.attack_strength``
``default_epochs``  evidence for ``max_epochs="auto"``; ``python -m robustxai.experiments.default_epochs``
=================== ==================================================================================

A folder has its cells, its tables, the published figures and its displays. This module exports what a rerun needs.
"""

from robustxai.experiments.atex import (
    ATEXEfficacy,
    ATEXFigure4,
    ATEXImages,
    EfficacyDisplay,
    atex_images_markdown,
    atex_images_summary,
    efficacy_markdown,
)
from robustxai.experiments.bracket import Bracket, BracketDisplay, bracket_markdown
from robustxai.experiments.r2et import (
    CandidatesDisplay,
    R2ETPaper,
    R2ETShapes,
    paper_markdown,
    shapes_markdown,
    shapes_summary,
)

__all__ = [
    "ATEXEfficacy",
    "ATEXFigure4",
    "ATEXImages",
    "Bracket",
    "BracketDisplay",
    "CandidatesDisplay",
    "EfficacyDisplay",
    "R2ETPaper",
    "R2ETShapes",
    "atex_images_markdown",
    "atex_images_summary",
    "bracket_markdown",
    "efficacy_markdown",
    "paper_markdown",
    "shapes_markdown",
    "shapes_summary",
]
