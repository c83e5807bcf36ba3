"""Differentiable attributions, one a file: ``explainer(module, x, target) -> attribution`` shaped like x."""

from robustxai.explainers._base import EXPLAINERS, Explainer, resolve_explainer
from robustxai.explainers._gradient import Gradient

__all__ = ["EXPLAINERS", "Explainer", "Gradient", "resolve_explainer"]
