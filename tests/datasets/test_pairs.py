from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustxai.datasets import load_abide, make_pairs


def every_pair(y, items, partners=None):
    """All pairs by enumeration, as sets of their members, of one class and of two."""
    both = itertools.combinations(items, 2) if partners is None else itertools.product(items, partners)
    same, different = set(), set()
    for a, b in both:
        (same if y[a] == y[b] else different).add(frozenset((int(a), int(b))))
    return same, different


def as_sets(pairs):
    """The drawn pairs, as sets of their members, of one class and of two."""
    members = [frozenset(map(int, pair)) for pair in pairs.indices]
    return ({m for m, label in zip(members, pairs.y) if label}, {m for m, label in zip(members, pairs.y) if not label})


labels = st.lists(st.integers(0, 3), min_size=2, max_size=24).map(np.array)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def problems(draw):
    """Labels, items, partners (or None) for which there are pairs of both kinds, and a number that can be had."""
    y = draw(labels)
    order = np.random.RandomState(draw(seeds)).permutation(len(y))
    cut = draw(st.integers(1, len(y)))
    items, partners = order[:cut], draw(st.sampled_from([None, order[cut:]]))
    same, different = every_pair(y, items, partners)
    most = min(len(same), len(different))
    if not most:
        y, items, partners, most = np.array([0, 0, 1, 1]), np.arange(4), None, 2
    return y, items, partners, draw(st.integers(2, 2 * most))


@settings(max_examples=200, deadline=None)
@given(problem=problems(), seed=seeds)
def test_the_pairs_are_different_balanced_rightly_labeled_and_of_the_right_members(problem, seed):
    y, items, partners, n_pairs = problem
    X = np.arange(len(y) * 3.0).reshape(-1, 3)
    pairs = make_pairs(X, y, items=items, partners=partners, n_pairs=n_pairs, random_state=seed)
    assert len(pairs.X) == len(pairs.y) == len(pairs.indices) == n_pairs
    assert np.bincount(pairs.y, minlength=2).tolist() == [n_pairs - n_pairs // 2, n_pairs // 2]
    drawn = as_sets(pairs)
    possible = every_pair(y, items, partners)
    assert drawn[0] <= possible[0]
    assert drawn[1] <= possible[1]
    # as sets, so that (a, b) and (b, a) would be counted once
    assert len(drawn[0]) + len(drawn[1]) == n_pairs
    np.testing.assert_array_equal(pairs.X, X[pairs.indices])
    if partners is not None:
        assert set(pairs.indices[:, 0]) <= set(items)
        assert set(pairs.indices[:, 1]) <= set(partners)


@settings(max_examples=50, deadline=None)
@given(problem=problems(), seed=seeds)
def test_all_is_as_many_as_balance_allows(problem, seed):
    y, items, partners, _ = problem
    pairs = make_pairs(y[:, None], y, items=items, partners=partners, n_pairs="all", random_state=seed)
    same, different = every_pair(y, items, partners)
    assert len(pairs.y) == 2 * min(len(same), len(different))
    drawn = as_sets(pairs)
    assert (drawn[0] == same) if len(same) <= len(different) else (drawn[1] == different)
    with pytest.raises(ValueError, match="is more than"):
        make_pairs(y[:, None], y, items=items, partners=partners, n_pairs=len(pairs.y) + 2)


@settings(max_examples=50, deadline=None)
@given(problem=problems(), seed=seeds)
def test_the_same_seed_gives_the_same_pairs_and_no_global_state_is_touched(problem, seed):
    y, items, partners, n_pairs = problem
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    options = {"items": items, "partners": partners, "n_pairs": n_pairs}
    first, second = (make_pairs(y[:, None], y, random_state=seed, **options) for _ in range(2))
    for one, other in zip(first, second):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_another_seed_gives_other_pairs():
    y = np.arange(40) % 2
    one, other = (make_pairs(y[:, None], y, n_pairs=60, random_state=seed) for seed in (0, 1))
    assert as_sets(one) != as_sets(other)


@settings(max_examples=50, deadline=None)
@given(seed=seeds, n_items=st.integers(2, 30), per_item=st.integers(1, 6), n_classes=st.integers(2, 4))
def test_every_held_out_item_meets_as_many_of_its_class_as_of_others(seed, n_items, per_item, n_classes):
    # at least six partners of each class, so that no item runs out of them
    y = np.random.RandomState(seed).permutation(np.arange(n_items + 6 * n_classes) % n_classes)
    partners = np.concatenate([np.flatnonzero(y == label)[:6] for label in range(n_classes)])
    items = np.setdiff1d(np.arange(len(y)), partners)
    pairs = make_pairs(y[:, None], y, items=items, partners=partners, n_pairs=2 * per_item * n_items)
    for label in (0, 1):
        assert (np.bincount(pairs.indices[pairs.y == label, 0], minlength=len(y))[items] == per_item).all()


def test_by_default_each_item_begins_ten_pairs_and_partners_come_about_equally_often():
    y = np.random.RandomState(0).permutation(np.repeat(np.arange(10), 30))
    X = np.zeros((300, 1))
    pairs = make_pairs(X, y)
    assert len(pairs.y) == 3000
    # 20 on average; drawn at random, the rarest and the most frequent of 300 would have about 8 and 33
    assert np.bincount(pairs.indices.ravel(), minlength=300).min() >= 14
    assert np.bincount(pairs.indices.ravel()).max() <= 26
    held_out = make_pairs(X, y, items=np.arange(60), partners=np.arange(60, 300))
    assert np.bincount(held_out.indices[:, 0]).tolist() == [10] * 60
    assert np.bincount(held_out.indices[:, 1]).max() <= 7  # 2.5 on average
    # two each of two classes: there are only 2 pairs of one class, so only 2 of two are taken
    assert len(make_pairs(X[:4], [0, 0, 1, 1]).y) == 4


def test_kinds_are_mixed_and_rare_classes_are_met():
    y = np.repeat([0, 1], [100, 20])
    pairs = make_pairs(y[:, None], y)
    assert set(pairs.indices.ravel()) == set(range(120))
    assert 0.3 < pairs.y[: len(pairs.y) // 2].mean() < 0.7  # and not one kind after the other


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((8, 5), (6, 2, 5)), ((8, 3, 4, 5), (6, 2, 3, 4, 5)), ((8, 4, 4), (6, 2, 1, 4, 4)), ((8, 4, 5), (6, 2, 1, 4, 5))],
)
def test_shapes_and_types_of_tables_images_and_graphs(shape, expected):
    X = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    pairs = make_pairs(X, ["a", "b"] * 4, n_pairs=6)
    assert pairs.X.shape == expected
    assert (pairs.X.dtype, pairs.y.dtype) == (np.float32, np.int64)
    for pair, members in zip(pairs.X, pairs.indices):
        np.testing.assert_array_equal(pair.reshape(2, -1), X[members].reshape(2, -1))


def test_items_are_by_default_all_that_are_no_partners():
    y = np.arange(12) % 2
    pairs = make_pairs(y[:, None], y, partners=[0, 1, 2, 3])
    assert set(pairs.indices[:, 0]) == set(range(4, 12))
    assert set(pairs.indices[:, 1]) <= {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"items": [0, 1], "partners": [1, 2, 3]}, r"items and in partners; \[1\] are in both"),
        ({"items": [0, 1, 99]}, "from 0 to 7"),
        ({"items": [0, 1, -1]}, "from 0 to 7"),
        ({"items": [0, 1, 1]}, "different row numbers"),
        ({"items": [True] * 8}, "must be a list of row numbers"),
        ({"partners": [[0, 1]]}, "must be a list of row numbers"),
        ({"items": []}, "must be a list of row numbers"),
        ({"items": np.array([], int)}, "items is empty"),
        ({"partners": range(8)}, "no row is left for items"),
        ({"items": [0, 2, 4]}, "3 pairs of one class and 0 of two classes"),
        ({"items": [0, 1]}, "0 pairs of one class and 1 of two classes"),
        ({"n_pairs": 50}, "n_pairs=50 is more than the 24 balanced pairs"),
        ({"n_pairs": 1}, "n_pairs must be"),
        ({"n_pairs": "every"}, 'must be an integer, "all" or None'),
    ],
)
def test_what_cannot_be_paired_is_refused(options, reason):
    y = np.arange(8) % 2
    with pytest.raises(ValueError, match=reason):
        make_pairs(y[:, None], y, **options)


def test_X_without_features_and_y_of_another_length_are_refused():
    with pytest.raises(ValueError, match="at least one axis of features"):
        make_pairs([1, 2, 3, 4], [0, 0, 1, 1])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        make_pairs([[1], [2], [3]], [0, 0, 1, 1])


def test_brain_networks(data_home, real_arrays):
    real_arrays("abide_nyu")
    X, y = load_abide(data_home=data_home, return_X_y=True)
    pairs = make_pairs(X, y, items=range(150, 182), partners=range(150), n_pairs=64)
    assert pairs.X.shape == (64, 2, 1, 116, 116)
    assert (pairs.y == (y[pairs.indices[:, 0]] == y[pairs.indices[:, 1]])).all()
    assert sorted(pairs.indices[:, 0]) == sorted([*range(150, 182)] * 2)
