"""Explanations for SHAP: the sum, SHAP's own values where both are exact, and its plots."""

import sys

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from robustxai import VanillaClassifier
from robustxai.integrations import to_shap
from robustxai.reasons import explain_columns

shap = pytest.importorskip("shap")
IRIS = load_iris(return_X_y=True)


def log_odds(probability):
    return np.log(probability / (1 - probability))


def test_base_value_and_contributions_of_columns_are_the_score(table, pipe):
    X = table[0][:20]
    found = to_shap(pipe, X)
    assert isinstance(found, shap.Explanation)
    assert found.feature_names == ["age", "home", "debt"]
    score = log_odds(pipe.predict_proba(X)[:, 1])
    np.testing.assert_allclose(found.base_values + found.values.sum(axis=1), score, atol=1e-3)
    np.testing.assert_allclose(found.values, explain_columns(pipe, X, "yes"), atol=1e-3)
    assert found.display_data[0].tolist() == X.iloc[0].tolist()
    assert np.isnan(found.data[3, 2])
    assert len(np.unique(found.data[:, 1])) == 2  # categories as codes


def test_features_and_probabilities(table, pipe, features, clf):
    X = table[0][:5]
    found = to_shap(pipe, X, by_column=False, output="probability", baseline=features[7])
    assert found.feature_names == ["age", "debt", "debt_missing", "home_rent"]
    np.testing.assert_allclose(found.base_values, pipe.predict_proba(table[0][7:8])[:, 1].repeat(5), rtol=1e-5)
    np.testing.assert_allclose(found.base_values + found.values.sum(axis=1), pipe.predict_proba(X)[:, 1], atol=1e-3)
    alone = to_shap(clf, features[:5], output="probability", baseline=features[7:8])
    np.testing.assert_allclose(alone.values, found.values, atol=1e-6)
    assert alone.feature_names == ["x0", "x1", "x2", "x3"]


def test_a_linear_model_has_the_shapley_values_of_shap():
    X, y = IRIS[0], IRIS[1] == 2
    model = LogisticRegression(max_iter=500).fit(X, y)
    background = X[:1]
    found = to_shap(model, X[50:55], baseline=background)
    theirs = shap.LinearExplainer(model, background)(X[50:55])
    np.testing.assert_allclose(found.values, theirs.values, atol=1e-5)
    np.testing.assert_allclose(found.base_values, theirs.base_values, atol=1e-5)


def test_more_points_are_taken_until_the_sum_is_met():
    X, y = MinMaxScaler().fit_transform(IRIS[0]), IRIS[1]
    model = VanillaClassifier(module__hidden=(8,), max_epochs=10).fit(X, y)  # ReLU: the error falls slowly
    found = to_shap(model, X[::10], n_points=1, tolerance=1e-4)
    p = model.predict_proba(X[::10])
    score = log_odds(p.max(axis=1))  # of three classes the predicted one
    np.testing.assert_allclose(found.base_values + found.values.sum(axis=1), score, atol=2e-4)
    with pytest.raises(ValueError, match="pass a larger tolerance"):
        to_shap(model, X[::10], tolerance=1e-30)


def test_a_pipeline_that_mixes_columns_is_explained_by_features(table):
    X, y = table[0][["age"]].assign(other=1.0), table[1]
    mixed = make_pipeline(PCA(1), LogisticRegression()).fit(X, y)
    found = to_shap(mixed, X, baseline=[0.0])
    assert found.feature_names == ["pca0"]
    with pytest.raises(ValueError, match="mixes"):
        to_shap(mixed, X, by_column=True)


def test_what_is_missing_is_said(monkeypatch):
    X, y = IRIS[0], IRIS[1] == 2
    model = LogisticRegression(max_iter=500).fit(X, y)
    with pytest.raises(ValueError, match="Pass baseline="):
        to_shap(model, X)
    with pytest.raises(ValueError, match="give 4 features"):
        to_shap(model, X, baseline=[1.0])
    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(ImportError, match=r"pip install 'robustxai\[shap\]'"):
        to_shap(model, X, baseline=X)


@pytest.mark.parametrize("plot", ["waterfall", "beeswarm", "bar"])
def test_its_plots_take_the_explanation(plot, table, pipe):
    plt = pytest.importorskip("matplotlib.pyplot")
    found = to_shap(pipe, table[0][:10])
    getattr(shap.plots, plot)(found[0] if plot == "waterfall" else found, show=False)
    texts = [label.get_text() for ax in plt.gcf().axes for label in ax.get_yticklabels()]
    plt.close("all")
    assert any("age" in text for text in texts)
