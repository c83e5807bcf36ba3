from __future__ import annotations

import itertools

import numpy as np
import pytest

from robustxai.datasets._pair_rounds import _stride, draw_pairs


def test_a_stride_visits_every_place_of_the_circle():
    for n in range(1, 200):
        assert {turn * _stride(n) % n for turn in range(n)} == set(range(n))


@pytest.mark.parametrize("n", [60, 109, 240, 255])
def test_the_first_visits_of_a_stride_leave_no_large_part_of_the_circle_out(n):
    for visits in range(2, 12):
        places = np.sort([turn * _stride(n) % n for turn in range(visits)])
        assert np.diff([*places, places[0] + n]).max() < 2 * n / visits


@pytest.mark.parametrize("sizes", [(4, 4), (1, 5), (3, 2, 4), (2, 2, 2, 2, 2)])
def test_rounds_reach_every_pair_of_either_kind(sizes):
    y = np.random.RandomState(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = np.random.RandomState(1).permutation(len(y))
    items, partners = rows[:4], rows[4:]
    for same in (True, False):
        inside = {
            frozenset(pair) for pair in itertools.combinations(range(len(y)), 2) if (np.ptp(y[[*pair]]) == 0) == same
        }
        drawn = draw_pairs(y, rows, rows, same, len(inside))
        assert {frozenset(pair) for pair in drawn.tolist()} == inside
        across = {(a, b) for a in items.tolist() for b in partners.tolist() if (y[a] == y[b]) == same}
        drawn = draw_pairs(y, items, partners, same, len(across))
        assert set(map(tuple, drawn.tolist())) == across


def test_fewer_pairs_are_the_first_of_more():
    y = np.arange(30) % 3
    rows = np.random.RandomState(0).permutation(30)
    for same in (True, False):
        more = draw_pairs(y, rows[:10], rows[10:], same, 40)
        np.testing.assert_array_equal(draw_pairs(y, rows[:10], rows[10:], same, 15), more[:15])
