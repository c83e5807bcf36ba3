from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

from robustxai.datasets import load_abide, pair_folds


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(10, 25), min_size=2, max_size=4),
    n_splits=st.integers(3, 6),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_subject_is_in_two_parts(sizes, n_splits, seed):
    y = np.random.RandomState(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    X = np.arange(len(y) * 2.0).reshape(-1, 2)
    tested: list[int] = []
    validated: list[int] = []
    for train, validation, test in pair_folds(X, y, n_splits=n_splits, random_state=seed):
        known, new, asked = set(train.indices.ravel()), set(validation.indices[:, 0]), set(test.indices[:, 0])
        assert not known & new
        assert not known & asked
        assert not new & asked
        # with ten pairs for each item, every item is in one part
        assert known | new | asked == set(range(len(y)))
        assert set(validation.indices[:, 1]) | set(test.indices[:, 1]) <= known
        for pairs in (train, validation, test):
            assert abs(int((2 * pairs.y - 1).sum())) <= 1
            first, second = y[pairs.indices].T
            np.testing.assert_array_equal(pairs.y, first == second)
            np.testing.assert_array_equal(pairs.X, X[pairs.indices])
        tested += asked
        validated += new
    assert sorted(tested) == sorted(validated) == list(range(len(y)))


def test_folds_are_stratified_like_scikit_learns():
    y = np.repeat([0, 1, 2], [50, 30, 20])
    X = np.zeros((100, 1))
    folds = [np.unique(test.indices[:, 0]) for _, _, test in pair_folds(X, y)]
    assert [np.bincount(y[fold]).tolist() for fold in folds] == [[10, 6, 4]] * 5
    expected = StratifiedKFold(5, shuffle=True, random_state=np.random.RandomState(0)).split(X, y)
    for fold, (_, rows) in zip(folds, expected):
        np.testing.assert_array_equal(fold, rows)


def test_three_folds_train_and_the_next_validates():
    y = np.arange(50) % 2
    folds = list(pair_folds(y[:, None], y))
    for (train, validation, test), (_, _, following) in zip(folds, folds[1:] + folds[:1]):
        assert len(np.unique(train.indices)) == 30
        assert len(np.unique(test.indices[:, 0])) == 10
        assert set(validation.indices[:, 0]) == set(following.indices[:, 0])


def test_a_second_property_is_in_every_part_in_its_share():
    y, site = np.repeat([0, 1], 60), np.tile(["a", "a", "b"], 40)
    for parts in pair_folds(np.zeros((120, 1)), y, stratify=site):
        for part, n in zip(parts, (72, 24, 24)):
            rows = np.unique(part.indices[:, 0])
            for label in (0, 1):
                share = np.mean(site[rows[y[rows] == label]] == "a")
                assert abs(share - 2 / 3) <= 2 / n
            assert abs(np.mean(y[rows]) - 0.5) <= 2 / n


def test_the_same_seed_gives_the_same_folds_and_another_gives_others():
    y = np.arange(60) % 2
    one, same, other = (
        np.concatenate([part.indices for fold in pair_folds(y[:, None], y, random_state=seed) for part in fold])
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_the_numbers_of_pairs():
    y = np.arange(50) % 2
    for train, validation, test in pair_folds(y[:, None], y, n_train_pairs=100, n_held_out_pairs=41):
        assert (len(train.y), len(validation.y), len(test.y)) == (100, 41, 41)
    for train, validation, test in pair_folds(y[:, None], y):
        assert (len(train.y), len(validation.y), len(test.y)) == (300, 100, 100)


def test_arguments_that_do_not_fit_are_refused():
    y = np.arange(20) % 2
    with pytest.raises(ValueError, match="n_splits must be"):
        next(pair_folds(y[:, None], y, n_splits=2))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        next(pair_folds(y[:, None], y, stratify=y[:-1]))


def test_brain_networks_by_site(data_home, real_arrays):
    real_arrays("abide_multisite")
    bunch = load_abide(site="multisite", data_home=data_home)
    folds = pair_folds(
        bunch.data, bunch.target, stratify=bunch.site, n_train_pairs=40, n_held_out_pairs=150, random_state=1
    )
    train, _, test = next(folds)
    assert train.X.shape == (40, 2, 1, 116, 116)
    assert set(bunch.site[test.indices[:, 0]]) == {"KKI", "UM_1", "USM", "Yale"}
    assert 63 <= len(np.unique(test.indices[:, 0])) <= 65
    np.testing.assert_array_equal(test.X[:, :, 0], bunch.data[test.indices])
