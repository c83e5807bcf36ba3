"""Models of scikit-learn where a classifier of the library is expected."""

import gc
import weakref

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from robustxai import R2ETClassifier, VanillaClassifier, as_explainable, retrain
from robustxai._models import resolve_model, unwrap
from robustxai.attacks import ERAttack
from robustxai.certificates import certify_top_k, curvature_bound
from robustxai.columns import TableThreat
from robustxai.datasets import make_preprocessor
from robustxai.metrics import comprehensiveness
from robustxai.model_selection import PrecisionAtKScorer
from robustxai.perturbation import ThreatModel
from robustxai.reasons import explain_columns, reasons

from .test_as_explainable import TWO, X, Y, fit

pytestmark = pytest.mark.filterwarnings("ignore::robustxai.exceptions.EvaluationWarning")


@pytest.fixture(scope="module")
def perceptron():
    return fit(MLPClassifier((5,), activation="tanh", max_iter=60, random_state=0), X, Y)


def test_attacks_certificates_metrics_and_scores_are_those_of_the_converted_model(perceptron):
    pipe = make_pipeline(StandardScaler(), perceptron)
    fit(pipe, X, Y)
    converted, rows = as_explainable(pipe, X), X[::10]
    for one in (
        lambda model: ERAttack(model, k=2, max_iter=3, threat=ThreatModel(epsilon=0.2)).run(rows).precision_at_k,
        lambda model: certify_top_k(model, rows, k=2, epsilon=0.01).precision_at_k,
        lambda model: comprehensiveness(model, rows, baseline=0.0),
        lambda model: PrecisionAtKScorer(ERAttack(k=2, max_iter=3))(model, rows, Y[::10]),
    ):
        np.testing.assert_allclose(one(pipe), one(converted), rtol=1e-6)


def test_certificates_read_the_converted_network(perceptron):
    proven = certify_top_k(perceptron, X[::10], k=2, epsilon=0.001).precision_at_k
    attacked = ERAttack(perceptron, k=2, max_iter=10, threat=ThreatModel(epsilon=0.001)).run(X[::10]).precision_at_k
    assert proven.mean() > 0.5
    assert (proven <= attacked).all()
    assert np.isfinite(curvature_bound(perceptron))
    linear = certify_top_k(LogisticRegression().fit(X, TWO), X[::10], k=2, epsilon=100.0)
    np.testing.assert_array_equal(linear.precision_at_k, 1.0)  # one direction of gradients for all inputs


def test_a_retraining_starts_from_the_model(perceptron):
    assert next(resolve_model(perceptron, X, needs=("module_",), what="")[0].module_.parameters()).dtype.itemsize == 8
    new = retrain(R2ETClassifier(k=2, lr=1e-6), perceptron, X, Y, k=2, max_epochs=1, max_auc_drop=1, min_precision=0.1)
    assert type(new) is R2ETClassifier
    np.testing.assert_allclose(new.predict_proba(X), perceptron.predict_proba(X), atol=1e-2)
    start = VanillaClassifier(init=LogisticRegression().fit(X, TWO), module__hidden=(), lr=1e-9, max_epochs=1)
    np.testing.assert_allclose(start.fit(X, TWO).predict_proba(X), start.init.predict_proba(X), atol=1e-5)


def test_the_conversion_is_kept_until_the_model_changes_and_no_longer():
    model = LogisticRegression().fit(X, TWO)
    first, second = (unwrap(model, needs=("explain",), what="")[0] for _ in range(2))
    assert first is second
    model.coef_ *= 2
    third = unwrap(model, needs=("explain",), what="")[0]
    np.testing.assert_allclose(third.predict_proba(X), model.predict_proba(X), atol=1e-12)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_models_that_cannot_be_converted_are_refused_with_a_reason():
    for model, match in (
        (LinearSVC(), "LinearSVC does not.*LogisticRegression, or any linear classifier with prob"),
        (SGDClassifier("modified_huber", random_state=0), "probabilities of this SGDClassifier"),
        (CalibratedClassifierCV(LogisticRegression(), cv=2), r"model\.calibrated_classifiers_\[0\]\.estimator"),
    ):
        with pytest.raises(TypeError, match=match):
            ERAttack(model.fit(X, Y), k=2).run(X[:3])


# ------------------------------------------------------------------------------------------------ columns


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"age": rng.integers(20, 70, 120), "sum": rng.normal(1000, 300, 120).round()})
    frame["home"] = np.where(rng.random(120) < 0.4, "own", "rent")
    y = np.where(frame["age"] / 50 + frame["sum"] / 1000 + (frame["home"] == "own") + rng.normal(size=120) > 2.5, 1, 0)
    return frame, y


@pytest.fixture(scope="module")
def pipe(table):
    frame, y = table
    return make_pipeline(make_preprocessor(frame), LogisticRegression()).fit(frame, y)


def test_contributions_of_logistic_regression_are_coefficients_times_distances(pipe, table):
    frame, _ = table
    baseline = {"age": 40, "sum": 900, "home": "rent"}
    found = explain_columns(pipe, frame, 1, baseline=baseline)
    features = pipe[:-1].transform(frame) - pipe[:-1].transform(pd.DataFrame([baseline]))
    products = pd.DataFrame(features * pipe[-1].coef_, columns=pipe[:-1].get_feature_names_out())
    for name in frame:
        of_column = [f for f in products if f == name or f.startswith(f"{name}_")]
        np.testing.assert_allclose(found[name], products[of_column].sum(axis=1), rtol=0, atol=1e-6)
    margin = pipe.decision_function(frame) - pipe.decision_function(pd.DataFrame([baseline]))
    np.testing.assert_allclose(found.sum(axis=1), margin, rtol=0, atol=1e-6)


def test_reasons_of_logistic_regression_are_proven_and_attacked(pipe, table):
    frame, _ = table
    threat = TableThreat.from_frame(frame, budgets={"age": 1, "sum": 10}, immutable=["home"])
    found = reasons(pipe, frame[:6], top=1, threat=threat, baseline=frame)
    assert (found.frame["status"] == "proven").any()
    values = explain_columns(pipe, frame[:6], 1, baseline=frame)
    for _, line in found.frame.iterrows():
        assert line["contribution"] == pytest.approx(values.loc[line["row"], line["column"]])


def test_without_rows_of_a_training_the_baseline_is_asked_for(pipe, table):
    frame, _ = table
    with pytest.raises(ValueError, match=r"kept no typical row .* Pass baseline="):
        explain_columns(pipe, frame)
    with pytest.raises(ValueError, match=r"kept no typical row .* Pass baseline="):
        reasons(pipe, frame[:2])
    converted = as_explainable(pipe, frame)
    typical = {"age": 0, "sum": 0, "home": "rent"}  # the marks; the amounts are compared through the pipeline
    assert frame["home"].mode()[0] == typical["home"]
    b = converted[-1].table_summary_.baseline
    assert np.isin(b, pipe[:-1].transform(frame)).all()
    assert explain_columns(converted, frame).shape == frame.shape
