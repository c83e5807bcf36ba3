"""Classifiers whose top-k explanations stay put: train them, attack them, measure them, prove them."""

from robustxai.classifiers import (
    AdversarialTrainingClassifier,
    ATEXClassifier,
    AttributionContrastClassifier,
    CertifiedR2ETClassifier,
    CrossLipschitzClassifier,
    EstimatedHessianClassifier,
    ExactHessianClassifier,
    ExplanationATClassifier,
    IGNormClassifier,
    LargeStepClassifier,
    LinearClassifier,
    MARTClassifier,
    R2ETClassifier,
    SoftplusClassifier,
    SSRClassifier,
    TRADESClassifier,
    VanillaClassifier,
    WeightDecayClassifier,
    retrain,
)

__version__ = "0.1.0"

__all__ = [
    "ATEXClassifier",
    "AdversarialTrainingClassifier",
    "AttributionContrastClassifier",
    "CertifiedR2ETClassifier",
    "CrossLipschitzClassifier",
    "EstimatedHessianClassifier",
    "ExactHessianClassifier",
    "ExplanationATClassifier",
    "IGNormClassifier",
    "LargeStepClassifier",
    "LinearClassifier",
    "MARTClassifier",
    "R2ETClassifier",
    "SSRClassifier",
    "SoftplusClassifier",
    "TRADESClassifier",
    "VanillaClassifier",
    "WeightDecayClassifier",
    "__version__",
    "retrain",
]
