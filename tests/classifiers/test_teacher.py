"""Teachers that are fitted out of fold, and soft labels that are given."""

import functools

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from skorch.callbacks import EarlyStopping
from skorch.dataset import ValidSplit
from torch import nn
from torch.utils.data import DataLoader

from robustxai.classifiers import (
    ATEXClassifier,
    CertifiedR2ETClassifier,
    LinearClassifier,
    R2ETClassifier,
    SoftplusClassifier,
    SSRClassifier,
    VanillaClassifier,
    _teacher,
    retrain,
)
from robustxai.classifiers._teacher import _out_of_fold
from robustxai.exceptions import MismatchWarning
from robustxai.metrics import roc_auc
from robustxai.model_selection import BatchedSearchCV
from robustxai.model_selection._stacked_fits import begin_fits, train_fits

from .conftest import iris, small
from .test_all import states_equal
from .test_weights import DRAWS, assert_close, counts, full_batch, weights_of

TEACHER = LogisticRegression()


@functools.cache
def rows(n_classes=3):
    X, y = iris()
    return (X[:30], y[:30]) if n_classes == 3 else (X[:30], (y[:30] == 2).astype(int))


@functools.cache
def soft(n_classes=3):
    """Probabilities that know a part of the labels."""
    _, y = rows(n_classes)
    draws = np.random.default_rng(0).dirichlet(np.ones(n_classes), size=30)
    return 0.5 * draws + 0.5 * np.eye(n_classes)[y]


def taught(cls=VanillaClassifier, n_classes=3, **params):
    return full_batch(cls, **params).fit(*rows(n_classes), soft_labels=soft(n_classes))


# ------------------------------------------------------------------ the objective


def naive_step(parameters, X, targets, weights, lr):
    """A step of SGD on the weighted mean of -sum_c q_c log p_c, for one hidden layer of ReLU, in float64."""
    W, b, V, c = parameters
    Z = X @ W.T + b
    A = np.maximum(Z, 0)
    logits = A @ V.T + c
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    loss = -(weights[:, None] * targets * np.log(p)).sum() / len(X)
    slope = weights[:, None] * (p - targets) / len(X)
    back = (slope @ V) * (Z > 0)
    steps = back.T @ X, back.sum(axis=0), slope.T @ A, slope.sum(axis=0)
    return loss, [value - lr * step for value, step in zip(parameters, steps)]


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("options", [{}, {"internal_batch_size": 7}, {"sample_weight": True}])
def test_one_step_equals_the_naive_one(n_classes, options):
    options = dict(options)
    X, y = rows(n_classes)
    w = counts() if options.pop("sample_weight", False) else np.ones(30)
    params = {"optimizer": torch.optim.SGD, "callbacks__lr_schedule": None, "lr": 0.1, "max_epochs": 1, **options}
    clf = full_batch(VanillaClassifier, teacher_weight=0.6, **params).fit(X, y, w, soft_labels=soft(n_classes))
    start = full_batch(VanillaClassifier, **{**params, "lr": 1e-30}).fit(X, y).module_
    parameters = [p.detach().double().numpy() for p in start.parameters()]
    targets = 0.6 * soft(n_classes) + 0.4 * np.eye(n_classes)[y]
    loss, after = naive_step(parameters, X, targets, w / w.mean(), 0.1)
    np.testing.assert_allclose(clf.history_[0]["cross_entropy"], loss, rtol=1e-6)
    np.testing.assert_allclose(weights_of(clf), np.concatenate([a.ravel() for a in after]), atol=1e-6)


def test_soft_labels_that_are_labels_and_a_weight_of_zero_change_nothing():
    X, y = rows()
    plain = full_batch(VanillaClassifier).fit(X, y)
    assert_close(full_batch(VanillaClassifier).fit(X, y, soft_labels=np.eye(3)[y]), plain)
    ignored = full_batch(VanillaClassifier, teacher_weight=0, teacher=TEACHER).fit(X, y)
    assert states_equal(ignored, plain)
    assert not hasattr(ignored, "teacher_auc_")
    assert np.abs(weights_of(taught()) - weights_of(plain)).max() > 1e-3


def test_every_classifier_learns_from_soft_labels(cls):
    X, y = rows()
    options = {"max_epochs": 4, "batch_size": 16}
    # as labels they are exactly the targets; the wrong ones lead elsewhere
    alike = small(cls, teacher_weight=1.0, **options).fit(X, y, soft_labels=np.eye(3)[y])
    other = small(cls, teacher_weight=1.0, **options).fit(X, y, soft_labels=soft())
    plain = small(cls, **options).fit(X, y)
    atol = 1e-4 if cls is not LinearClassifier else 1e-3
    assert_close(alike, plain, atol=atol)
    assert np.abs(weights_of(other) - weights_of(plain)).max() > 1e-4
    assert other.net_.soft_labels_ is None


FORMS = [(VanillaClassifier, {}), (LinearClassifier, {}), (R2ETClassifier, {"hessian": "exact", "warm_up_epochs": 2})]


@pytest.mark.parametrize(("cls", "params"), FORMS)
def test_a_whole_weight_is_as_many_rows(cls, params):
    assert cls not in DRAWS or params.get("hessian") == "exact"
    X, y = rows()
    clf = full_batch(cls, **params).fit(X, y, counts(), soft_labels=soft())
    repeated = full_batch(cls, **params).fit(*(np.repeat(a, counts(), axis=0) for a in (X, y)), None, _repeated())
    assert_close(clf, repeated)
    assert clf.teacher_auc_ == pytest.approx(repeated.teacher_auc_)
    assert clf.teacher_log_loss_ == pytest.approx(repeated.teacher_log_loss_)


def _repeated():
    return np.repeat(soft(), counts(), axis=0)


def test_rows_of_weight_zero_are_left_out():
    X, y = rows()
    w = np.arange(30) % 3
    kept = w > 0
    clf = full_batch(VanillaClassifier).fit(X, y, w, soft_labels=soft())
    assert states_equal(clf, full_batch(VanillaClassifier).fit(X[kept], y[kept], w[kept], soft()[kept]))
    options = {"teacher": GaussianNB(), "random_state": 1}
    clf = full_batch(VanillaClassifier, **options).fit(X, y, w)
    assert states_equal(clf, full_batch(VanillaClassifier, **options).fit(X[kept], y[kept], w[kept]))


def test_weights_of_classes_move_soft_labels_too():
    """A network that can fit anything gives c_y p_y, normalized."""
    X = np.zeros((40, 1))
    y = np.arange(40) % 4 // 3  # a quarter
    p = np.tile([0.75, 0.25], (40, 1))
    options = {"module__hidden": (), "optimizer": torch.optim.LBFGS, "callbacks__lr_schedule": None, "batch_size": -1}
    for class_weight, expected in ((None, 0.25), ("balanced", 0.5), ({1: 6.0}, 2 / 3)):
        clf = VanillaClassifier(max_epochs=20, lr=0.5, class_weight=class_weight, **options)
        with pytest.warns(MismatchWarning, match="say less about the labels"):
            clf.fit(X, y, soft_labels=p)
        assert clf.predict_proba(X)[0, 1] == pytest.approx(expected, abs=1e-3)


# ------------------------------------------------------------------ out of fold


class Memory(ClassifierMixin, BaseEstimator):
    """Certain of the rows that it has seen, and knows nothing of others; counts what it was given."""

    seen = []

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.unique(y)
        self.known_ = {row.tobytes(): label for row, label in zip(X, y)}
        Memory.seen.append((len(X), self.random_state, sample_weight))
        return self

    def predict_proba(self, X):
        p = np.full((len(X), len(self.classes_)), 1 / len(self.classes_))
        for i, row in enumerate(X):
            if row.tobytes() in self.known_:
                p[i] = np.eye(len(self.classes_))[self.known_[row.tobytes()]]
        return p


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 4), st.integers(8, 40), st.integers(0, 1000))
def test_a_teacher_that_memorizes_its_rows_tells_no_label(n_classes, n, seed):
    draws = np.random.default_rng(seed)
    codes = np.r_[np.arange(n_classes).repeat(2), draws.integers(0, n_classes, size=n)]
    X = draws.normal(size=(len(codes), 3)).astype(np.float32)
    found = _out_of_fold(Memory(), X, codes, np.arange(n_classes), None, seed)
    np.testing.assert_array_equal(found, np.full_like(found, 1 / n_classes))


def test_each_row_is_left_out_once():
    Memory.seen.clear()
    X, y = rows()
    clf = full_batch(VanillaClassifier, teacher=Memory(), random_state=5)
    with pytest.warns(MismatchWarning, match=r"probabilities of the teacher say less about the labels"):
        clf.fit(X, y, counts())
    sizes, seeds, weights = zip(*Memory.seen)
    assert sorted(sizes) == sorted(30 - len(part) for part in np.array_split(np.arange(30), 4))
    assert len(set(seeds)) == 1
    assert seeds[0] is not None
    assert sum(w.sum() for w in weights) == 3 * counts().sum()
    assert clf.teacher_auc_ == 0.5
    assert clf.teacher_log_loss_ == pytest.approx(np.log(3))
    assert clf.teacher.random_state is None
    assert not hasattr(clf.teacher, "classes_")
    Memory.seen.clear()
    with pytest.warns(MismatchWarning):
        full_batch(VanillaClassifier, teacher=Memory(random_state=3)).fit(X, y)
    assert {seed for _, seed, _ in Memory.seen} == {3}
    assert {weight for *_, weight in Memory.seen} == {None}


def test_what_is_known_of_the_teacher_stands_in_the_model():
    X, y = iris()
    clf = small(VanillaClassifier, teacher=TEACHER).fit(X, y)
    found = _out_of_fold(TEACHER, X.astype(np.float32), y, np.arange(3), None, _seed(0))
    assert clf.teacher_log_loss_ == pytest.approx(log_loss(y, found))
    assert clf.teacher_auc_ == pytest.approx(np.mean([roc_auc_score(y == c, found[:, c]) for c in range(3)]))
    assert abs(clf.teacher_auc_ - roc_auc(LogisticRegression().fit(X, y), X, y)) < 0.02
    by_hand = small(VanillaClassifier).fit(X, y, soft_labels=found)
    assert states_equal(clf, by_hand)
    assert by_hand.teacher_auc_ == clf.teacher_auc_
    assert not hasattr(clf.set_params(teacher=None).fit(X, y), "teacher_auc_")


def _seed(random_state):
    from robustxai.training import draw_seed

    return draw_seed(random_state)


@pytest.mark.parametrize(
    "teacher",
    [
        RandomForestClassifier(3),
        make_pipeline(StandardScaler(), KNeighborsClassifier(3)),
        GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2),
        small(SoftplusClassifier, max_epochs=15),
        HistGradientBoostingClassifier(max_iter=3),
    ],
    ids=lambda teacher: type(teacher).__name__,
)
def test_teachers(teacher):
    X, y = iris()
    names = np.array(["a", "b", "c"])[y]
    clf = small(SoftplusClassifier, teacher=teacher, random_state=1)
    first, second = clone(clf).fit(X, names), clone(clf).fit(X, names)
    assert states_equal(first, second)
    assert first.teacher_auc_ > 0.6
    assert set(first.predict(X)) <= {"a", "b", "c"}


def test_a_teacher_that_is_fitted_already():
    X, y = iris()
    names = np.array(["a", "b", "c"])[y]
    old = LogisticRegression().fit(X[100:], names[100:])
    clf = small(VanillaClassifier, teacher=FrozenEstimator(old)).fit(X[:100], names[:100])
    found = old.predict_proba(X[:100].astype(np.float32))
    assert states_equal(clf, small(VanillaClassifier).fit(X[:100], names[:100], soft_labels=found))


def test_images_are_flattened():
    X, y = load_digits(return_X_y=True)
    X, y = (X[:60] / 16).reshape(-1, 1, 8, 8), y[:60] % 3
    options = {"max_epochs": 1, "module": "conv", "module__channels": (2,), "teacher": GaussianNB(var_smoothing=0.1)}
    clf = VanillaClassifier(**options).fit(X, y)
    found = _out_of_fold(options.pop("teacher"), X.reshape(60, -1).astype(np.float32), y, np.arange(3), None, _seed(0))
    assert states_equal(clf, VanillaClassifier(**options).fit(X, y, soft_labels=found))
    own = VanillaClassifier(**options)
    assert VanillaClassifier(teacher=own, **options).fit(X, y).teacher_auc_ > 0


def test_which_weights_a_teacher_takes():
    X, y = iris()
    w = np.arange(150) % 3 + 1
    logistic = LogisticRegression(C=0.1)
    inside = [make_pipeline(logistic), GridSearchCV(logistic, {"C": [0.1]}, cv=2)]
    losses = [small(VanillaClassifier, teacher=t).fit(X, y, w).teacher_log_loss_ for t in (logistic, *inside)]
    assert losses == pytest.approx([losses[0]] * 3)
    assert small(VanillaClassifier, teacher=logistic).fit(X, y).teacher_log_loss_ != losses[0]
    with pytest.warns(MismatchWarning, match="KNeighborsClassifier, the teacher, takes no sample_weight"):
        small(VanillaClassifier, teacher=KNeighborsClassifier()).fit(X, y, w)


# ------------------------------------------------------------------ the rest of scikit-learn


def test_parameters_of_the_teacher():
    clf = small(VanillaClassifier, teacher=LogisticRegression(C=2.0))
    assert clf.get_params()["teacher__C"] == 2.0
    assert "teacher__C" not in clf.get_params(deep=False)
    other = clone(clf).set_params(teacher__C=3.0)
    assert (clf.teacher.C, other.teacher.C) == (2.0, 3.0)
    with pytest.raises(ValueError, match="teacher__C needs a teacher"):
        VanillaClassifier().set_params(teacher__C=1.0)
    with pytest.raises(ValueError, match="Invalid parameter 'c'"):
        other.set_params(teacher__c=1.0)


def test_searches_carry_soft_labels_and_teachers():
    X, y = rows()
    grid = {"teacher_weight": [0.2, 0.9], "lr": [0.01, 0.03]}
    for params, fit in (({}, {"soft_labels": soft()}), ({"teacher": GaussianNB()}, {})):
        clf = full_batch(VanillaClassifier, **params)
        options = {"cv": 2, "scoring": "neg_log_loss"}
        batched = BatchedSearchCV(clf, grid, **options).fit(X, y, **fit)
        serial = GridSearchCV(clf, grid, **options).fit(X, y, **fit)
        scores = batched.cv_results_["mean_test_score"]
        np.testing.assert_allclose(scores, serial.cv_results_["mean_test_score"], rtol=1e-4)
        assert batched.cv_results_["stacked"].all()
        assert len(np.unique(scores.round(6))) == 4
        assert batched.best_estimator_.teacher_auc_ == pytest.approx(serial.best_estimator_.teacher_auc_)


def test_members_of_a_stack_are_what_they_would_be_alone():
    X, y = rows()
    stop = [("stop", EarlyStopping(patience=1, load_best=True))]
    estimators = [
        small(VanillaClassifier, teacher_weight=0.5, class_weight="balanced"),
        small(VanillaClassifier, teacher_weight=0.9, random_state=1),
        small(R2ETClassifier, k=2, warm_up_epochs=1),
        small(SoftplusClassifier, train_split=ValidSplit(3), callbacks=stop, lr=0.1, max_epochs=6),
        small(VanillaClassifier, teacher_weight=0),
    ]
    part = (X, y, {"sample_weight": counts(), "soft_labels": soft()})
    half = slice(0, 25)
    second = (X[half], y[half], {"soft_labels": soft()[half]})
    pairs = [(e, p) for e in estimators for p in (0, 1)]
    fits, data = begin_fits(pairs, [part, second])
    assert {fit.why_not for fit in fits} == {""}
    assert fits[0].key == fits[3].key != fits[-1].key
    for fit, (estimator, p) in zip(train_fits(fits, data), pairs):
        X_own, y_own, params = (part, second)[p]
        alone, together = clone(estimator).fit(X_own, y_own, **params), fit.fitted(data)
        assert_close(alone, together, atol=2e-5)
        for name in ("train_loss", "valid_loss", "cross_entropy"):
            if name in alone.history_[0]:
                np.testing.assert_allclose(together.history_[:, name], alone.history_[:, name], rtol=1e-4)
        assert getattr(alone, "teacher_auc_", None) == getattr(together, "teacher_auc_", None)


def test_equal_teachers_on_equal_rows_are_fitted_once(monkeypatch):
    X, y = iris()
    calls = []
    monkeypatch.setattr(_teacher, "_out_of_fold", lambda *args: (calls.append(args[3:]), _out_of_fold(*args))[1])
    pairs = [(small(VanillaClassifier, teacher=GaussianNB(), lr=lr), part) for lr in (0.01, 0.02) for part in (0, 1)]
    pairs.append((small(VanillaClassifier, teacher=GaussianNB(), random_state=1), 0))
    pairs.append((small(VanillaClassifier, teacher=GaussianNB(var_smoothing=0.1)), 0))
    fits, _ = begin_fits(pairs, [(X, y), (X[:90], y[:90])])
    assert {fit.why_not for fit in fits} == {""}
    assert len(calls) == 4


def test_losses_of_validation_rows_are_those_of_the_labels():
    X, y = rows()
    clf = taught(train_split=ValidSplit(3), max_epochs=1, lr=1e-30)
    plain = full_batch(VanillaClassifier, train_split=ValidSplit(3), max_epochs=1, lr=1e-30).fit(X, y)
    assert clf.history_[0]["valid_loss"] == plain.history_[0]["valid_loss"]
    assert clf.history_[0]["cross_entropy"] != plain.history_[0]["cross_entropy"]


def test_the_choice_of_epochs_learns_from_soft_labels():
    draws = np.random.default_rng(0)
    X = draws.normal(size=(80, 3))
    p = 1 / (1 + np.exp(-X[:, 0]))
    y = (draws.random(80) < p).astype(int)
    options = {"module__hidden": (16,), "lr": 0.02, "batch_size": 32}
    clf = VanillaClassifier(**options, teacher_weight=1.0).fit(X, y, soft_labels=np.full((80, 2), 0.5))
    plain = VanillaClassifier(**options).fit(X, y)
    # the loss of labels that are a toss-up is no less than log 2
    losses = [model.history_[-1]["held_out_train_loss"] for model in (clf, plain)]
    assert losses[1] < np.log(2) <= losses[0]


def test_a_retraining_has_a_teacher():
    X, y = iris()
    old = small(SoftplusClassifier).fit(X, y)
    options = {"k": 2, "max_epochs": 1, "min_precision": 0.0, "max_auc_drop": 1.0}
    new = retrain(small(R2ETClassifier, teacher=GaussianNB()), old, X, y, **options)
    assert new.teacher_auc_ > 0.9
    assert not states_equal(new, retrain(small(R2ETClassifier), old, X, y, **options))


@pytest.mark.parametrize("cls", [SSRClassifier, CertifiedR2ETClassifier, ATEXClassifier])
def test_parts_of_a_batch_keep_their_soft_labels(cls):
    options = {"n_rows": 7} if cls is CertifiedR2ETClassifier else {}
    whole = taught(cls, batch_size=16, max_epochs=2, **options)
    assert_close(whole, taught(cls, batch_size=16, max_epochs=2, internal_batch_size=5, **options))


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda s: s[:, 1], ValueError, r"one column per class, got shape \(30,\)"),
        (lambda s: s[:-1], ValueError, "soft_labels has 29 rows, but X has 30"),
        (lambda s: s[:, :2], ValueError, r"2 columns, but y has 3 classes. Give one column for each of \[0, 1, 2\]"),
        (lambda s: 2 * s, ValueError, "row 0 has 2. Give probabilities"),
        (lambda s: s - np.eye(3)[0], ValueError, "negative value"),
        (lambda s: np.where(s == s[4, 0], np.nan, s), ValueError, "NaN or infinity in row 4"),
        (lambda s: s.astype(str).tolist()[0:1] * 29 + [["a"] * 3], TypeError, "array of numbers"),
        (lambda s: "trees", TypeError, "soft_labels must be an array"),
    ],
)
def test_bad_soft_labels(change, error, message):
    with pytest.raises(error, match=message):
        small(VanillaClassifier).fit(*rows(), soft_labels=change(soft()))


def test_soft_labels_of_two_classes_have_two_columns():
    with pytest.raises(ValueError, match=r"give np.column_stack\(\[1 - p, p\]\)"):
        small(VanillaClassifier).fit(*rows(2), soft_labels=soft(2)[:, 1])


def test_soft_labels_come_in_tables_too():
    frame = pd.DataFrame(soft(), columns=list("abc"), index=range(30, 60))
    assert states_equal(full_batch(VanillaClassifier).fit(*rows(), soft_labels=frame), taught())
    assert states_equal(full_batch(VanillaClassifier).fit(*rows(), soft_labels=torch.tensor(soft())), taught())


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ("trees", "teacher must be an unfitted classifier with fit and predict_proba"),
        (7, "teacher must be"),
        (LogisticRegression, "teacher must be"),
        (soft(), r"Probabilities of the classes go into fit\(X, y, soft_labels=...\)"),
        (StandardScaler(), "teacher must be"),
        (SVC(), "teacher must be"),
    ],
)
def test_what_is_no_teacher(teacher, message):
    with pytest.raises(TypeError, match=message):
        small(VanillaClassifier, teacher=teacher).fit(*rows())


class Bad(ClassifierMixin, BaseEstimator):
    """A teacher whose probabilities are none."""

    def __init__(self, kind):
        self.kind = kind

    def fit(self, X, y):
        self.classes_ = np.unique(y) if self.kind != "classes" else np.arange(5)
        return self

    def predict_proba(self, X):
        if self.kind == "narrow":
            return np.ones((len(X), 1))
        return np.full((len(X), len(self.classes_)), np.nan if self.kind == "nan" else 1.0)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("narrow", r"one column for each of 3 classes, got shape"),
        ("nan", "predict_proba of Bad, the teacher, has NaN"),
        ("sums", "rows with the sum 1, but row 0 has 3"),
        ("classes", r"Bad, the teacher, knows the classes \['0', '1', '2', '3', '4'\], and y has \[0, 1, 2\]"),
    ],
)
def test_teachers_with_bad_probabilities(kind, message):
    with pytest.raises(ValueError, match=message):
        small(VanillaClassifier, teacher=Bad(kind)).fit(*rows())


def test_teachers_that_cannot_be_fitted():
    X, y = rows()
    with pytest.raises(ValueError, match=r"KNeighborsClassifier cannot be the teacher\. It was given an array"):
        small(VanillaClassifier, teacher=KNeighborsClassifier(99)).fit(X, y)
    lone = np.r_[y[y != 2], 2]
    with pytest.raises(ValueError, match=r"two rows of each class.* the class 2 has one"):
        small(VanillaClassifier, teacher=TEACHER).fit(X[: len(lone)], lone)
    with pytest.raises(ValueError, match="teacher and soft_labels both"):
        small(VanillaClassifier, teacher=TEACHER).fit(X, y, soft_labels=soft())


def test_a_rare_class_is_unknown_to_the_teacher_of_one_fold_only():
    X, y = iris()
    y = np.where(np.arange(150) < 2, 3, y)
    clf = small(VanillaClassifier, teacher=DecisionTreeClassifier(max_depth=2)).fit(X, y)
    assert clf.predict_proba(X).shape == (150, 4)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"criterion": nn.MultiMarginLoss}, "MultiMarginLoss takes labels only"),
        ({"criterion__weight": torch.ones(3)}, "criterion__weight weighs labels. Use class_weight"),
        ({"criterion__ignore_index": 1}, "criterion__ignore_index is about labels"),
        ({"iterator_train": DataLoader}, "the iterator DataLoader does not carry them. Use TensorBatches"),
    ],
)
def test_what_cannot_take_soft_labels_says_so(part, message):
    class Other(VanillaClassifier):
        net_defaults = {**VanillaClassifier.net_defaults, **part}

    with pytest.raises(NotImplementedError, match=message):
        taught(Other)
