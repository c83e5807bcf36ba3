"""Figures: ``*Display`` objects in scikit-learn's convention (needs the extra ``plot``).

========================== ==============================================================================
``SaliencyDisplay``        a few rows: input, map, perturbed input and the map there, top-k units marked
``StabilityCurveDisplay``  P@k against epsilon, one line per model
``SmoothnessDisplay``      SSIM of explanations with SmoothGrad, per model
``ThicknessDisplay``       first flip against thickness and Hessian norm, per row
``ParetoDisplay``          two metrics of a search, and the front of its candidates
========================== ==============================================================================

Displays of results live where their columns come from: ``robustxai.benchmark.FrontierDisplay``, and those of
``robustxai.experiments``.
"""

from robustxai.inspection._pareto import ParetoDisplay
from robustxai.inspection._saliency import SaliencyDisplay
from robustxai.inspection._smoothness import SmoothnessDisplay
from robustxai.inspection._stability_curve import StabilityCurveDisplay
from robustxai.inspection._thickness import ThicknessDisplay

__all__ = [
    "ParetoDisplay",
    "SaliencyDisplay",
    "SmoothnessDisplay",
    "StabilityCurveDisplay",
    "ThicknessDisplay",
]
