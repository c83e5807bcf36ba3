"""TreeShap: equal to shap's values, complete, and honest about what it cannot explain."""

import pickle
from functools import cache
from itertools import combinations
from math import factorial

import numpy as np
import pandas as pd
import pytest
import shap
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import NotFittedError

from robustxai.explainers import TreeShap, _tree_shap

COLUMNS = 12


def table(n_classes, n=400, gaps=0.1):
    """Whole and real numbers with gaps, and labels that depend on many of them."""
    r = np.random.default_rng(n_classes)
    X = r.normal(size=(n, COLUMNS))
    X[:, ::3] = r.integers(0, 4, size=X[:, ::3].shape)
    score = X @ r.normal(size=COLUMNS) + X[:, 0] * X[:, 1]
    y = np.digitize(score, np.quantile(score, np.arange(1, n_classes) / n_classes))
    X[r.random(X.shape) < gaps] = np.nan
    return X, y


@cache
def fitted(n_classes):
    X, y = table(n_classes)
    trees = HistGradientBoostingClassifier(max_iter=4, min_samples_leaf=5, random_state=0)
    return trees.fit(X, np.array(["no", "yes", "maybe"])[y])


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("most", [0, 4, 10], ids="tables up to {} features".format)
def test_values_are_those_of_shap(n_classes, most, monkeypatch):
    monkeypatch.setattr(_tree_shap, "_TABULATED", most)
    trees = fitted(n_classes)
    explainer, theirs = TreeShap(trees), shap.TreeExplainer(trees)
    X = np.concatenate([table(n_classes)[0][:60], np.full((1, COLUMNS), np.nan), np.full((1, COLUMNS), np.inf)])
    said = theirs.shap_values(X).reshape(len(X), COLUMNS, -1)
    np.testing.assert_allclose(explainer.scores(X), np.moveaxis(said, 1, 2), rtol=0, atol=1e-9)
    np.testing.assert_allclose(explainer.expected_value, np.ravel(theirs.expected_value), rtol=0, atol=1e-9)
    assert max(len(leaf.features) for leaf in explainer._leaves) > 4


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_predicted_class_is_explained_and_the_values_add_up(n_classes):
    trees, X = fitted(n_classes), table(n_classes)[0]
    explainer = TreeShap(trees)
    score = trees.decision_function(X)
    if n_classes == 2:
        margin = np.abs(score)
        expected = np.where(score > 0, 1, -1) * explainer.expected_value
    else:
        margin, expected = score.max(axis=1), explainer.expected_value[score.argmax(axis=1)]
    assert len(set(trees.predict(X))) == n_classes
    np.testing.assert_allclose(explainer(X).sum(axis=1), margin - expected, rtol=0, atol=1e-9)


def test_values_are_those_of_the_definition():
    X, y = table(2)
    trees = HistGradientBoostingClassifier(max_iter=3, max_leaf_nodes=6).fit(X[:, :4], y)
    row = X[0, :4]

    def game(node, known, nodes):
        node = nodes[node]
        if node["is_leaf"]:
            return node["value"]
        feature, children = node["feature_idx"], [node["left"], node["right"]]
        if feature in known:
            missing = np.isnan(row[feature])
            left = node["missing_go_to_left"] if missing else row[feature] <= node["num_threshold"]
            return game(children[0 if left else 1], known, nodes)
        return sum(nodes[child]["count"] / node["count"] * game(child, known, nodes) for child in children)

    def worth(known):
        return sum(game(0, known, tree.nodes) for (tree,) in trees._predictors)

    for feature, value in enumerate(TreeShap(trees).scores(row[None])[0, 0]):
        others = [other for other in range(4) if other != feature]
        parts = [
            factorial(size) * factorial(3 - size) / factorial(4) * (worth({*known, feature}) - worth(set(known)))
            for size in range(4)
            for known in combinations(others, size)
        ]
        assert value == pytest.approx(sum(parts), abs=1e-12)


def test_what_is_kept_changes_nothing(monkeypatch):
    X = table(2)[0][:90]
    whole = TreeShap(fitted(2))(X)
    monkeypatch.setattr(_tree_shap, "_KEPT", 30)
    monkeypatch.setattr(_tree_shap, "_AT_ONCE", 17)
    explainer = TreeShap(fitted(2))
    np.testing.assert_array_equal(explainer(X), whole)
    np.testing.assert_array_equal(np.concatenate([explainer(X[at : at + 20]) for at in range(0, len(X), 20)]), whole)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(explainer))(X[::-1]), whole[::-1])
    assert explainer(X[:0]).shape == (0, COLUMNS)


def test_trees_without_a_split_explain_nothing():
    X, y = table(2, n=30)
    trees = HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=30).fit(X, y)
    explainer = TreeShap(trees)
    assert not explainer(X).any()
    np.testing.assert_allclose(trees.decision_function(X), explainer.expected_value[0])


def test_what_it_cannot_explain_is_refused_in_a_sentence():
    X, y = table(2)
    with pytest.raises(TypeError, match="HistGradientBoostingClassifier"):
        TreeShap(RandomForestClassifier(2).fit(np.nan_to_num(X), y))
    with pytest.raises(NotFittedError, match="not fitted"):
        TreeShap(HistGradientBoostingClassifier())
    frame = pd.DataFrame({"age": X[:, 0]}).assign(home=pd.Categorical(np.where(y, "own", "rent")))
    with pytest.raises(ValueError, match="OrdinalEncoder"):
        TreeShap(HistGradientBoostingClassifier(max_iter=2).fit(frame, y))
    with pytest.raises(ValueError, match=r"shape \(n_samples, 12\)"):
        TreeShap(fitted(2))(X[:, :5])
