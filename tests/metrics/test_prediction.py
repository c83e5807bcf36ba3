import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from robustxai.metrics import adversarial_auc, prediction_change, prediction_sensitivity, roc_auc


class Table:
    """Predicts the rows of X, which are probabilities."""

    def __init__(self, classes):
        self.classes_ = np.array(classes)

    def predict_proba(self, X):
        assert not isinstance(X, torch.Tensor)
        return np.asarray(X)


@pytest.fixture(scope="module")
def proba():
    return np.random.default_rng(0).dirichlet(np.ones(3), size=60).round(2)  # rounded: with ties


@pytest.fixture(scope="module")
def y():
    return np.random.default_rng(1).choice(["cat", "dog", "owl"], size=60)


@pytest.mark.parametrize("auc", [roc_auc, adversarial_auc])
def test_equals_scikit_learn(auc, proba, y):
    p = proba / proba.sum(axis=1, keepdims=True)
    expected = roc_auc_score(y, p, multi_class="ovr", average="macro")
    assert auc(Table(["cat", "dog", "owl"]), p, y) == pytest.approx(expected)
    assert auc(Table(["cat", "dog", "owl"]), torch.tensor(p), list(y)) == pytest.approx(expected)
    two, labels = np.stack([1 - proba[:, 0], proba[:, 0]], axis=1), np.where(y == "cat", "no", "yes")
    assert auc(Table(["no", "yes"]), two, labels) == pytest.approx(roc_auc_score(labels == "yes", two[:, 1]))
    assert auc(Table([0, 1]), pd.DataFrame(two), pd.Series(labels == "yes").astype(int)) == auc(
        Table(["no", "yes"]), two, labels
    )


def test_the_area_is_the_share_of_ordered_pairs(proba, y):
    label = y == "cat"
    ordered = [(a > b) + (a == b) / 2 for a in proba[label, 1] for b in proba[~label, 1]]
    two = np.stack([1 - proba[:, 1], proba[:, 1]], axis=1)
    assert roc_auc(Table([False, True]), two, label) == pytest.approx(np.mean(ordered))


def test_classes_missing_in_y_are_left_out(proba, y):
    present = y != "owl"
    expected = np.mean([roc_auc_score(y[present] == c, proba[present, i]) for i, c in enumerate(["cat", "dog"])])
    assert roc_auc(Table(["cat", "dog", "owl"]), proba[present], y[present]) == pytest.approx(expected)


def test_labels_that_cannot_be_scored_are_refused(proba, y):
    with pytest.raises(ValueError, match="two classes"):
        roc_auc(Table(["cat", "dog", "owl"]), proba, ["cat"] * 60)
    with pytest.raises(ValueError, match="owl"):
        roc_auc(Table(["cat", "dog", "emu"]), proba, y)


def test_sensitivity_and_change_equal_the_loops(proba):
    before, after = proba[:30], proba[30:]
    moved, changed = [], []
    for p, q in zip(before, after):
        c = max(range(3), key=lambda i, p=p: p[i])
        moved.append(abs(p[c] - q[c]))
        changed.append(c != max(range(3), key=lambda i, q=q: q[i]))
    model = Table([0, 1, 2])
    np.testing.assert_array_equal(prediction_sensitivity(model, before, after), moved)
    np.testing.assert_array_equal(prediction_change(model, before, after), changed)
    assert 0 < np.mean(changed) < 1
    assert not prediction_sensitivity(model, before, before).any()
    assert not prediction_change(model, before, before).any()


@pytest.mark.parametrize("metric", [prediction_sensitivity, prediction_change])
def test_different_numbers_of_samples_are_refused(metric, proba):
    with pytest.raises(ValueError, match="same samples"):
        metric(Table([0, 1, 2]), proba[:3], proba[:1])
