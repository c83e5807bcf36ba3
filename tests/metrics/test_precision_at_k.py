import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robustxai.metrics import precision_at_k


def naive(first, second, k, ranking):
    result = []
    for a, b in zip(first, second):
        if ranking == "magnitude":
            a, b = [abs(v) for v in a], [abs(v) for v in b]
        tops = [set(sorted(range(len(s)), key=lambda i, s=s: (-s[i], i))[:k]) for s in (a, b)]
        result.append(len(tops[0] & tops[1]) / k)
    return result


# integers: ties are common, and scaling by a power of two is exact
maps = st.tuples(st.integers(1, 4), st.integers(2, 9)).flatmap(
    lambda shape: st.tuples(*[arrays(np.float64, shape, elements=st.integers(-4, 4))] * 2)
)


@given(maps, st.integers(1, 8), st.sampled_from(["magnitude", "signed"]))
def test_equals_the_intersection_of_sorted_sets(pair, k, ranking):
    k = min(k, pair[0].shape[1] - 1)
    value = precision_at_k(*pair, k=k, ranking=ranking)
    np.testing.assert_array_equal(value, naive(*pair, k, ranking))


@given(maps, st.sampled_from(["magnitude", "signed"]))
def test_bounded_symmetric_reflexive_and_blind_to_scale(pair, ranking):
    first, second = pair
    value = precision_at_k(first, second, k=1, ranking=ranking)
    assert value.shape == (len(first),)
    assert ((value >= 0) & (value <= 1)).all()
    np.testing.assert_array_equal(value, precision_at_k(second, first, k=1, ranking=ranking))
    np.testing.assert_array_equal(value, precision_at_k(8 * first, second / 4, k=1, ranking=ranking))
    assert (precision_at_k(first, first, k=1, ranking=ranking) == 1).all()


@given(st.integers(2, 9), st.integers(0, 2**32 - 1))
def test_the_order_of_features_and_of_samples_does_not_matter(n_features, seed):
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(2, 4, n_features))  # without ties, which the order of features would break
    k = int(rng.integers(1, n_features))
    value = precision_at_k(first, second, k=k)
    features, samples = rng.permutation(n_features), rng.permutation(4)
    np.testing.assert_array_equal(precision_at_k(first[:, features], second[:, features], k=k), value)
    np.testing.assert_array_equal(precision_at_k(first[samples], second[samples], k=k), value[samples])


def test_images_are_ranked_by_pixel():
    first, second = np.random.default_rng(0).normal(size=(2, 5, 3, 4, 4))
    sums = [np.abs(a).sum(axis=1).reshape(5, -1) for a in (first, second)]
    np.testing.assert_array_equal(precision_at_k(first, second, k=6), naive(*sums, 6, "signed"))


def test_tables_tensors_and_frames_agree():
    first, second = np.random.default_rng(0).normal(size=(2, 5, 12))
    value = precision_at_k(first, second)
    tensors = [torch.tensor(a, requires_grad=True) for a in (first, second)]
    np.testing.assert_array_equal(precision_at_k(*tensors), value)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(precision_at_k(pd.DataFrame(first), pd.DataFrame(second)), value)


def test_k_is_clipped_with_a_warning_that_points_here():
    first, second = np.random.default_rng(0).normal(size=(2, 5, 4))
    with pytest.warns(UserWarning, match="k=3") as caught:
        value = precision_at_k(first, second, k=4)
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(value, precision_at_k(first, second, k=3))


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), "one shape"),
        (np.ones((2, 3)), np.ones((3, 3)), "one shape"),
        (np.ones(3), np.ones(3), "n_samples"),
        (np.ones((2, 3)), np.full((2, 3), np.nan), "attribution_adv contains NaN"),
    ],
)
def test_unusable_attributions_are_refused(first, second, message):
    with pytest.raises(ValueError, match=message):
        precision_at_k(first, second, k=1)


def test_an_unknown_ranking_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'signed'"):
        precision_at_k(np.ones((2, 3)), np.ones((2, 3)), k=1, ranking="signd")
