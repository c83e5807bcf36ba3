"""Metrics of explanations and of the predictions behind them.

Every metric returns one value per sample, an array of shape (n_samples,), so that certified, true and attacked values
can be compared sample by sample; only ``roc_auc``, ``adversarial_auc``, ``flip_correlation`` and those of
individuality (``between_rows_precision``, ``distinct_top_k_sets``, ``commonest_top_k_share``) are about all samples
together. Those up to ``chance_corrected_precision`` are about explanations, and ``flip_correlation`` compares two
metrics; the others take a fitted estimator, which is any object with the attributes that they name.

============================== =================================================================================
``precision_at_k``             share of the top-k set that two explanations have in common
``top_k_intersection``         the same number, by its name in ATEX
``spearman_correlation``       correlation of the ranks of all units
``kendall_correlation``        surplus of pairs of units that keep their order
``cosine_similarity``          angle between two explanations
``ssim``                       structural similarity of two saliency maps
``center_of_mass_distance``    pixels by which a saliency map has moved
``first_flip_iteration``       attack steps until the top-k set changes
``between_rows_precision``     expected P@k between the explanations of two different rows
``distinct_top_k_sets``        how many different top-k sets the rows have
``commonest_top_k_share``      share of the rows that have the commonest of them
``chance_corrected_precision`` P@k on the scale on which another row's explanation scores 0
``ranking_thickness``          probability that a top-k unit stays above the rest around x
``relaxed_thickness``          mean gap between a top-k unit and the rest around x
``thickness_bounds``           bounds of the relaxed thickness from gap and curvature
``hessian_norm``               norm of the derivative of the attribution
``gamma_stability``            largest distance of the attribution from its own positive multiples
``comprehensiveness``          change of the prediction without the top-k units
``sufficiency``                change of the prediction with only the top-k units
``decision_flip_fraction``     share of units to remove before the decision flips
``prediction_sensitivity``     change of the predicted class's probability under attack
``prediction_change``          whether the predicted class changed under attack
``roc_auc``                    area under the ROC curve
``adversarial_auc``            the same at attacked inputs
``flip_correlation``           correlation of the first flip with thickness, or with another metric
============================== =================================================================================
"""

from robustxai.metrics._center_of_mass import center_of_mass_distance
from robustxai.metrics._cosine import cosine_similarity
from robustxai.metrics._faithfulness import comprehensiveness, decision_flip_fraction, sufficiency
from robustxai.metrics._first_flip import first_flip_iteration
from robustxai.metrics._flip_correlation import FlipCorrelation, flip_correlation
from robustxai.metrics._gamma_stability import gamma_stability
from robustxai.metrics._hessian_norm import hessian_norm
from robustxai.metrics._individuality import (
    between_rows_precision,
    chance_corrected_precision,
    commonest_top_k_share,
    distinct_top_k_sets,
)
from robustxai.metrics._kendall import kendall_correlation
from robustxai.metrics._precision_at_k import precision_at_k
from robustxai.metrics._prediction import adversarial_auc, prediction_change, prediction_sensitivity, roc_auc
from robustxai.metrics._spearman import spearman_correlation
from robustxai.metrics._ssim import ssim
from robustxai.metrics._thickness import ranking_thickness, relaxed_thickness
from robustxai.metrics._thickness_bounds import thickness_bounds
from robustxai.metrics._top_k_intersection import top_k_intersection

__all__ = [
    "FlipCorrelation",
    "adversarial_auc",
    "between_rows_precision",
    "center_of_mass_distance",
    "chance_corrected_precision",
    "commonest_top_k_share",
    "comprehensiveness",
    "cosine_similarity",
    "decision_flip_fraction",
    "distinct_top_k_sets",
    "first_flip_iteration",
    "flip_correlation",
    "gamma_stability",
    "hessian_norm",
    "kendall_correlation",
    "precision_at_k",
    "prediction_change",
    "prediction_sensitivity",
    "ranking_thickness",
    "relaxed_thickness",
    "roc_auc",
    "spearman_correlation",
    "ssim",
    "sufficiency",
    "thickness_bounds",
    "top_k_intersection",
]
