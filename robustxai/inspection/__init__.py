"""Figures: ``*Display`` objects in scikit-learn's convention (needs the extra ``plot``)."""

from robustxai.inspection._bracket import BracketDisplay
from robustxai.inspection._candidates import CandidatesDisplay
from robustxai.inspection._efficacy import EfficacyDisplay
from robustxai.inspection._frontier import FrontierDisplay
from robustxai.inspection._pareto import ParetoDisplay
from robustxai.inspection._thickness import ThicknessDisplay

__all__ = [
    "BracketDisplay",
    "CandidatesDisplay",
    "EfficacyDisplay",
    "FrontierDisplay",
    "ParetoDisplay",
    "ThicknessDisplay",
]
