"""*Defense against explanation manipulation* (Tang et al., 2021): efficacy on tables, stability on images."""

from robustxai.experiments.atex._efficacy import (
    ARMS,
    ATEXEfficacy,
    EfficacyCell,
    run_efficacy_cell,
)
from robustxai.experiments.atex._efficacy_display import EfficacyDisplay
from robustxai.experiments.atex._efficacy_tables import efficacy_markdown
from robustxai.experiments.atex._images import EPSILONS, IMAGE_ATTACKS, ATEXImages, ImageCell, run_image_cell
from robustxai.experiments.atex._images_models import IMAGE_ARMS, SIZES, TOP_K, Size
from robustxai.experiments.atex._images_tables import PUBLISHED_IMAGES, atex_images_markdown

__all__ = [
    "ARMS",
    "EPSILONS",
    "IMAGE_ARMS",
    "IMAGE_ATTACKS",
    "PUBLISHED_IMAGES",
    "SIZES",
    "TOP_K",
    "ATEXEfficacy",
    "ATEXImages",
    "EfficacyCell",
    "EfficacyDisplay",
    "ImageCell",
    "Size",
    "atex_images_markdown",
    "efficacy_markdown",
    "run_efficacy_cell",
    "run_image_cell",
]
