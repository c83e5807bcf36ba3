"""Classifiers whose top-k explanations stay put: train them, attack them, measure them, prove them."""

from robustxai._ensemble import attacked_precision as _attacked_precision
from robustxai._ensemble import certified_precision as _certified_precision
from robustxai.classifiers import (
    AdversarialTrainingClassifier,
    ARTClassifier,
    ATEXClassifier,
    AttributionContrastClassifier,
    CertifiedR2ETClassifier,
    CrossLipschitzClassifier,
    EstimatedHessianClassifier,
    ExactHessianClassifier,
    ExplanationATClassifier,
    FARClassifier,
    IGNormClassifier,
    IGRClassifier,
    LargeStepClassifier,
    LinearClassifier,
    MapDiscrepancyClassifier,
    MARTClassifier,
    R2ETClassifier,
    SoftplusClassifier,
    SSRClassifier,
    TRADESClassifier,
    VanillaClassifier,
    WeightDecayClassifier,
    retrain,
)
from robustxai.classifiers import measure_with as _measure_with
from robustxai.conversion import as_explainable
from robustxai.exporting import export_onnx
from robustxai.saving import load, save

_measure_with(_attacked_precision, _certified_precision)

__version__ = "0.1.0"

__all__ = [
    "ARTClassifier",
    "ATEXClassifier",
    "AdversarialTrainingClassifier",
    "AttributionContrastClassifier",
    "CertifiedR2ETClassifier",
    "CrossLipschitzClassifier",
    "EstimatedHessianClassifier",
    "ExactHessianClassifier",
    "ExplanationATClassifier",
    "FARClassifier",
    "IGNormClassifier",
    "IGRClassifier",
    "LargeStepClassifier",
    "LinearClassifier",
    "MARTClassifier",
    "MapDiscrepancyClassifier",
    "R2ETClassifier",
    "SSRClassifier",
    "SoftplusClassifier",
    "TRADESClassifier",
    "VanillaClassifier",
    "WeightDecayClassifier",
    "__version__",
    "as_explainable",
    "export_onnx",
    "load",
    "retrain",
    "save",
]
