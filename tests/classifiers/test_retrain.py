"""Retraining of a fitted model."""

import copy

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer
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
    # the network of the old model, ReLU and all, not that of the defence
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
