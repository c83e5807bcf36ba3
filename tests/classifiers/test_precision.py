"""Training in bfloat16 and through torch.compile: what comes out is an ordinary classifier."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from robustxai.classifiers import (
    AdversarialTrainingClassifier,
    ATEXClassifier,
    CertifiedR2ETClassifier,
    ExplanationATClassifier,
    LinearClassifier,
    R2ETClassifier,
    VanillaClassifier,
    WeightDecayClassifier,
)
from robustxai.nets import MLP

from .conftest import small

#: A backend that goes through the whole of torch.compile but for the C++ compiler, which takes seconds for every graph.
QUICK_COMPILE = {"compile": True, "compile__backend": "aot_eager"}


@pytest.fixture(scope="module")
def split():
    """Train and test rows of the breast-cancer table, standardized."""
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    return X[:400], y[:400], X[400:], y[400:]


def same(a, b, X):
    return np.array_equal(a.predict_proba(X), b.predict_proba(X)) and np.array_equal(a.explain(X), b.explain(X))


# ------------------------------------------------------------------ mixed precision


@pytest.mark.parametrize("cls", [VanillaClassifier, R2ETClassifier], ids=lambda cls: cls.__name__)
def test_bfloat16_learns_as_float32_does(cls, split):
    X, y, X_test, y_test = split
    full, mixed = (cls(max_epochs=25, mixed_precision=value).fit(X, y) for value in (False, True))
    losses = mixed.history_[:, "train_loss"]
    assert losses[-1] < 0.5 * losses[0]
    assert np.isfinite(losses).all()
    aucs = [roc_auc_score(y_test, clf.predict_proba(X_test)[:, 1]) for clf in (full, mixed)]
    assert aucs[1] == pytest.approx(aucs[0], abs=0.005)
    assert not same(full, mixed, X)
    columns = ["cross_entropy"] if cls is VanillaClassifier else ["cross_entropy", "gap", "hessian"]
    for name in columns:
        assert mixed.history_[0][name] == pytest.approx(full.history_[0][name], rel=0.05)


def test_every_classifier_trains_in_bfloat16(cls, data):
    X, y = data
    clf = small(cls, mixed_precision=True, warm_up_epochs=1).fit(X, y)
    assert clf.get_params()["mixed_precision"] is True
    assert {p.dtype for p in clf.module_.parameters()} == {torch.float32}
    proba = clf.predict_proba(X)
    assert not np.array_equal(proba, torch.as_tensor(proba).bfloat16().double().numpy())  # predictions have all digits
    if cls is not LinearClassifier:
        assert all(np.isfinite(epoch["train_loss"]) for epoch in clf.history_)
    assert same(pickle.loads(pickle.dumps(clf)), clf, X)


def test_false_is_the_default_and_changes_no_bit(data):
    X, y = data
    assert same(small(R2ETClassifier).fit(X, y), small(R2ETClassifier, mixed_precision=False).fit(X, y), X)
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("value", ["fp16", "bf16", None, 16])
def test_other_precisions_are_not_offered(value, data):
    with pytest.raises(
        TypeError, match=r"mixed_precision must be True \(bfloat16\) or False .* float16 is not offered"
    ):
        small(VanillaClassifier, mixed_precision=value).fit(*data)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_bfloat16_learns_on_a_gpu(split):
    X, y, X_test, y_test = split
    clf = R2ETClassifier(max_epochs=25, mixed_precision=True, device="cuda").fit(X, y)
    assert roc_auc_score(y_test, clf.predict_proba(X_test)[:, 1]) > 0.99


# ------------------------------------------------------------------ compile


@pytest.mark.slow  # half a minute of compilation
def test_compiled_training_ends_in_a_plain_classifier(split):
    X, y, X_test, _ = split
    plain, compiled = (VanillaClassifier(max_epochs=3, compile=value).fit(X, y) for value in (False, True))
    assert type(compiled.module_) is MLP
    np.testing.assert_allclose(compiled.predict_proba(X_test), plain.predict_proba(X_test), atol=1e-3)
    np.testing.assert_allclose(compiled.explain(X_test), plain.explain(X_test), atol=1e-3)
    assert same(pickle.loads(pickle.dumps(compiled)), compiled, X_test)


@pytest.mark.parametrize(
    ("cls", "params"),
    [
        (VanillaClassifier, {}),
        (VanillaClassifier, {"mixed_precision": True}),
        (WeightDecayClassifier, {"warm_up_epochs": 1}),
        (AdversarialTrainingClassifier, {}),
        (ATEXClassifier, {"n_along": 1, "n_across": 1}),
        (LinearClassifier, {}),
    ],
)
def test_the_compiled_training_is_the_same_training(cls, params, data):
    X, y = data[0][:128], data[1][:128]  # no smaller last batch, for which there would be another compilation
    torch.compiler.reset()
    plain = small(cls, **params).fit(X, y)
    compiled = small(cls, **params, **QUICK_COMPILE).fit(X, y)
    assert type(compiled.module_) is MLP
    np.testing.assert_allclose(compiled.predict_proba(X), plain.predict_proba(X), atol=1e-5)
    np.testing.assert_allclose(compiled.explain(X), plain.explain(X), atol=1e-5)
    for travelled in (pickle.loads(pickle.dumps(compiled)), copy.deepcopy(compiled)):
        assert same(travelled, compiled, X)
    assert clone(compiled).get_params() == compiled.get_params()


def test_weights_go_into_a_compiled_training(data):
    X, y = data[0][:128], data[1][:128]
    old = small(VanillaClassifier).fit(X, y)
    start = torch.compile(copy.deepcopy(old.module_), backend="eager")
    for init in (old, start):
        new = small(VanillaClassifier, init=init, lr=1e-12, **QUICK_COMPILE).fit(X, y)
        np.testing.assert_allclose(new.predict_proba(X), old.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize(
    ("cls", "what"),
    [(R2ETClassifier, "RankingGap"), (ExplanationATClassifier, "GapAdversary"), (CertifiedR2ETClassifier, "Spread")],
)
def test_second_derivatives_of_a_compiled_module_are_refused_before_the_training(cls, what, data, monkeypatch):
    monkeypatch.setattr(cls, "train_net", lambda *args: pytest.fail("it trains"))
    clf = small(cls, compile=True, warm_up_epochs=1)
    with pytest.raises(ValueError, match=f"cannot be differentiated twice.*{what}.*Leave it out"):
        clf.fit(*data)


def test_arguments_of_the_compiler_are_checked_by_name():
    assert VanillaClassifier(compile=True, compile__mode="max-autotune").get_params()["compile__mode"] == "max-autotune"
    with pytest.raises(TypeError, match="Did you mean 'compile__mode'"):
        VanillaClassifier(compile__mod="max-autotune")


# ------------------------------------------------------------------ devices


def test_a_numbered_cpu_can_be_pickled(data):
    X, y = data
    clf = small(VanillaClassifier, device="cpu:0").fit(X, y)
    assert same(pickle.loads(pickle.dumps(clf)), clf, X)
