"""Students beside their teachers, with figures that are computed here from the two models alone."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import rel_entr
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OrdinalEncoder

from robustxai import LinearClassifier, SoftplusClassifier
from robustxai.audit import distill
from robustxai.audit._measures import Effort
from robustxai.columns import TableThreat
from robustxai.metrics import roc_auc
from robustxai.perturbation import ThreatModel
from tests.audit.test_text import READER, Page

CHEAP = {"k": 2, "n_rows": 2, "random_state": 0}

pytestmark = pytest.mark.usefixtures("quick_ensemble")


@pytest.fixture(scope="module", autouse=True)
def few_steps():
    """Let the papers' attack make a few steps: how much it finds is not looked at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Effort, "papers_steps", lambda *given: 3)
        yield


def small(**options):
    return SoftplusClassifier(**{"module__hidden": (8,), "max_epochs": 5, **options})


@pytest.fixture(scope="module")
def numbers():
    r = np.random.default_rng(0)
    X = r.uniform(size=(120, 4))
    return X, np.where(X[:, 0] + X[:, 1] * X[:, 2] + r.normal(0, 0.2, 120) > 0.8, "yes", "no")


def test_figures_are_those_of_the_two_models(numbers):
    X, y = numbers
    teacher = LogisticRegression().fit(X, y)
    found = distill(teacher, X, y, student=small(), threat=ThreatModel(0.1), **{**CHEAP, "n_rows": 4})
    rows, truth = X[found.held_out], y[found.held_out]
    p, q = teacher.predict_proba(rows), found.student.predict_proba(rows)
    same = found.fidelity.set_index("measure")["value"]
    assert len(rows) == 30
    assert same["agreement"] == pytest.approx(np.mean(teacher.predict(rows) == found.student.predict(rows)))
    assert same["kappa"] == pytest.approx(cohen_kappa_score(teacher.predict(rows), found.student.predict(rows)))
    assert same["difference of probabilities"] == pytest.approx(np.abs(p[:, 1] - q[:, 1]).mean())
    assert same["KL divergence"] == pytest.approx(rel_entr(p, q).sum(axis=1).mean())
    ends = found.fidelity.dropna()
    assert ((ends["low"] <= ends["value"]) & (ends["value"] <= ends["high"])).all()
    frame = found.frame.set_index("model")
    assert frame.loc["teacher", "roc_auc"] == pytest.approx(roc_auc(teacher, rows, truth))
    assert frame.loc["student", "roc_auc"] == pytest.approx(roc_auc(found.student, rows, truth))
    assert (frame["n_rows"] == 4).all()
    assert (frame["certified"] <= frame["strongest"]).all()
    assert frame.loc["teacher", "strongest"] == 1  # a linear model has one gradient
    assert found.teacher is teacher
    assert "refit=True" in found.notes[0]


class Spy(ClassifierMixin, BaseEstimator):
    """Remember which rows each copy was fitted on and asked about; rows have their number in the first column."""

    asked = []

    def fit(self, X, y):
        self.rows_, self.classes_ = set(X[:, 0]), np.unique(y)
        return self

    def predict_proba(self, X):
        Spy.asked.append((self.rows_, set(X[:, 0])))
        return np.column_stack([1 - X[:, 1], X[:, 1]])


def test_soft_labels_of_a_teacher_that_is_not_fitted_know_no_label_of_their_own(numbers):
    X = numbers[0].copy()
    X[:, 0] = np.arange(len(X))
    student = LinearClassifier(max_epochs=1)
    Spy.asked.clear()
    found = distill(
        Spy().fit(X, numbers[1]), X, numbers[1], refit=True, student=student, explainer=np.zeros_like, **CHEAP
    )
    held_out, train = set(found.held_out), set(range(120)) - set(found.held_out)
    assert found.teacher.rows_ == train
    parts = [asked for fitted, asked in Spy.asked if fitted != train]
    assert len(parts) == 4
    assert set().union(*parts) == train
    assert all(not fitted & asked and not fitted & held_out for fitted, asked in Spy.asked if asked <= train)
    fitted = Spy().fit(X, numbers[1])
    Spy.asked.clear()
    found = distill(fitted, X, numbers[1], student=student, **CHEAP)
    assert found.teacher is fitted
    assert all(rows == fitted.rows_ for rows, _ in Spy.asked)  # it is asked as it is


def test_a_pipeline_of_trees_on_a_raw_table(data, threat):
    X, y = data
    encoder = make_column_transformer((OrdinalEncoder(), ["home", "job"]), remainder="passthrough")
    trees = make_pipeline(encoder, HistGradientBoostingClassifier(max_iter=10, random_state=0))
    found = distill(trees, X, y, student=small(explainer="column_contributions"), threat=threat, **CHEAP)
    assert isinstance(found.student, Pipeline)
    frame = found.frame.set_index("model")
    assert "TreeShap" in frame.loc["teacher", "explanation"]
    assert "integrated gradients" in frame.loc["student", "explanation"]
    assert (frame[["roc_auc", "random", "strongest"]].to_numpy() >= 0).all()
    assert np.isnan(frame.loc["teacher", "certified"])
    assert frame.loc["student", "certified"] <= frame.loc["student", "strongest"]
    assert any("random changes alone" in note for note in found.notes)
    read = Page(READER.render(found.to_markdown()))
    assert read.elements.count("tr") == 8
    assert "<table>" in found._repr_html_()
    assert repr(found).startswith("Distillation(agreement ")


def test_the_default_student_explains_the_columns_of_the_table(data, monkeypatch):
    from robustxai.audit import _distill

    X, y = data[0][["age", "job"]], data[1]
    short = lambda *given, **options: _r2et(*given, **options, max_epochs=2, module__hidden=(4,))  # noqa: E731
    _r2et = _distill.R2ETClassifier
    monkeypatch.setattr(_distill, "R2ETClassifier", short)
    threat = TableThreat.from_frame(X, budgets={"age": 1})
    forest = make_pipeline(make_column_transformer((OrdinalEncoder(), ["job"])), RandomForestClassifier(5))
    found = distill(forest, X, y, threat=threat, **{**CHEAP, "k": 1})
    assert found.student[-1].explainer_.names == ("age", "job")
    assert (found.student[-1].k, found.student[-1].lambda_hessian) == (1, 3e-4)
    assert found.frame["strongest"].isna().tolist() == [True, False]
    assert any("RandomForestClassifier has no explanation to compare with" in note for note in found.notes)


def test_a_student_sees_the_features_of_a_pipeline_on_an_array(numbers):
    X, y = numbers
    teacher = make_pipeline(MinMaxScaler(), LogisticRegression()).fit(100 * X, y)
    student = LinearClassifier(teacher_weight=1.0, max_epochs=60)
    found = distill(teacher, 100 * X, y, student=student, certify=False, **CHEAP)
    assert found.student[0] is teacher[0]
    assert found.fidelity["value"][0] > 0.9  # the same family of functions
    own = distill(teacher, 100 * X, y, student=make_pipeline(MinMaxScaler((0, 2)), student), certify=False, **CHEAP)
    assert own.student[0].feature_range == (0, 2)


def test_texts_of_others_are_shown_as_text(numbers):
    X, y = numbers

    def explainer(points):
        return np.zeros_like(points)

    explainer.__name__ = "<img src=x onerror=alert(1)>"
    found = distill(RandomForestClassifier(2), X, y, student=small(max_epochs=1), explainer=explainer, **CHEAP)
    assert "<img" not in found._repr_html_()
    assert "&lt;img" in found._repr_html_()
    assert "<img" not in READER.render(found.to_markdown())


def test_what_does_not_fit_together_is_refused(numbers):
    X, y = numbers
    teacher = LogisticRegression().fit(X, y)
    with pytest.raises(ValueError, match=r"knows the classes \['no', 'yes'\]"):
        distill(teacher, X, y == "yes")
    with pytest.raises(TypeError, match="fit of LogisticRegression takes none"):
        distill(teacher, X, y, student=LogisticRegression())
    with pytest.raises(ValueError, match="one label per row"):
        distill(teacher, X, y[:-1])
    with pytest.raises(ValueError, match="has the shape"):
        distill(teacher, X[0], y)
    with pytest.raises(ValueError, match="four rows of each"):
        distill(teacher, pd.DataFrame(X), np.arange(120) == 0)
