import functools

import numpy as np
import pytest
from sklearn.base import clone

from robustxai.certificates import certify_top_k
from robustxai.classifiers import CertifiedR2ETClassifier, VanillaClassifier
from robustxai.penalties import CertifiedGap

from .conftest import iris, small
from .test_all import states_equal


def quick(**params):
    """Return an instance with bounds for few rows, after one epoch without them."""
    return small(CertifiedR2ETClassifier, **{"n_rows": 4, "warm_up_epochs": 1, **params})


@functools.cache
def plain_network(**params):
    """Return the network that no bound has trained, which is one for every radius."""
    return small(CertifiedR2ETClassifier, lambda_certified=0.0, **params).fit(*iris())


@pytest.mark.parametrize("warm_up_epochs", [0, 2])
def test_weight_zero_is_vanilla_to_the_last_bit(warm_up_epochs, data):
    X, y = data
    options = {"warm_up_epochs": warm_up_epochs, "weight_decay": 0, "module__activation": "relu", "module__beta": 1.0}
    a = small(CertifiedR2ETClassifier, lambda_certified=0, **options).fit(X, y)
    b = small(VanillaClassifier, warm_up_epochs=warm_up_epochs).fit(X, y)
    assert states_equal(a, b)
    assert np.array_equal(a.explain(X), b.explain(X))


@pytest.mark.parametrize(("epsilon", "least", "gain"), [(0.25, 0.93, 0.12), (0.5, 0.83, 0.18)])
def test_training_through_the_bound_proves_more(epsilon, least, gain, data):
    X, y = data
    options = {"max_epochs": 60, "module__hidden": (16,), "batch_size": 75, "lr": 0.02}
    plain = plain_network(**options)
    trained = small(CertifiedR2ETClassifier, lambda_certified=0.3, epsilon=epsilon, **options).fit(X, y)
    # the same network, as accurate as before, and not a collapsed one whose ranking is the same everywhere
    assert min(plain.score(X, y), trained.score(X, y)) > 0.93
    tops = {tuple(sorted(row)) for row in np.argsort(-np.abs(trained.explain(X)), axis=1)[:, :2].tolist()}
    assert len(tops) > 1
    before, after = (certify_top_k(clf, X, k=2, epsilon=epsilon).precision_at_k.mean() for clf in (plain, trained))
    assert after > least
    assert after > before + gain


def bounds_taken(monkeypatch, data, **params):
    """What each step of a training put into the objective, and at which share of the training."""
    taken = []

    def one(self, batch):
        taken.append(batch.progress)
        return batch.x.sum(dim=1) * 0 + 1.0

    monkeypatch.setattr(CertifiedGap, "__call__", one)
    clf = small(CertifiedR2ETClassifier, **{"warm_up_epochs": 0, "max_epochs": 3, **params}).fit(*data)
    return taken, clf


@pytest.mark.parametrize(("n_bounds", "expected"), [(1, 1), (3, 3), (5, 5), (15, 15), (500, 15), (None, 15)])
def test_so_many_bounds_evenly_spread(n_bounds, expected, monkeypatch, data):
    taken, _ = bounds_taken(monkeypatch, data, n_bounds=n_bounds)
    assert len(taken) == expected
    np.testing.assert_allclose(taken, np.arange(expected) / expected, atol=1e-9)


def test_a_bound_weighs_as_much_as_the_steps_that_it_stands_for(monkeypatch, data):
    """Of 15 steps the 1st, 6th and 11th: a penalty of one in every step is 1 + 5 + 5 in sum there."""
    _, clf = bounds_taken(monkeypatch, data, n_bounds=3, batch_size=30)
    total = 5 * sum(epoch["certified"] for epoch in clf.history_)
    assert total == pytest.approx(11)


def test_weight_decay_is_that_of_the_optimizer(data):
    decayed = quick(weight_decay=0.3).fit(*data)
    by_name = quick(optimizer__weight_decay=0.3).fit(*data)
    assert states_equal(decayed, by_name)
    assert not states_equal(decayed, quick().fit(*data))


def test_the_radius_reaches_its_full_length(data):
    clf = quick(max_epochs=3).fit(*data)
    # the last of 3 epochs of 5 batches: 2 + 4/5 of 3
    assert clf.net_.progress_ == pytest.approx(14 / 15)


def test_a_clone_of_a_fitted_model_starts_again(data):
    clf = quick().fit(*data)
    assert states_equal(clf, clone(clf).fit(*data))
    assert states_equal(clf, quick().fit(*data))


@pytest.mark.parametrize(
    "wrong",
    [
        {"lambda_certified": -1},
        {"k": 0},
        {"n_pairs": 0},
        {"n_rows": 0},
        {"epsilon": -1},
        {"norm": 1},
        {"n_bounds": 0},
        {"weight_decay": -1},
    ],
)
def test_parameters_out_of_range(wrong, data):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        small(CertifiedR2ETClassifier, **wrong).fit(*data)


def test_k_is_clipped_with_a_warning(data):
    with pytest.warns(UserWarning, match="k=9 is not smaller"):
        clipped = quick(k=9).fit(*data)
    assert states_equal(clipped, quick(k=3).fit(*data))
