"""The guard of a retraining: what it lets through, what it logs and what it leaves."""

import copy

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from robustxai import R2ETClassifier, SoftplusClassifier
from robustxai.exceptions import EvaluationWarning
from robustxai.explainers import Gradient
from robustxai.metrics import precision_at_k
from robustxai.training import ExplanationGuard


@pytest.fixture(scope="module", params=[2, 3])
def problem(request):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(240, 6)).astype(np.float32)
    score = X[:, 0] + X[:, 1] * X[:, 2]
    y = np.digitize(score, np.quantile(score, np.arange(1, request.param) / request.param))
    return X, y


def fitted(X, y, **params):
    return SoftplusClassifier(max_epochs=5, batch_size=32, module__hidden=(8,), **params).fit(X, y)


def retrained(problem, old, *, floor, drop=1.0, epochs=6, lr=0.01):
    X, y = problem
    guard = ExplanationGuard(
        old.module_, X[:80], y[:80], explainer=Gradient(), k=3, min_precision=floor, max_auc_drop=drop
    )
    new = R2ETClassifier(
        k=3, lambda_gap=1.0, lr=lr, max_epochs=epochs, batch_size=32, module=copy.deepcopy(old.module_),
        callbacks=[("guard", guard)], callbacks__lr_schedule=None,
    )  # fmt: skip
    return new.fit(X[80:], y[80:])


def guard_of(clf):
    return dict(clf.net_.callbacks_)["guard"]


def test_the_columns_are_precision_and_auc_on_the_validation_rows(problem):
    X, y = problem
    old = fitted(X, y)
    new = retrained(problem, old, floor=0.0, epochs=1)
    labels = old.predict(X[:80])
    expected = precision_at_k(old.explain(X[:80], y=labels), new.explain(X[:80], y=labels), 3).mean()
    assert new.history_[-1, "kept_precision_at_k"] == pytest.approx(expected)
    proba = new.predict_proba(X[:80])
    proba = proba[:, 1] if proba.shape[1] == 2 else proba
    assert new.history_[-1, "valid_auc"] == pytest.approx(roc_auc_score(y[:80], proba, multi_class="ovr"))


def test_training_stops_at_the_first_epoch_below_the_floor(problem):
    old = fitted(*problem)
    free = retrained(problem, old, floor=0.0)
    kept = free.history_[:, "kept_precision_at_k"]
    assert len(kept) == 6
    assert min(kept) < max(kept)
    floor = (min(kept) + max(kept)) / 2
    guarded = retrained(problem, old, floor=floor) if kept[0] >= floor else None
    below = [epoch for epoch, value in enumerate(kept, start=1) if value < floor]
    if guarded is not None:
        assert len(guarded.history_) == below[0]


def test_what_remains_is_the_admissible_epoch_with_the_lowest_loss(problem):
    old = fitted(*problem)
    new = retrained(problem, old, floor=0.0)
    losses = new.history_[:, "train_loss"]
    assert guard_of(new).best_epoch_ == int(np.argmin(losses)) + 1
    again = retrained(problem, old, floor=0.0, epochs=guard_of(new).best_epoch_)
    for a, b in zip(new.module_.parameters(), again.module_.parameters()):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("floor", "drop"), [(1.01, 1.0), (0.0, -1.0)])
def test_where_no_epoch_is_admissible_the_old_weights_remain(problem, floor, drop):
    old = fitted(*problem)
    with pytest.warns(EvaluationWarning, match="old weights remain"):
        new = retrained(problem, old, floor=floor, drop=drop)
    assert len(new.history_) == 1
    for a, b in zip(old.module_.parameters(), new.module_.parameters()):
        assert torch.equal(a, b)
