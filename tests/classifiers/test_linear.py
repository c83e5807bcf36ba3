import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from robustxai.classifiers import LinearClassifier


@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_probabilities_are_those_of_scikit_learn(n_classes, C, data, binary):
    X, y = data if n_classes == 3 else binary
    X = X.astype(np.float32)
    reference = LogisticRegression(C=C, max_iter=1000).fit(X.astype(np.float64), y)
    clf = LinearClassifier(C=C).fit(X, y)
    # the weights are float32 in the module
    np.testing.assert_allclose(clf.predict_proba(X), reference.predict_proba(X), rtol=1e-4, atol=1e-7)
    assert np.array_equal(clf.predict(X), reference.predict(X))


def test_two_classes_are_explained_by_the_coefficients(binary):
    X, y = binary
    clf = LinearClassifier().fit(X, y)
    coefficients = LogisticRegression(max_iter=1000).fit(X.astype(np.float32).astype(np.float64), y).coef_[0]
    explained = clf.explain(X, y=1)
    factor = explained / coefficients
    np.testing.assert_allclose(factor, np.broadcast_to(factor[:, :1], factor.shape), rtol=1e-4)
    p = clf.predict_proba(X)[:, 1]
    np.testing.assert_allclose(factor[:, 0], p * (1 - p), rtol=1e-3)  # 1 - p of float32 logits
    order = np.argsort(-np.abs(coefficients))
    assert (np.argsort(-np.abs(explained), axis=1) == order).all()


def test_three_classes_are_explained_by_their_formula(data):
    X, y = data
    clf = LinearClassifier().fit(X, y)
    W = LogisticRegression(max_iter=1000).fit(X.astype(np.float32).astype(np.float64), y).coef_
    p = clf.predict_proba(X)
    for c in range(3):
        expected = p[:, [c]] * (W[c] - p @ W)
        np.testing.assert_allclose(clf.explain(X, y=c), expected, rtol=1e-3, atol=1e-6)


def test_training_parameters_have_no_effect(binary):
    X, y = binary
    a, b = LinearClassifier().fit(X, y), LinearClassifier(max_epochs=1, lr=3.0, batch_size=7, random_state=9).fit(X, y)
    assert np.array_equal(a.explain(X), b.explain(X))


@pytest.mark.parametrize("C", [0.0, -1.0])
def test_strength_must_be_positive(C, binary):
    with pytest.raises(ValueError, match="C must be"):
        LinearClassifier(C=C).fit(*binary)
