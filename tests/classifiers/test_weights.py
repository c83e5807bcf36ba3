"""Weights of rows and of classes."""

import functools

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_sample_weight
from torch import nn
from torch.utils.data import DataLoader

from robustxai._table_summary import one_hot_groups, typical_row
from robustxai.classifiers import (
    ARTClassifier,
    ATEXClassifier,
    CertifiedR2ETClassifier,
    EstimatedHessianClassifier,
    FARClassifier,
    IGNormClassifier,
    IGRClassifier,
    LinearClassifier,
    MapDiscrepancyClassifier,
    R2ETClassifier,
    SoftplusClassifier,
    SSRClassifier,
    VanillaClassifier,
    retrain,
)

from .conftest import CLASSIFIERS, iris, small
from .test_all import fitted, states_equal

#: Their penalties draw random numbers, one per row, so that repeated rows draw others.
DRAWS = (
    ARTClassifier,
    ATEXClassifier,
    CertifiedR2ETClassifier,
    EstimatedHessianClassifier,
    FARClassifier,
    IGNormClassifier,
    IGRClassifier,
    MapDiscrepancyClassifier,
    R2ETClassifier,
    SSRClassifier,
)


@functools.cache
def rows():
    X, y = iris()
    return X[:30], y[:30]


@functools.cache
def counts():
    return np.random.default_rng(1).integers(1, 4, size=30)


def full_batch(cls, **params):
    return small(cls, **{"batch_size": -1, "max_epochs": 4, "lr": 0.01, **params})


def weights_of(clf):
    return torch.cat([p.detach().flatten() for p in clf.module_.parameters()]).numpy()


def assert_close(a, b, atol=1e-5):
    np.testing.assert_allclose(weights_of(a), weights_of(b), rtol=0, atol=atol)


def weighted(cls=VanillaClassifier, sample_weight=None, **params):
    return full_batch(cls, **params).fit(*rows(), sample_weight=counts() if sample_weight is None else sample_weight)


# ------------------------------------------------------------------ what a weight means


FORMS = [(cls, {}) for cls in CLASSIFIERS if cls not in DRAWS] + [
    (R2ETClassifier, {"hessian": "exact"}),
    (R2ETClassifier, {"hessian": "exact", "warm_up_epochs": 2}),
    (VanillaClassifier, {"criterion__weight": torch.tensor([1.0, 2.0, 0.5])}),
    (VanillaClassifier, {"criterion__label_smoothing": 0.1}),
    (VanillaClassifier, {"criterion__ignore_index": 1}),
    (VanillaClassifier, {"internal_batch_size": 13}),
    (VanillaClassifier, {"criterion__weight": torch.tensor([1.0, 2.0, 0.5]), "internal_batch_size": 13}),
]


@pytest.mark.parametrize(("cls", "params"), FORMS, ids=lambda value: getattr(value, "__name__", None) or str(value))
def test_a_whole_weight_is_as_many_rows(cls, params):
    X, y = rows()
    clf = weighted(cls, **params)
    repeated = full_batch(cls, **params).fit(np.repeat(X, counts(), axis=0), np.repeat(y, counts()))
    assert_close(clf, repeated)
    plain = full_batch(cls, **params).fit(X, y)
    assert np.abs(weights_of(plain) - weights_of(repeated)).max() > 1e-4
    for name in ("feature_means_", "feature_scales_", "feature_range_"):
        np.testing.assert_allclose(getattr(clf, name), getattr(repeated, name), rtol=1e-7)
    if cls is not LinearClassifier:
        losses = [epoch["train_loss"] for epoch in clf.history_]
        np.testing.assert_allclose(losses, repeated.history_[:, "train_loss"], rtol=1e-5)


def test_the_typical_row_counts_weights():
    rng = np.random.default_rng(0)
    X = np.hstack([rng.normal(size=(41, 3)), np.eye(3)[rng.integers(0, 3, size=41)]])
    for counts_ in rng.integers(1, 5, size=(20, 41)):
        groups = one_hot_groups(X)
        assert len(groups) == 4
        weighted_row = typical_row(X, groups, 0.25 * counts_)
        assert np.array_equal(weighted_row, typical_row(np.repeat(X, counts_, axis=0), groups))
    y = rng.integers(0, 2, size=41)
    params = {"explainer": "column_contributions", "hessian": "exact", "k": 2}
    clf = full_batch(R2ETClassifier, **params).fit(X, y, counts_)
    repeated = full_batch(R2ETClassifier, **params).fit(np.repeat(X, counts_, axis=0), np.repeat(y, counts_))
    assert_close(clf, repeated)
    assert np.array_equal(clf.table_summary_.baseline, repeated.table_summary_.baseline)


def test_rows_of_weight_zero_are_left_out_and_classes_multiply(cls):
    X, y = rows()
    weights = np.arange(30) % 4 * 0.5
    kept = weights > 0
    of_class = {0: 3.0, 2: 0.5}
    options = {"max_epochs": 1, "batch_size": 16}
    clf = small(cls, class_weight=of_class, **options).fit(X, y, weights)
    product = weights * compute_sample_weight({1: 1.0, **of_class}, y)
    by_hand = small(cls, **options).fit(X[kept], y[kept], product[kept])
    assert states_equal(clf, by_hand)
    assert np.array_equal(clf.feature_range_, by_hand.feature_range_)
    assert not states_equal(clf, fitted_plainly(cls))


@functools.cache
def fitted_plainly(cls):
    return small(cls, max_epochs=1, batch_size=16).fit(*rows())


@pytest.mark.parametrize("cls", [VanillaClassifier, R2ETClassifier, ATEXClassifier, LinearClassifier])
def test_only_ratios_count(cls, data):
    X, y = (part[:40] for part in data)
    options = {"max_epochs": 1, "batch_size": 16}
    plain, ones = small(cls, **options).fit(X, y), small(cls, **options).fit(X, y, np.ones(40))
    assert states_equal(plain, ones)
    assert np.array_equal(plain.feature_means_, ones.feature_means_)
    if cls is not LinearClassifier:  # the sum of the weights counts against scikit-learn's penalty
        assert states_equal(plain, small(cls, **options).fit(X, y, np.full(40, 0.1)))
        first, scaled = (small(cls, **options).fit(X, y, np.arange(1, 41) * c) for c in (1, 1024))
        assert states_equal(first, scaled)


def test_the_linear_classifier_weighs_as_scikit_learn_does():
    X, y = rows()
    for class_weight in (None, "balanced", {0: 5.0}):
        clf = LinearClassifier(C=0.3, class_weight=class_weight).fit(X, y, counts())
        model = LogisticRegression(C=0.3, class_weight=class_weight, max_iter=1000).fit(X, y, counts())
        np.testing.assert_allclose(clf.predict_proba(X), model.predict_proba(X), atol=1e-3)


def test_weights_of_mini_batches_have_mean_one_over_all_rows():
    """One step of SGD per batch, by hand."""
    X, y = rows()
    w = counts() / counts().mean()
    params = {"optimizer": torch.optim.SGD, "callbacks__lr_schedule": None, "lr": 0.1, "max_epochs": 1}
    clf = weighted(batch_size=7, iterator_train__shuffle=False, **params)
    net = full_batch(VanillaClassifier, **{**params, "lr": 1e-30}).fit(X, y).net_.module_.train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for i in range(0, 30, 7):
        part = slice(i, i + 7)
        losses = nn.functional.cross_entropy(
            net(torch.tensor(X[part], dtype=torch.float32)), torch.tensor(y[part]), reduction="none"
        )
        optimizer.zero_grad()
        (losses * torch.tensor(w[part])).mean().backward()
        optimizer.step()
    by_hand = torch.cat([p.detach().ravel() for p in net.parameters()])
    np.testing.assert_allclose(weights_of(clf), by_hand, atol=1e-6)


@pytest.mark.parametrize("cls", [SSRClassifier, CertifiedR2ETClassifier, IGNormClassifier, ATEXClassifier])
def test_parts_of_a_batch_keep_their_weights(cls):
    options = {"n_rows": 7} if cls is CertifiedR2ETClassifier else {}
    whole = weighted(cls, batch_size=16, max_epochs=2, **options)
    parts = weighted(cls, batch_size=16, max_epochs=2, internal_batch_size=5, **options)
    assert_close(whole, parts)


def test_a_penalty_on_the_first_rows_takes_their_weights():
    from robustxai.penalties import BasePenalty
    from robustxai.training import Term

    class OfFirst(BasePenalty):
        n_rows = 4

        def __call__(self, batch):
            return batch.logits[: batch.among_first(4)].square().sum(dim=-1)

    class Penalized(VanillaClassifier):
        def terms(self, n_units):
            return [Term("first", 1.0, OfFirst())]

    X, _ = rows()
    clf = weighted(Penalized, max_epochs=1, iterator_train__shuffle=False, lr=1e-30)
    w = counts() / counts().mean()
    logits = clf.module_(torch.tensor(X[:4], dtype=torch.float32)).detach().square().sum(dim=1).numpy()
    np.testing.assert_allclose(clf.history_[0]["first"], (w[:4] * logits).mean(), rtol=1e-5)


# ------------------------------------------------------------------ weights of classes


def test_class_weights_go_by_label_and_are_no_number_of_rows():
    X, y = rows()
    cls, of_class = VanillaClassifier, {0: 3.0, 2: 0.5}
    options = {"max_epochs": 1, "batch_size": 16}
    clf = small(cls, class_weight=of_class, **options).fit(X, y, counts())
    plain = small(cls, **options).fit(X, y, counts())
    assert not states_equal(clf, plain)
    assert np.array_equal(clf.feature_means_, plain.feature_means_)  # a cost is no number of rows
    names = np.array(["a", "b", "c"])[y]
    named = small(cls, class_weight={"a": 3.0, "c": 0.5}, **options).fit(X, names, counts())
    assert states_equal(clf, named)
    assert clone(clf).class_weight == of_class


def test_balanced_classes_have_equal_totals():
    X, y = rows()
    keep = (y != 0) | (np.arange(30) % 3 == 0)
    X, y, w = X[keep], y[keep], counts()[keep]
    totals = np.bincount(y, w)
    balanced = full_batch(VanillaClassifier, class_weight="balanced").fit(X, y, w)
    by_hand = full_batch(VanillaClassifier).fit(X, y, w / totals[y])
    assert_close(balanced, by_hand, atol=1e-7)
    known = full_batch(VanillaClassifier, class_weight="balanced").fit(X, y)
    assert_close(known, full_batch(VanillaClassifier).fit(X, y, compute_sample_weight("balanced", y)), atol=1e-7)


def test_a_rare_class_is_found_when_classes_are_balanced():
    rng = np.random.default_rng(0)
    y = (rng.random(300) < 0.1).astype(int)
    X = rng.normal(size=(300, 4)) + y[:, None] * 0.6
    plain, balanced = (
        SoftplusClassifier(max_epochs=15, module__hidden=(8,), class_weight=c).fit(X, y) for c in (None, "balanced")
    )
    found = [(clf.predict(X)[y == 1] == 1).mean() for clf in (plain, balanced)]
    assert found[1] > found[0] + 0.2


# ------------------------------------------------------------------ epochs, retraining


def test_held_out_losses_are_weighted():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3))
    y = (X[:, 0] > 0).astype(int)
    wrong = rng.random(80) < 0.3
    y[wrong] = 1 - y[wrong]
    options = {"module__hidden": (4,), "lr": 0.02, "batch_size": 32}
    # the wrong labels count so little that the choice is that on the others
    clf = VanillaClassifier(**options).fit(X, y, np.where(wrong, 1e-9, 1.0))
    plain = VanillaClassifier(**options).fit(X, y)
    losses = [model.history_[-1]["held_out_loss"] for model in (clf, plain)]
    assert losses[0] < losses[1] - 0.1
    assert "held_out_train_loss" in clf.history_[-1]


def test_validation_losses_are_weighted():
    from skorch.dataset import ValidSplit

    X, y = rows()
    clf = weighted(train_split=ValidSplit(3), max_epochs=1, lr=1e-30)
    valid = list(ValidSplit(3)(_pairs(X, y)))[1].indices
    loss = log_loss(y[valid], clf.predict_proba(X[valid]), sample_weight=counts()[valid], labels=[0, 1, 2])
    np.testing.assert_allclose(clf.history_[0]["valid_loss"], loss, rtol=1e-5)


def _pairs(X, y):
    from skorch.dataset import Dataset

    return Dataset(X, y)


def test_a_retraining_is_weighted():
    X, y = iris()
    w = np.random.default_rng(2).integers(0, 4, size=len(y))
    old = fitted(SoftplusClassifier)
    estimator = small(R2ETClassifier, batch_size=-1)
    options = {"k": 2, "max_epochs": 2, "min_precision": 0.0, "max_auc_drop": 1.0}
    data = (X[100:], y[100:])
    new = retrain(estimator, old, X[:100], y[:100], sample_weight=w[:100], validation_data=data, **options)
    kept = w[:100] > 0
    same = retrain(
        estimator, old, X[:100][kept], y[:100][kept], sample_weight=w[:100][kept], validation_data=data, **options
    )
    plain = retrain(estimator, old, X[:100], y[:100], validation_data=data, **options)
    assert states_equal(new, same)
    assert not states_equal(new, plain)
    split = retrain(estimator, old, X, y, sample_weight=w, **options)
    assert not states_equal(split, retrain(estimator, old, X, y, **options))


# ------------------------------------------------------------------ bad weights


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (-np.ones(30), ValueError, "negative value -1"),
        (np.full(30, np.nan), ValueError, "NaN or infinity"),
        (np.full(30, np.inf), ValueError, "NaN or infinity"),
        (np.ones(29), ValueError, "sample_weight has 29 entries, but X has 30 rows"),
        (np.ones((30, 1)), ValueError, r"one axis, got shape \(30, 1\)"),
        (np.zeros(30), ValueError, "zero in all rows"),
        (["heavy"] * 30, TypeError, "array of numbers"),
    ],
)
def test_bad_weights_of_rows(weights, error, message):
    for cls in (VanillaClassifier, LinearClassifier):
        with pytest.raises(error, match=message):
            small(cls).fit(*rows(), sample_weight=weights)


def test_a_class_without_weight():
    X, y = rows()
    with pytest.raises(ValueError, match=r"All rows of the class 1 have weight zero .* cannot be learned"):
        small(VanillaClassifier).fit(X, y, y != 1)
    with pytest.raises(ValueError, match="All rows of the class 'b' have weight zero"):
        small(VanillaClassifier, class_weight={"b": 0}).fit(X, np.array(["a", "b", "c"])[y])


@pytest.mark.parametrize(
    ("class_weight", "error", "message"),
    [
        ({"b": 2.0}, ValueError, r"the label 'b', which is none of the classes \[0, 1, 2\]"),
        ({0: -1.0}, ValueError, "class_weight has the negative value -1"),
        ({0: np.nan}, ValueError, "class_weight has NaN"),
        ({0: "much"}, TypeError, "one number per label"),
        ("balance", ValueError, "class_weight='balance' is not known. Did you mean 'balanced'"),
        ([1.0, 2.0, 3.0], TypeError, "class_weight must be a dict"),
    ],
)
def test_bad_weights_of_classes(class_weight, error, message):
    with pytest.raises(error, match=message):
        small(VanillaClassifier, class_weight=class_weight).fit(*rows())


def test_labels_that_a_fold_does_not_have_are_allowed():
    X, y = rows()
    all_classes = {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0}
    assert states_equal(
        small(VanillaClassifier, class_weight=all_classes).fit(X, y),
        small(VanillaClassifier, class_weight={0: 1.0, 1: 2.0, 2: 3.0}).fit(X, y),
    )


class PerBatch(nn.Module):
    """A criterion without a loss per row."""

    def forward(self, logits, labels):
        return nn.functional.cross_entropy(logits, labels)


class Deaf(nn.CrossEntropyLoss):
    """A criterion that does not obey its `reduction`."""

    def forward(self, logits, labels):
        return nn.functional.cross_entropy(logits, labels)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"criterion": PerBatch}, "PerBatch has no reduction='none'"),
        ({"criterion": Deaf}, "Deaf does not return one loss per row"),
        ({"iterator_train": DataLoader}, "the iterator DataLoader does not carry them. Use TensorBatches"),
    ],
)
def test_what_cannot_take_weights_says_so(part, message):
    class Other(VanillaClassifier):
        net_defaults = {**VanillaClassifier.net_defaults, **part}

    with pytest.raises(NotImplementedError, match=message):
        weighted(Other)


def test_weights_of_classes_are_not_counted_twice():
    clf = small(VanillaClassifier, class_weight="balanced", criterion__weight=torch.ones(3))
    with pytest.raises(ValueError, match=r"class_weight and criterion__weight both give weights"):
        clf.fit(*rows())
