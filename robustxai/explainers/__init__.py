"""Differentiable attributions, one per file: ``explainer(module, x, target) -> attribution`` shaped like x.

======================= ======================== ====================================================================
``Gradient``            "gradient" and others    the saliency map of the probability, log-odds, logit or loss
``GradientTimesInput``  "gradient_times_input"   the gradient times the input
``SmoothGrad``          "smooth_grad"            the gradient, averaged over fixed noise
``IntegratedGradients`` "integrated_gradients"   the mean gradient on the line from a baseline, times the difference
``CenteredGradient``    "centered_gradient"      the gradient without what one-hot groups leave free
``AutoGradient``        "auto"                   the gradient; on a table with one-hot groups the centered gradient
``ColumnContributions`` "column_contributions"   contributions summed over the features of each column of a table
``SwitchEffects``       "switch_effects"         the largest change by a switch of each column's category
``RelativeImportance``  "relative_importance"    shares abs(phi) / norm_1(phi) of another explainer
``captum_explainer``                             a method of Captum, for explaining and scoring, without a derivative
======================= ======================== ====================================================================

``TreeShap`` explains gradient-boosted trees of scikit-learn, in a :class:`robustxai.attacks.BlackBox`.
"""

from robustxai.engine import Score, score_gradient
from robustxai.explainers._auto_gradient import AutoGradient
from robustxai.explainers._captum import captum_explainer
from robustxai.explainers._centered_gradient import CenteredGradient
from robustxai.explainers._column_contributions import ColumnContributions
from robustxai.explainers._gradient import Gradient
from robustxai.explainers._gradient import log_odds as log_odds
from robustxai.explainers._gradient_times_input import GradientTimesInput
from robustxai.explainers._integrated_gradients import IntegratedGradients
from robustxai.explainers._registry import EXPLAINER as EXPLAINER
from robustxai.explainers._registry import EXPLAINERS
from robustxai.explainers._registry import attribution_shape as attribution_shape
from robustxai.explainers._registry import resolve_explainer as resolve_explainer
from robustxai.explainers._relative_importance import RelativeImportance
from robustxai.explainers._scaled import ExactAttribution, ScaledAttribution
from robustxai.explainers._scaled import scaled_attribution as scaled_attribution
from robustxai.explainers._smooth_grad import SmoothGrad
from robustxai.explainers._switch_effects import SwitchEffects
from robustxai.explainers._tree_shap import TreeShap
from robustxai.explainers._weighted_features import WeightedFeatures as WeightedFeatures
from robustxai.protocols import Explainer

__all__ = [
    "EXPLAINERS",
    "AutoGradient",
    "CenteredGradient",
    "ColumnContributions",
    "ExactAttribution",
    "Explainer",
    "Gradient",
    "GradientTimesInput",
    "IntegratedGradients",
    "RelativeImportance",
    "ScaledAttribution",
    "Score",
    "SmoothGrad",
    "SwitchEffects",
    "TreeShap",
    "captum_explainer",
    "score_gradient",
]
