"""Figures: ``*Display`` objects in scikit-learn's convention (needs the extra ``plot``)."""

from robustxai.inspection._frontier import FrontierDisplay

__all__ = ["FrontierDisplay"]
