"""Fitted models of scikit-learn, skorch and torch as classifiers that explain themselves.

``as_explainable`` rebuilds a linear model or a multi-layer perceptron as the same function in torch, checks that the
probabilities are equal, and gives it an explanation. Attacks, certificates, metrics and reasons take the models of
scikit-learn as they are and convert them in the same way.
"""

from robustxai._models import convert_by
from robustxai.conversion._as_explainable import as_explainable
from robustxai.conversion._automatic import converted
from robustxai.conversion._converted import ConvertedClassifier
from robustxai.conversion._outputs import LogProbabilities as LogProbabilities
from robustxai.conversion._outputs import TwoLogits as TwoLogits

# "as" marks names for other folders of the library, which are not part of the public interface
__all__ = ["ConvertedClassifier", "as_explainable"]

convert_by(converted)
