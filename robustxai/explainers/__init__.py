"""Differentiable attributions, one a file: ``explainer(module, x, target) -> attribution`` shaped like x.

======================= ======================== ====================================================================
``Gradient``            "gradient" and others    the saliency map, of the probability, log-odds, logit or loss
``GradientTimesInput``  "gradient_times_input"   the same, times the input
``SmoothGrad``          "smooth_grad"            the gradient, averaged over fixed noise
``IntegratedGradients`` "integrated_gradients"   the gradient, averaged on the way from a baseline, times the way
``RelativeImportance``  "relative_importance"    another explainer's shares abs(phi) / norm_1(phi)
``captum_explainer``                             a method of Captum, to explain and to score: no derivative
======================= ======================== ====================================================================
"""

from robustxai.engine import Score, score_gradient
from robustxai.explainers._captum import captum_explainer
from robustxai.explainers._gradient import Gradient, log_odds
from robustxai.explainers._gradient_times_input import GradientTimesInput
from robustxai.explainers._integrated_gradients import IntegratedGradients
from robustxai.explainers._registry import EXPLAINER, EXPLAINERS, resolve_explainer
from robustxai.explainers._relative_importance import RelativeImportance
from robustxai.explainers._scaled import ExactAttribution, ScaledAttribution, scaled_attribution
from robustxai.explainers._smooth_grad import SmoothGrad
from robustxai.protocols import Explainer

__all__ = [
    "EXPLAINER",
    "EXPLAINERS",
    "ExactAttribution",
    "Explainer",
    "Gradient",
    "GradientTimesInput",
    "IntegratedGradients",
    "RelativeImportance",
    "ScaledAttribution",
    "Score",
    "SmoothGrad",
    "captum_explainer",
    "log_odds",
    "resolve_explainer",
    "scaled_attribution",
    "score_gradient",
]
