"""Classifiers whose top-k explanations stay put: train them, attack them, measure them, prove them."""

from robustxai.classifiers import (
    AdversarialTrainingClassifier,
    ATEXClassifier,
    CertifiedR2ETClassifier,
    CrossLipschitzClassifier,
    EstimatedHessianClassifier,
    ExactHessianClassifier,
    ExplanationATClassifier,
    IGNormClassifier,
    LinearClassifier,
    R2ETClassifier,
    SoftplusClassifier,
    SSRClassifier,
    VanillaClassifier,
    WeightDecayClassifier,
    retrain,
)

__version__ = "0.1.0"

__all__ = [
    "ATEXClassifier",
    "AdversarialTrainingClassifier",
    "CertifiedR2ETClassifier",
    "CrossLipschitzClassifier",
    "EstimatedHessianClassifier",
    "ExactHessianClassifier",
    "ExplanationATClassifier",
    "IGNormClassifier",
    "LinearClassifier",
    "R2ETClassifier",
    "SSRClassifier",
    "SoftplusClassifier",
    "VanillaClassifier",
    "WeightDecayClassifier",
    "__version__",
    "retrain",
]
