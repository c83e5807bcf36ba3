import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Perceptron, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from torch import nn

from robustxai import VanillaClassifier, as_explainable
from robustxai.attacks import BlackBox
from robustxai.conversion import ConvertedClassifier

X, Y = load_iris(return_X_y=True)
TWO = np.where(Y == 1, "yes", "no")
ACTIVATIONS = ("identity", "logistic", "tanh", "relu")


def perceptron(**params):
    return MLPClassifier(**{"hidden_layer_sizes": (6, 4), "max_iter": 40, "random_state": 0, **params})


def fit(model, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)


MODELS = {
    "lbfgs": LogisticRegression(max_iter=300),
    "sgd": SGDClassifier("log_loss", random_state=0),
    "one against the rest": OneVsRestClassifier(LogisticRegression(solver="liblinear")),
    "discriminant": LinearDiscriminantAnalysis(),
    **{f"perceptron, {activation}": perceptron(activation=activation) for activation in ACTIVATIONS},
    "perceptron without a hidden layer": perceptron(hidden_layer_sizes=()),
}


@pytest.mark.parametrize("y", [Y, TWO], ids=["three", "two"])
@pytest.mark.parametrize("name", MODELS)
def test_probabilities_and_labels_are_those_of_the_model(name, y):
    model = fit(MODELS[name], X, y)
    clf = as_explainable(model, X)
    np.testing.assert_allclose(clf.predict_proba(X), model.predict_proba(X), rtol=0, atol=1e-9)
    np.testing.assert_array_equal(clf.predict(X), model.predict(X))
    np.testing.assert_array_equal(clf.classes_, model.classes_)
    assert next(clf.module_.parameters()).dtype == torch.float64


def test_liblinear_of_two_classes_is_one_sigmoid():
    model = LogisticRegression(solver="liblinear").fit(X, TWO)
    np.testing.assert_allclose(as_explainable(model).predict_proba(X), model.predict_proba(X), rtol=0, atol=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_of_log_odds_are_those_of_differences_of_the_models_own(activation):
    model = fit(perceptron(activation=activation), X, TWO)
    found = as_explainable(model, X, explainer="log_odds_gradient").explain(X[:20], "yes")
    step, expected = 1e-6, np.empty((20, 4))
    for j in range(4):
        up, down = X[:20].copy(), X[:20].copy()
        up[:, j] += step
        down[:, j] -= step
        p, q = model.predict_proba(up), model.predict_proba(down)
        expected[:, j] = (np.log(p[:, 1] / p[:, 0]) - np.log(q[:, 1] / q[:, 0])) / (2 * step)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_the_gradient_of_the_log_odds_of_logistic_regression_is_its_coefficients():
    model = LogisticRegression().fit(X, TWO)
    found = as_explainable(model, explainer="log_odds_gradient").explain(X, "yes")
    np.testing.assert_allclose(found, np.broadcast_to(model.coef_, X.shape), rtol=1e-12)


def test_weights_in_sparse_form_and_sparse_rows_are_taken():
    model = SGDClassifier("log_loss", penalty="l1", random_state=0).fit(X, Y)
    expected = model.predict_proba(X)
    clf = as_explainable(model.sparsify(), sparse.csr_matrix(X))
    np.testing.assert_allclose(clf.predict_proba(sparse.csr_matrix(X)), expected, atol=1e-9)
    np.testing.assert_allclose(clf.explain(sparse.csr_matrix(X)), clf.explain(X))


def test_a_pipeline_keeps_its_other_steps():
    frame = pd.DataFrame(X, columns=list("abcd")).assign(kind=np.where(X[:, 0] > 5.5, "long", "short"))
    steps = make_column_transformer((OneHotEncoder(), ["kind"]), remainder=StandardScaler(), sparse_threshold=1)
    pipe = make_pipeline(steps, LogisticRegression()).fit(frame, Y)
    converted = as_explainable(pipe, frame)
    assert isinstance(converted, Pipeline)
    assert converted[0] is pipe[0]
    assert list(converted.named_steps) == list(pipe.named_steps)
    np.testing.assert_allclose(converted.predict_proba(frame), pipe.predict_proba(frame), atol=1e-12)
    assert converted[-1].table_summary_.baseline.shape == (6,)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        converted[-1].explain(pipe[:-1].transform(frame))


def test_searches_and_frozen_estimators_are_looked_into():
    search = GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": [0.1, 1]})
    search.fit(X, Y)
    inside = make_pipeline(FrozenEstimator(search.best_estimator_)).fit(X, Y)
    for model in (search, FrozenEstimator(search), inside):
        np.testing.assert_allclose(as_explainable(model, X).predict_proba(X), search.predict_proba(X), atol=1e-12)


def test_rows_give_the_typical_row_and_names():
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = LogisticRegression(max_iter=300).fit(frame, Y)
    clf = as_explainable(model, frame)
    np.testing.assert_allclose(clf.feature_means_, X.mean(axis=0))
    assert clf.table_summary_.names == list("abcd")
    np.testing.assert_array_equal(clf.feature_names_in_, list("abcd"))
    assert list(clf.explain(frame).columns) == list("abcd")
    assert not hasattr(as_explainable(model), "table_summary_")


def test_a_model_that_explains_itself_is_returned_or_gets_the_explainer():
    own = VanillaClassifier(max_epochs=1).fit(X, Y)
    assert as_explainable(own) is own
    other = as_explainable(own, explainer="logit_gradient")
    assert (own.explainer, other.explainer) == ("gradient", "logit_gradient")
    assert other.module_ is own.module_
    box = BlackBox(own, lambda points: points)
    assert as_explainable(box) is box


# ------------------------------------------------------------------------------------------------ networks


class Scores(nn.Module):
    """What skorch's binary classifier takes: one log-odds a row."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, x):
        return self.layer(x).squeeze(-1)


def softmax_net():
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3), nn.Softmax(dim=-1))


class Probabilities(nn.Module):
    """A module of the user's own that ends in a softmax inside of its forward."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x).softmax(dim=1)


NETS = {
    "probabilities": (lambda: NeuralNetClassifier(softmax_net, max_epochs=1, verbose=0), Y),
    "probabilities inside": (lambda: NeuralNetClassifier(Probabilities, max_epochs=1, verbose=0), Y),
    "logits": (
        lambda: NeuralNetClassifier(nn.Linear, module__in_features=4, module__out_features=3,
                                    criterion=nn.CrossEntropyLoss, max_epochs=1, verbose=0),
        Y,
    ),
    "log-odds": (lambda: NeuralNetBinaryClassifier(Scores, max_epochs=1, verbose=0), (Y == 1).astype(np.float32)),
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_skorch_nets_are_taken_whatever_their_module_returns(name):
    make, y = NETS[name]
    net = make().fit(X.astype(np.float32), y)
    clf = as_explainable(net, X.astype(np.float32))
    np.testing.assert_allclose(clf.predict_proba(X), net.predict_proba(X.astype(np.float32)), rtol=0, atol=1e-6)
    assert np.isfinite(clf.explain(X)).all()
    with pytest.raises(TypeError, match=r"needs rows, .*as_explainable\(net, X\)"):
        as_explainable(net)


def test_a_module_is_copied_and_gets_its_classes():
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    images = np.random.default_rng(0).normal(size=(7, 3, 2, 2)).astype(np.float32)
    clf = as_explainable(module, images, classes=["no", "yes"])
    with torch.no_grad():
        expected = module(torch.from_numpy(images)).softmax(dim=1).numpy()
        module[1].weight.zero_()
    np.testing.assert_allclose(clf.predict_proba(images), expected, atol=1e-6)
    assert set(clf.predict(images)) <= {"no", "yes"}
    assert clf.explain(images).shape == images.shape


@pytest.mark.parametrize(
    ("module", "classes", "match"),
    [
        (nn.Linear(4, 1), None, r"outputs of shape \(150, 1\).* two for a binary problem"),
        (softmax_net(), None, "are probabilities.* Leave out its last softmax"),
        (nn.Linear(4, 3), ["a", "b"], "3 different labels"),
        (nn.Linear(4, 3), ["a", "b", "a"], "3 different labels"),
    ],
)
def test_a_module_without_logits_or_with_other_classes_is_refused(module, classes, match):
    with pytest.raises(ValueError, match=match):
        as_explainable(module, X, classes=classes)


def test_a_module_needs_rows():
    with pytest.raises(TypeError, match="needs rows"):
        as_explainable(nn.Linear(4, 3))


# ------------------------------------------------------------------------------------------------ refused


@pytest.mark.parametrize(
    ("model", "error", "match"),
    [
        (RandomForestClassifier(2), TypeError, "RandomForestClassifier is neither linear .*BlackBox"),
        (GaussianNB(), TypeError, "GaussianNB is neither linear"),
        (LinearSVC(), TypeError, "LinearSVC has no probabilities"),
        (Perceptron(), TypeError, "Perceptron has no probabilities"),
        (make_pipeline(StandardScaler(), LinearSVC()), TypeError, "LinearSVC has no probabilities"),
        (SGDClassifier("modified_huber", random_state=0), ValueError, "this SGDClassifier are not those"),
        (OneVsRestClassifier(GaussianNB()), TypeError, "OneVsRestClassifier is neither"),
    ],
)
def test_a_model_that_no_network_equals_is_refused_by_name(model, error, match):
    with pytest.raises(error, match=match):
        as_explainable(model.fit(X, Y), X)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_platt_scaling_is_refused():
    with pytest.raises(ValueError, match="this SVC are not those"):
        as_explainable(SVC(kernel="linear", probability=True).fit(X, TWO))


def test_several_labels_are_refused():
    labels = np.stack([Y == 0, X[:, 0] > 5], axis=1)
    with pytest.raises(TypeError, match="several labels of each row"):
        as_explainable(fit(perceptron(), X, labels))


def test_a_difference_at_the_given_rows_alone_is_noticed():
    class Capped(LogisticRegression):
        def predict_proba(self, X):
            p = super().predict_proba(X)
            far = np.abs(X).max(axis=1) > 1e6
            p[far] = 0.5
            return p

    model = Capped().fit(X, TWO)
    assert isinstance(as_explainable(model, X), ConvertedClassifier)
    with pytest.raises(ValueError, match=r"differs by 5\.0e-01, and 1e-06 is allowed"):
        as_explainable(model, X * 1e7)


def test_what_is_not_fitted_or_no_classifier_is_refused():
    with pytest.raises(NotFittedError):
        as_explainable(LogisticRegression())
    with pytest.raises(NotFittedError):
        as_explainable(make_pipeline(StandardScaler(), LogisticRegression()))
    with pytest.raises(TypeError, match="VanillaClassifier"):
        as_explainable("logistic")
    with pytest.raises(ValueError, match="classes are the labels of the outputs of a torch module"):
        as_explainable(LogisticRegression().fit(X, Y), classes=[0, 1, 2])
