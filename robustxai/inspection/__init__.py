"""Figures: ``*Display`` objects in scikit-learn's convention (needs the extra ``plot``).

Of models, attacked or explained here and now:

========================== ==============================================================================
``SaliencyDisplay``        a few rows: input, map, perturbed input and the map there, top-k units marked
``StabilityCurveDisplay``  P@k against epsilon, one line per model
``SmoothnessDisplay``      SSIM of explanations with SmoothGrad, per model
``ThicknessDisplay``       first flip against thickness and Hessian norm, per row (also from a benchmark)
========================== ==============================================================================

Of results of a search or a benchmark:

========================== ==============================================================================
``ParetoDisplay``          what one metric of a search costs in another
``CandidatesDisplay``      AUC against P@k for every candidate of every method
``FrontierDisplay``        AUC against P@k, one point per defense
``BracketDisplay``         certified and attacked P@k against epsilon
``EfficacyDisplay``        FGSM accuracy after adversarial training against the iterations before it
========================== ==============================================================================
"""

from robustxai.inspection._bracket import BracketDisplay
from robustxai.inspection._candidates import CandidatesDisplay
from robustxai.inspection._efficacy import EfficacyDisplay
from robustxai.inspection._frontier import FrontierDisplay
from robustxai.inspection._pareto import ParetoDisplay
from robustxai.inspection._saliency import SaliencyDisplay
from robustxai.inspection._smoothness import SmoothnessDisplay
from robustxai.inspection._stability_curve import StabilityCurveDisplay
from robustxai.inspection._thickness import ThicknessDisplay

__all__ = [
    "BracketDisplay",
    "CandidatesDisplay",
    "EfficacyDisplay",
    "FrontierDisplay",
    "ParetoDisplay",
    "SaliencyDisplay",
    "SmoothnessDisplay",
    "StabilityCurveDisplay",
    "ThicknessDisplay",
]
