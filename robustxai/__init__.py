"""Classifiers whose top-k explanations stay put: train them, attack them, measure them, prove them."""

from robustxai.classifiers import (
    EstimatedHessianClassifier,
    LinearClassifier,
    R2ETClassifier,
    SoftplusClassifier,
    VanillaClassifier,
    WeightDecayClassifier,
    retrain,
)

__version__ = "0.1.0"

__all__ = [
    "EstimatedHessianClassifier",
    "LinearClassifier",
    "R2ETClassifier",
    "SoftplusClassifier",
    "VanillaClassifier",
    "WeightDecayClassifier",
    "__version__",
    "retrain",
]
