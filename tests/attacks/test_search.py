"""The clean side of an attack: what was in the top set, and what of it is still there."""

import numpy as np
import pytest
import torch

from robustxai.attacks._search import highest

from .conftest import reference


@pytest.mark.parametrize("k", [1, 3, 6])
def test_the_overlap_is_that_of_the_ranking_with_ties_inside(k):
    rng = np.random.default_rng(0)
    clean = torch.tensor(rng.normal(size=(50, 7)))
    tied = torch.tensor(rng.integers(0, 4, size=(50, 7)), dtype=torch.float32)
    side = reference(clean, k)
    for scores in (clean.abs(), torch.tensor(rng.normal(size=(50, 7))), tied, torch.zeros(50, 7)):
        assert side.overlap(scores).tolist() == [
            sum(row[i] >= sorted(row)[-k] for i in np.flatnonzero(top))
            for row, top in zip(scores.tolist(), side.top.numpy())
        ]
    assert (side.overlap(clean.abs()) == k).all()
    assert (side.overlap(torch.zeros(50, 7)) == k).all()


def test_the_units_in_and_out_of_the_top_set(explained):
    side = reference(torch.tensor(explained[0]), 2)
    for row in range(len(side.top)):
        assert side.inside[row].tolist() == np.flatnonzero(side.top[row]).tolist()
        assert side.outside[row].tolist() == np.flatnonzero(~side.top[row]).tolist()


def test_scores_by_place():
    scores = torch.tensor([[3.0, 1.0, 2.0, 2.0], [0.0, -1.0, 5.0, torch.inf]], requires_grad=True)
    places = highest(scores, 1, 3, 4)
    assert places.tolist() == [[3.0, 2.0, 1.0], [torch.inf, 0.0, -1.0]]
    assert not places.requires_grad
