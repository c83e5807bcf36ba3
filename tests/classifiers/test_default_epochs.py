"""The default number of epochs does not overfit small tables, and who overfits is told."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV, train_test_split
from skorch.callbacks import EpochScoring
from skorch.dataset import ValidSplit

from robustxai.classifiers import (
    ATEXClassifier,
    LinearClassifier,
    R2ETClassifier,
    SoftplusClassifier,
    VanillaClassifier,
    WeightDecayClassifier,
    _epochs,
    _net,
)
from robustxai.datasets import make_preprocessor
from robustxai.exceptions import OverfittingWarning
from robustxai.experiments.default_epochs._cell import credit_like
from robustxai.model_selection import BatchedSearchCV

from .test_all import states_equal


def rows_of(name):
    if name == "credit_like":
        X, y = credit_like(4_000)
        split = train_test_split(X, y, train_size=1_000, stratify=y, random_state=1)
    else:
        X, y = {"wine": load_wine, "breast_cancer": load_breast_cancer}[name](return_X_y=True, as_frame=True)
        n_rows = {"wine": 106, "breast_cancer": 128}[name]  # one batch, so that 200 epochs are 200 steps
        split = train_test_split(X, np.asarray(y), train_size=n_rows, stratify=y, random_state=1)
    preprocessor = make_preprocessor(split[0]).fit(split[0])
    return preprocessor.transform(split[0]), preprocessor.transform(split[1]), split[2], split[3]


@pytest.fixture
def short(monkeypatch):
    """Every schedule of max_epochs="auto" takes a hundredth of its steps: of one batch the longest has 20 epochs."""
    monkeypatch.setattr(_net, "AUTO_STEPS", _net.AUTO_STEPS // 100)
    shorter = tuple((share, n_steps // 100, *decay) for share, n_steps, *decay in _epochs._SCHEDULES)
    monkeypatch.setattr(_epochs, "_SCHEDULES", shorter)


@pytest.fixture(scope="module")
def tables():
    return {name: rows_of(name) for name in ("credit_like", "wine", "breast_cancer")}


def scores(clf, X, y):
    p = clf.predict_proba(X)
    auc = roc_auc_score(y, p[:, 1]) if p.shape[1] == 2 else roc_auc_score(y, p, multi_class="ovr")
    return log_loss(y, p), auc


@pytest.mark.parametrize("cls", [SoftplusClassifier, R2ETClassifier])
@pytest.mark.parametrize("name", ["credit_like", "wine", "breast_cancer"])
def test_the_default_is_as_good_as_logistic_regression(cls, name, tables):
    X, X_test, y, y_test = tables[name]
    clf = cls().fit(X, y)
    loss, auc = scores(clf, X_test, y_test)
    line_loss, line_auc = scores(LogisticRegression(max_iter=1000).fit(X, y), X_test, y_test)
    assert loss <= line_loss + 0.01
    assert auc >= line_auc - 0.01


@pytest.mark.parametrize("cls", [VanillaClassifier, WeightDecayClassifier])
def test_a_default_that_overfits_all_the_same_says_so(cls, tables):
    X, X_test, y, y_test = tables["credit_like"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clf = cls().fit(X, y)
    warned = any(issubclass(warning.category, OverfittingWarning) for warning in caught)
    line = LogisticRegression(max_iter=1000).fit(X, y)
    loss, auc = scores(clf, X_test, y_test)
    line_loss, line_auc = scores(line, X_test, y_test)
    assert warned or (loss <= line_loss + 0.01 and auc >= line_auc - 0.01)


@pytest.mark.parametrize("cls", [VanillaClassifier, R2ETClassifier, ATEXClassifier])
def test_the_chosen_schedule_trains_on_all_rows(cls, tables, short):
    """What "auto" trains is, to the last bit, what its schedule trains when it is given as parameters."""
    X, _, y, _ = tables["wine"]
    auto = cls().fit(X, y)
    epochs, decay = auto.schedule_
    given = cls(max_epochs=epochs, optimizer__weight_decay=decay).fit(X, y)
    assert states_equal(auto, given)
    assert {"held_out_loss", "held_out_train_loss"} <= set(auto.history_[-1])
    assert "held_out_loss" not in given.history_[-1]


@pytest.mark.parametrize(
    "params",
    [
        {"max_epochs": 3},
        {"train_split": ValidSplit(4, stratified=True)},
        {"callbacks": [EpochScoring("accuracy", on_train=True, name="acc")]},
    ],
)
def test_nothing_is_held_out_where_the_user_decides(params, tables, short):
    X, _, y, _ = tables["wine"]
    clf = VanillaClassifier(batch_size=-1, **params).fit(X, y)
    assert "held_out_loss" not in clf.history_[-1]
    assert clf.schedule_ == (params.get("max_epochs", 20), 0.0)


@pytest.mark.parametrize("shape", [(20, 3), (49, 3), (60, 1, 8, 8)])
def test_few_rows_and_images_hold_nothing_out(shape, short):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=shape).astype(np.float32), np.arange(shape[0]) % 2
    options = {} if len(shape) == 2 else {"module__channels": (2,)}
    clf = SoftplusClassifier(batch_size=-1, **options).fit(X, y)
    assert "held_out_loss" not in clf.history_[-1]
    assert clf.schedule_ == (20, 0.0)


def test_a_given_decay_stays(short):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)), np.arange(60) % 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OverfittingWarning)
        assert WeightDecayClassifier(0.3).fit(X, y).schedule_.weight_decay == 0.3
        assert VanillaClassifier(optimizer__weight_decay=0.2).fit(X, y).schedule_.weight_decay == 0.2
        assert not hasattr(LinearClassifier().fit(X, y).history_, "held_out_loss")


@pytest.mark.parametrize("cls", [VanillaClassifier, R2ETClassifier])
def test_a_training_that_learns_noise_by_heart_warns(cls):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(120, 20)), np.arange(120) % 2
    options = {"k": 4} if cls is R2ETClassifier else {}
    options |= {"max_epochs": 50, "lr": 0.01}
    clf = cls(train_split=ValidSplit(4, stratified=True), **options)
    with pytest.warns(OverfittingWarning, match=r"held-out rows .*max_epochs=\d+.*optimizer__weight_decay="):
        clf.fit(X, y)
    last = clf.history_[-1]
    assert last["valid_loss"] > 2 * last["cross_entropy"]
    with warnings.catch_warnings():
        warnings.simplefilter("error", OverfittingWarning)
        far_apart = X + 4.0 * y[:, None]
        cls(train_split=ValidSplit(4, stratified=True), **options).fit(far_apart, y)


GRID = {"lambda_hessian": [0.0, 0.02], "random_state": [0, 1]}


@pytest.mark.parametrize(("own_rows", "n_looks"), [(0, 2), (500, 4)])
def test_a_search_looks_once_per_split_and_trains_what_a_fit_trains(own_rows, n_looks, tables, short, monkeypatch):
    """From so many rows on once for every split, below that once for every defense too; never for a seed."""
    monkeypatch.setattr(_epochs, "_OWN_ROWS", own_rows)
    X, _, y, _ = tables["wine"]
    calls = []
    watch = _epochs.watch_held_out
    monkeypatch.setattr(_epochs, "watch_held_out", lambda *args: calls.append(1) or watch(*args))
    estimator = R2ETClassifier(k=3, module__hidden=(8,))
    stacked = BatchedSearchCV(estimator, GRID, cv=2, refit=False, scoring="neg_log_loss").fit(X, y)
    assert len(calls) == n_looks
    assert stacked.cv_results_["stacked"].all()
    alone = GridSearchCV(estimator, GRID, cv=2, refit=False, scoring="neg_log_loss").fit(X, y)
    assert len(calls) == n_looks + 2 * 4
    pd.testing.assert_series_equal(
        pd.Series(stacked.cv_results_["mean_test_score"]), pd.Series(alone.cv_results_["mean_test_score"]), rtol=1e-3
    )
