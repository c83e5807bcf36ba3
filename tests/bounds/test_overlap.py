"""From proven pairs to proven members, against all subsets."""

from itertools import combinations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robustxai.bounds import proven_overlap


def most_replaced(proven):
    """The largest m with m members and m others none of whose pairs is proven, by trying all of them."""
    k, rest = proven.shape
    for m in range(min(k, rest), 0, -1):
        for members in combinations(range(k), m):
            for others in combinations(range(rest), m):
                if not proven[np.ix_(members, others)].any():
                    return m
    return 0


proven_pairs = st.tuples(st.integers(1, 4), st.integers(1, 5)).flatmap(lambda shape: arrays(bool, shape))


@given(proven_pairs)
def test_it_never_claims_more_than_all_subsets_allow(proven):
    k = proven.shape[0]
    assert proven_overlap(torch.from_numpy(proven)[None]).item() <= k - most_replaced(proven)


@given(st.integers(1, 5), st.integers(1, 6), st.data())
def test_it_is_exact_where_scores_are_intervals(k, rest, data):
    """With bounds l <= score <= u the unproven pairs nest, and the m-th lowest l against the m-th highest u decides."""
    low = np.sort(data.draw(arrays(np.int64, k, elements=st.integers(0, 9))))
    high = np.sort(data.draw(arrays(np.int64, rest, elements=st.integers(0, 9))))[::-1]
    proven = low[:, None] > high[None]
    lost = max((m for m in range(1, min(k, rest) + 1) if low[m - 1] <= high[m - 1]), default=0)
    assert proven_overlap(torch.from_numpy(proven)[None]).item() == k - lost


@given(st.lists(arrays(bool, (3, 4)), min_size=1, max_size=5))
def test_rows_do_not_know_each_other(rows):
    together = proven_overlap(torch.from_numpy(np.stack(rows)))
    assert together.tolist() == [proven_overlap(torch.from_numpy(row)[None]).item() for row in rows]
