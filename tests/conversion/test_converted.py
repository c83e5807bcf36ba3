import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks
from skorch import NeuralNetClassifier
from torch import nn

from robustxai import as_explainable
from robustxai.conversion import ConvertedClassifier

from .test_as_explainable import TWO, X, Y, fit


@parametrize_with_checks([ConvertedClassifier(LogisticRegression())])
def test_it_is_a_classifier_of_scikit_learn(estimator, check):
    check(estimator)


def test_a_fit_is_that_of_the_model():
    model = MLPClassifier((5,), max_iter=3, random_state=0)
    clf = ConvertedClassifier(model)
    fit(clf, X, Y)
    fit(model, X, Y)
    np.testing.assert_allclose(clf.predict_proba(X), model.predict_proba(X), atol=1e-9)
    assert clf.estimator_ is not model
    again = clone(clf)
    assert not hasattr(again, "estimator_")
    assert again.get_params()["estimator__hidden_layer_sizes"] == (5,)


def test_its_model_can_be_searched():
    search = GridSearchCV(ConvertedClassifier(LogisticRegression()), {"estimator__C": [1e-4, 1.0]}, cv=2).fit(X, TWO)
    plain = GridSearchCV(LogisticRegression(), {"C": [1e-4, 1.0]}, cv=2).fit(X, TWO)
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"])
    np.testing.assert_allclose(search.best_estimator_.explain(X[:3]), as_explainable(plain).explain(X[:3]))


def test_sample_weights_reach_the_model():
    weights = np.linspace(0, 1, len(X))
    clf = ConvertedClassifier(LogisticRegression()).fit(X, TWO, sample_weight=weights)
    plain = LogisticRegression().fit(X, TWO, sample_weight=weights)
    np.testing.assert_allclose(clf.predict_proba(X), plain.predict_proba(X), atol=1e-12)


def test_a_skorch_net_is_fitted_and_a_module_is_not():
    net = NeuralNetClassifier(
        nn.Linear, module__in_features=4, module__out_features=3, criterion=nn.CrossEntropyLoss, max_epochs=1, verbose=0
    )
    clf = ConvertedClassifier(net).fit(X.astype(np.float32), Y)
    np.testing.assert_allclose(clf.predict_proba(X), clf.estimator_.predict_proba(X.astype(np.float32)), atol=1e-6)
    with pytest.raises(TypeError, match="Linear has no fit"):
        ConvertedClassifier(nn.Linear(4, 3)).fit(X, Y)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda clf: pickle.loads(pickle.dumps(clf))])
def test_copies_are_equal(copied):
    clf = as_explainable(LogisticRegression().fit(X, TWO), X, explainer="log_odds_gradient")
    other = copied(clf)
    np.testing.assert_array_equal(other.predict_proba(X), clf.predict_proba(X))
    np.testing.assert_array_equal(other.explain(X), clf.explain(X))
    assert other.module_ is not clf.module_


def test_explainer_and_device_take_effect_at_once_and_wrong_ones_are_refused():
    clf = as_explainable(LogisticRegression().fit(X, TWO), X)
    clf.set_params(explainer="log_odds_gradient", device="cpu")
    np.testing.assert_allclose(clf.explain(X[:1], "yes"), clf.estimator_.coef_)
    assert clf.device_ == torch.device("cpu")
    with pytest.raises(ValueError, match="no torch device"):
        clf.set_params(device="abacus")
    with pytest.raises(ValueError, match="explainer"):
        clf.set_params(explainer="none")
    assert clf.device == "cpu"
