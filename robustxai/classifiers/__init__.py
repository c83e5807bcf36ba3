"""Classifiers: one class per defense, with its hyper-parameters and the penalties that they weight."""

from robustxai.classifiers._adversarial_training import AdversarialTrainingClassifier
from robustxai.classifiers._art import ARTClassifier
from robustxai.classifiers._atex import ATEXClassifier
from robustxai.classifiers._attribution_contrast import AttributionContrastClassifier
from robustxai.classifiers._base import BaseExplainableClassifier
from robustxai.classifiers._certified_r2et import CertifiedR2ETClassifier
from robustxai.classifiers._copy import copy_with_modules as copy_with_modules
from robustxai.classifiers._cross_lipschitz import CrossLipschitzClassifier
from robustxai.classifiers._device import DEVICE as DEVICE
from robustxai.classifiers._device import resolve_device as resolve_device
from robustxai.classifiers._estimated_hessian import EstimatedHessianClassifier
from robustxai.classifiers._exact_hessian import ExactHessianClassifier
from robustxai.classifiers._explaining import ExplainingMixin as ExplainingMixin
from robustxai.classifiers._explanation_at import ExplanationATClassifier
from robustxai.classifiers._facts import known_facts as known_facts
from robustxai.classifiers._far import FARClassifier
from robustxai.classifiers._ig_norm import IGNormClassifier
from robustxai.classifiers._igr import IGRClassifier
from robustxai.classifiers._large_step import LargeStepClassifier
from robustxai.classifiers._linear import LinearClassifier
from robustxai.classifiers._map_discrepancy import MapDiscrepancyClassifier
from robustxai.classifiers._mart import MARTClassifier
from robustxai.classifiers._measurement import measure_with as measure_with
from robustxai.classifiers._net import unwrapped as unwrapped
from robustxai.classifiers._r2et import R2ETClassifier
from robustxai.classifiers._retrain import retrain
from robustxai.classifiers._softplus import SoftplusClassifier
from robustxai.classifiers._ssr import SSRClassifier
from robustxai.classifiers._trades import TRADESClassifier
from robustxai.classifiers._vanilla import VanillaClassifier
from robustxai.classifiers._weight_decay import WeightDecayClassifier

# "as" marks names for other folders of the library, which are not part of the public interface
__all__ = [
    "ARTClassifier",
    "ATEXClassifier",
    "AdversarialTrainingClassifier",
    "AttributionContrastClassifier",
    "BaseExplainableClassifier",
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
    "retrain",
]
