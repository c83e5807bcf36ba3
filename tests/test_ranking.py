import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from robustxai.ranking import (
    as_tensor,
    boundary_sets,
    clip_k,
    count_units,
    top_k_indices,
    top_k_mask,
    top_k_set,
    unit_scores,
    unit_shape,
)

#: Few distinct values, so that ties are the rule.
TIED = npst.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(2, 7)), elements=st.integers(-2, 2).map(float))


@pytest.mark.parametrize("ranking", ["magnitude", "signed"])
@pytest.mark.parametrize(
    ("shape", "batch_ndim"),
    [
        ((4, 5), 1),
        ((4, 2, 5), 1),
        ((4, 3, 2, 5), 1),
        ((4, 2, 3, 2, 5), 1),
        ((2, 4, 5), 2),
        ((2, 4, 3, 2, 5), 2),
        ((2, 4, 3, 5), 2),
        ((3, 4, 2, 3, 2, 5), 2),
    ],
)
def test_unit_scores_equal_the_loops(shape, batch_ndim, ranking):
    attribution = torch.as_tensor(np.random.default_rng(0).normal(size=shape))
    batch, features = shape[:batch_ndim], shape[batch_ndim:]
    expected = []
    for sample in attribution.reshape(-1, *features).tolist():
        value = abs if ranking == "magnitude" else float
        if len(features) == 1:
            expected.append([value(v) for v in sample])
        elif len(features) == 2:
            expected.append([value(v) for row in sample for v in row])
        else:
            *_, channels, height, width = features
            expected.append(
                [
                    sum(value(image[c][i][j]) for c in range(channels))
                    for image in (sample if len(features) == 4 else [sample])
                    for i in range(height)
                    for j in range(width)
                ]
            )
    scores = unit_scores(attribution, ranking, batch_ndim=batch_ndim)
    assert scores.shape[:batch_ndim] == batch
    np.testing.assert_allclose(scores.reshape(len(expected), -1), expected, rtol=1e-12)


def test_unknown_ranking_is_refused():
    with pytest.raises(ValueError, match="Did you mean 'magnitude'"):
        unit_scores(torch.ones(1, 2), "magnitud")


@given(TIED, st.data())
def test_top_k_is_the_stable_sort_of_python(scores, data):
    k = data.draw(st.integers(1, scores.shape[1]))
    expected = [sorted(range(len(row)), key=lambda i, row=row: (-row[i], i))[:k] for row in scores.tolist()]
    assert top_k_indices(torch.as_tensor(scores), k).tolist() == expected
    mask = top_k_mask(torch.as_tensor(scores), k)
    assert [np.flatnonzero(row).tolist() for row in mask.numpy()] == [sorted(e) for e in expected]


def test_stacks_of_models_are_ranked_row_by_row():
    scores = torch.as_tensor(np.random.default_rng(1).normal(size=(3, 4, 6)))
    rows = scores.reshape(12, 6)
    assert torch.equal(top_k_mask(scores, 2).reshape(12, 6), top_k_mask(rows, 2))


def test_as_tensor_shares_memory():
    array = np.arange(3.0)
    tensor = as_tensor(array)
    array[0] = 7.0
    assert tensor[0] == 7.0
    assert as_tensor(tensor) is tensor


@pytest.mark.parametrize(
    ("shape", "units"),
    [((5,), (5,)), ((2, 3), (2, 3)), ((3, 4, 5), (4, 5)), ((1, 6, 6), (6, 6)), ((2, 3, 4, 5), (2, 4, 5))],
)
def test_units_are_counted_as_they_are_scored(shape, units):
    assert unit_shape(shape) == units
    assert count_units(shape) == np.prod(units)
    assert count_units(shape) == unit_scores(torch.ones(2, *shape)).shape[1]
    assert count_units(shape) == unit_scores(torch.ones(3, 2, *shape), batch_ndim=2).shape[2]


@pytest.mark.parametrize("shape", [(7, 9), (2, 3, 11), (5, 300)])
@pytest.mark.parametrize("ordered", [False, True])
def test_the_fast_top_k_set_is_that_of_the_sort(shape, ordered):
    scores = torch.randn(shape, generator=torch.Generator().manual_seed(0), requires_grad=True)
    for k in (1, 4, shape[-1]):
        found, expected = top_k_set(scores, k, ordered=ordered), top_k_indices(scores, k)
        if not ordered:
            found, expected = found.sort(dim=-1).values, expected.sort(dim=-1).values
        assert torch.equal(found, expected)


def test_the_fast_top_k_set_has_k_members_whatever_the_ties():
    scores = torch.tensor([[0.0, 0.0, 0.0, 1.0, 0.0]] * 3)
    for ordered in (False, True):
        found = top_k_set(scores, 3, ordered=ordered)
        assert found.sort(dim=-1).values.diff(dim=-1).gt(0).all()
        assert (found == 3).any(dim=-1).all()


@pytest.mark.parametrize("shape", [(6, 9), (3, 4, 12), (2, 70), (5, 200)], ids=str)  # sorted whole, and not
@pytest.mark.parametrize(("k", "n_pairs"), [(1, 1), (4, 4), (4, 2), (8, 1)])
def test_boundary_sets_are_the_places_on_both_sides_of_the_boundary(shape, k, n_pairs):
    scores = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    order = scores.sort(dim=-1, descending=True).indices
    inside, outside = boundary_sets(scores, k, n_pairs)
    assert torch.equal(inside.sort(dim=-1).values, order[..., k - n_pairs : k].sort(dim=-1).values)
    assert torch.equal(outside.sort(dim=-1).values, order[..., k : k + n_pairs].sort(dim=-1).values)


@pytest.mark.parametrize("n_units", [9, 100])
def test_boundary_sets_are_disjoint_whatever_the_ties(n_units):
    scores = torch.randint(0, 2, (20, n_units), generator=torch.Generator().manual_seed(0)).float()
    both = torch.cat(boundary_sets(scores, 4, 3), dim=-1)
    assert all(len(set(row)) == 6 for row in both.tolist())


@given(st.integers(-3, 12), st.integers(1, 9))
def test_k_is_clipped_with_a_warning_exactly_when_it_must_be(k, n_units):
    if k < 1:
        with pytest.raises(ValueError, match="k must be"):
            clip_k(k, n_units)
    elif k < n_units or k == n_units == 1:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert clip_k(k, n_units) == k
    else:
        with pytest.warns(UserWarning, match=f"k={k} is not smaller than the number of ranked features"):
            assert clip_k(k, n_units) == max(n_units - 1, 1)
