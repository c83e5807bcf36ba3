"""What a fitted classifier shows of itself in a notebook."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.linear_model import LogisticRegression
from sklearn.utils import estimator_html_repr
from skorch.dataset import ValidSplit

from robustxai import R2ETClassifier
from robustxai.classifiers import known_facts

X = np.random.default_rng(0).normal(size=(40, 3))
Y = np.where(X[:, 0] > 0, "<b>yes</b>", "no")


@pytest.fixture(scope="module")
def clf():
    options = {"max_epochs": 2, "module__hidden": (4,), "train_split": ValidSplit(4), "teacher": LogisticRegression()}
    return R2ETClassifier(k=2, **options).fit(X, Y)


def test_facts_are_what_the_training_left(clf):
    facts = known_facts(clf)
    assert facts["top set"] == "2 by magnitude"
    assert facts["trained"] == "2 epochs"
    assert facts["AUC of the teacher"].startswith(f"{clf.teacher_auc_:.3f}, out of fold")
    losses = [row["valid_loss"] for row in clf.history_]
    assert facts["validation loss"] == f"{losses[-1]:.4f} in the last epoch, {min(losses):.4f} at best"
    assert "not measured" in facts["AUC and P@k"]
    assert known_facts(R2ETClassifier()) == {}


def test_a_measured_precision_is_shown_with_its_interval(clf):
    clf.precision_, clf.precision_interval_, clf.precision_n_rows_ = 0.9, (0.85, 0.95), 1200
    try:
        facts = known_facts(clf)
    finally:
        del clf.precision_, clf.precision_interval_, clf.precision_n_rows_
    assert facts["P@2 under attack"] == "0.900 (0.850 to 0.950) on 1,200 held-out rows"
    assert "not measured" in facts["AUC"]


def test_the_diagram_of_scikit_learn_gets_a_table(clf):
    shown = clf._repr_mimebundle_()["text/html"]
    table = shown[shown.rindex("<table") :]
    assert "Known after the training" in table
    assert "&lt;b&gt;yes&lt;/b&gt;" in table
    assert "<b>yes</b>" not in shown
    assert clf._repr_html_()[-len(table) :] == table
    new = R2ETClassifier()
    assert "Known after" not in new._repr_html_()
    assert "R2ETClassifier" in new._repr_html_()
    assert "sk-container" in estimator_html_repr(clf)
    with config_context(display="text"):
        assert not hasattr(clf, "_repr_html_")
        assert set(clf._repr_mimebundle_()) == {"text/plain"}
