"""Retraining of a fitted model."""

import copy

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from robustxai import R2ETClassifier, SoftplusClassifier, VanillaClassifier, retrain
from robustxai.metrics import precision_at_k


@pytest.fixture(scope="module")
def table():
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    return StandardScaler().set_output(transform="pandas").fit_transform(X), y.map({0: "bad", 1: "good"})


@pytest.fixture(scope="module")
def old(table):
    return VanillaClassifier(max_epochs=20).fit(*table)


@pytest.mark.parametrize("kind", ["classifier", "net", "module"])
def test_it_starts_from_any_kind_of_model_and_leaves_it_alone(kind, table, old):
    init = {"classifier": old, "net": old.net_, "module": old.module_}[kind]
    before = copy.deepcopy(old.module_.state_dict())
    estimator = R2ETClassifier(lr=1e-3, module__hidden=(3,))
    new = retrain(estimator, init, *table, max_epochs=2, min_precision=0.0)
    assert not hasattr(estimator, "net_")
    assert type(new) is R2ETClassifier
    assert new.lambda_gap == estimator.lambda_gap
    for name, value in old.module_.state_dict().items():
        assert torch.equal(value, before[name])
    # the network of the old model, ReLU and all, not that of the defense
    assert repr(new.module_) == repr(old.module_)
    assert any(not torch.equal(a, b) for a, b in zip(old.module_.parameters(), new.module_.parameters()))
    assert set(new.predict(table[0])) == {"bad", "good"}


def test_the_explanations_stay_above_the_floor(table, old):
    new = retrain(R2ETClassifier(lr=1e-3, lambda_hessian=0), old, *table, max_epochs=5, min_precision=0.7)
    kept = new.history_[:, "kept_precision_at_k"]
    assert all(value >= 0.7 for value in kept[:-1])
    labels = old.predict(table[0])
    overlap = precision_at_k(old.explain(table[0], y=labels), new.explain(table[0], y=labels), 8).mean()
    fresh = SoftplusClassifier(max_epochs=20, random_state=1).fit(*table)
    other = precision_at_k(old.explain(table[0], y=labels), fresh.explain(table[0], y=labels), 8).mean()
    assert overlap > other


def test_callbacks_of_the_estimator_stay(table, old):
    from skorch.callbacks import EpochScoring

    scoring = EpochScoring("accuracy", on_train=True, name="hits", use_caching=False)
    new = retrain(R2ETClassifier(callbacks=[("hits", scoring)]), old, *table, max_epochs=1, min_precision=0.0)
    assert {"hits", "kept_precision_at_k"} <= set(new.history_[-1])


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"init": "vanilla"}, TypeError, "init must be a fitted"),
        ({"min_precision": -1}, ValueError, "min_precision"),
        ({"max_auc_drop": np.nan}, ValueError, "max_auc_drop"),
    ],
)
def test_bad_input(change, error, match, table, old):
    arguments = {"init": old, **change}
    with pytest.raises(error, match=match):
        retrain(R2ETClassifier(), arguments.pop("init"), *table, **arguments)


def test_beta_makes_relus_smooth_and_keeps_the_weights(table, old):
    untouched = retrain(
        R2ETClassifier(lr=1e-12), old, *table, beta=4.0, max_epochs=1, max_auc_drop=1.0, min_precision=0.0
    )
    activations = [m for m in untouched.module_.modules() if isinstance(m, (torch.nn.ReLU, torch.nn.Softplus))]
    assert [(type(m), m.beta) for m in activations] == [(torch.nn.Softplus, 4.0)] * 2
    for a, b in zip(old.module_.parameters(), untouched.module_.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-8)
    # what has to be kept are the explanations of the old network, ReLUs and all
    sharp = retrain(R2ETClassifier(lr=1e-12), old, *table, beta=1e3, max_epochs=1, max_auc_drop=1.0, min_precision=0.0)
    kept = [new.history_[-1]["kept_precision_at_k"] for new in (untouched, sharp)]
    assert kept[0] < kept[1]
    assert kept[1] > 0.99


def test_the_guard_watches_the_rows_it_is_given(table, old):
    X, y = table
    seen, fresh = (X[:400], y[:400]), (X[400:], y[400:])
    new = retrain(VanillaClassifier(lr=1e-12), old, *seen, validation_data=fresh, max_epochs=1, max_auc_drop=1.0)
    expected = roc_auc_score(fresh[1] == "good", old.predict_proba(fresh[0])[:, 1])
    assert new.history_[-1]["valid_auc"] == pytest.approx(expected, abs=1e-9)
    assert new.history_[-1]["kept_precision_at_k"] == 1.0


def test_a_class_that_only_the_validation_rows_have_is_refused(table, old):
    X, y = table
    with pytest.raises(ValueError, match="class 'unknown'"):
        retrain(VanillaClassifier(), old, X, y, validation_data=(X[:10], ["unknown"] * 10))
