"""Public estimators: each is its own hyper-parameters and the penalties that they weigh."""

from robustxai.classifiers._base import BaseExplainableClassifier
from robustxai.classifiers._estimated_hessian import EstimatedHessianClassifier
from robustxai.classifiers._linear import LinearClassifier
from robustxai.classifiers._r2et import R2ETClassifier
from robustxai.classifiers._retrain import retrain
from robustxai.classifiers._softplus import SoftplusClassifier
from robustxai.classifiers._vanilla import VanillaClassifier
from robustxai.classifiers._weight_decay import WeightDecayClassifier

__all__ = [
    "BaseExplainableClassifier",
    "EstimatedHessianClassifier",
    "LinearClassifier",
    "R2ETClassifier",
    "SoftplusClassifier",
    "VanillaClassifier",
    "WeightDecayClassifier",
    "retrain",
]
