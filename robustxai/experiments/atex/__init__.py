"""*Defense against explanation manipulation* (Tang et al., 2021): efficacy on tables, stability on images."""

from robustxai.experiments.atex._efficacy import (
    ARMS,
    ATEXEfficacy,
    EfficacyCell,
    run_efficacy_cell,
)
from robustxai.experiments.atex._efficacy_display import EfficacyDisplay
from robustxai.experiments.atex._efficacy_images import (
    FIGURE_4_ARMS,
    FIGURE_4_SIZES,
    ATEXFigure4,
    Figure4Cell,
    Figure4Size,
    run_figure_4_cell,
)
from robustxai.experiments.atex._efficacy_tables import efficacy_markdown
from robustxai.experiments.atex._images import EPSILONS, IMAGE_ATTACKS, ATEXImages, ImageCell, run_image_cell
from robustxai.experiments.atex._images_models import IMAGE_ARMS, SIZES, TOP_K, Size
from robustxai.experiments.atex._images_tables import (
    IMAGE_LABELS,
    PUBLISHED_IMAGES,
    atex_images_markdown,
    atex_images_summary,
    image_curves,
)

__all__ = [
    "ARMS",
    "EPSILONS",
    "FIGURE_4_ARMS",
    "FIGURE_4_SIZES",
    "IMAGE_ARMS",
    "IMAGE_ATTACKS",
    "IMAGE_LABELS",
    "PUBLISHED_IMAGES",
    "SIZES",
    "TOP_K",
    "ATEXEfficacy",
    "ATEXFigure4",
    "ATEXImages",
    "EfficacyCell",
    "EfficacyDisplay",
    "Figure4Cell",
    "Figure4Size",
    "ImageCell",
    "Size",
    "atex_images_markdown",
    "atex_images_summary",
    "efficacy_markdown",
    "image_curves",
    "run_efficacy_cell",
    "run_figure_4_cell",
    "run_image_cell",
]
