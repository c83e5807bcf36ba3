import numpy as np
import pytest
from sklearn.base import clone

from robustxai import R2ETClassifier, SoftplusClassifier, VanillaClassifier, retrain
from robustxai.explainers import AutoGradient, CenteredGradient, Gradient


@pytest.fixture(scope="module")
def one_hot():
    r = np.random.default_rng(0)
    X = np.hstack([r.random((200, 3)), np.eye(4)[r.integers(4, size=200)]]).astype(np.float32)
    return X, (X[:, 0] + X[:, 3] * X[:, 1] + r.random(200) > 1).astype(int)


class Undeclared(CenteredGradient):
    """The same explanation, differentiated by autograd: a declaration holds for the class that makes it."""


def test_a_table_with_one_hot_groups_gets_centered_gradients(one_hot):
    clf = R2ETClassifier(3, max_epochs=2).fit(*one_hot)
    assert isinstance(clf.explainer_, CenteredGradient)
    assert [len(group) for group in clf.explainer_.groups] == [1, 1, 1, 4]
    means = one_hot[0].mean(axis=0)
    np.testing.assert_allclose(clf.explain(one_hot[0])[:, 3:] @ means[3:], 0.0, atol=1e-6)


@pytest.mark.parametrize("shape", [(40, 5), (40, 1, 6, 6)])
def test_other_inputs_get_gradients(shape):
    X = np.random.default_rng(0).random(shape).astype(np.float32)
    y = np.arange(40) % 2
    auto = R2ETClassifier(2, max_epochs=1, random_state=0).fit(X, y)
    plain = R2ETClassifier(2, max_epochs=1, random_state=0, explainer="gradient").fit(X, y)
    assert auto.explainer_ == Gradient()
    np.testing.assert_array_equal(auto.explain(X), plain.explain(X))


def test_the_paper_s_form_and_other_classifiers_keep_the_gradient():
    assert R2ETClassifier().explainer == "auto"
    assert R2ETClassifier.paper(4, 1e-4, 1e-2).explainer == VanillaClassifier().explainer == "gradient"


def test_the_explainer_is_found_again_by_clones_and_by_training_on(one_hot):
    clf = clone(R2ETClassifier(3, max_epochs=1)).fit(*one_hot)
    started = retrain(R2ETClassifier(3, max_epochs=1), SoftplusClassifier(max_epochs=1).fit(*one_hot), *one_hot)
    for fitted in (clf, started):
        assert fitted.explain(one_hot[0]).shape == one_hot[0].shape
    assert isinstance(clf.explainer_, CenteredGradient)


def test_written_out_training_on_centered_gradients_equals_autograd(one_hot):
    found = [
        R2ETClassifier(3, lambda_gap=0.1, lambda_hessian=0.1, max_epochs=3, random_state=0, explainer=explainer)
        .fit(*one_hot)
        .explain(one_hot[0])
        for explainer in (AutoGradient(), CenteredGradient(), Undeclared())
    ]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_allclose(found[1], found[2], rtol=1e-3, atol=1e-5)


def test_a_shift_of_a_group_s_weights_changes_no_training_of_rankings(one_hot):
    X, y = one_hot
    clf = R2ETClassifier(3, max_epochs=1, random_state=0).fit(X, y)
    before, probabilities = clf.explain(X), clf.predict_proba(X)
    first = clf.module_.layers[0]
    first.weight.data[:, 3:] += 5.0
    first.bias.data -= 5.0
    np.testing.assert_allclose(clf.predict_proba(X), probabilities, atol=1e-4)
    np.testing.assert_allclose(clf.explain(X), before, atol=1e-4)
