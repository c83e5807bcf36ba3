"""The shortest vector between two hulls, against scipy, in closed form, and by its optimality."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from robustxai.attacks._min_norm import min_norm, project_to_simplex

EXACT = {"max_iter": 20_000, "tolerance": 1e-7, "smallest": 1e-2}


def vectors(seed, k, m, d, n=1, scale=1.0):
    rng = np.random.default_rng(seed)
    inside, outside = rng.normal(size=(n, k, d)), rng.normal(size=(n, m, d))
    inside += scale * rng.normal(size=d)
    return torch.tensor(inside), torch.tensor(outside)


def by_scipy(inside, outside):
    """The quadratic program over the weights of all k m pairs, which are written down one by one."""
    pairs = np.array([i - j for i in inside for j in outside])
    gram, n = pairs @ pairs.T, len(pairs)
    found = minimize(
        lambda w: w @ gram @ w / 2, np.full(n, 1 / n), jac=lambda w: gram @ w, method="SLSQP", bounds=[(0, 1)] * n,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(n)},
        options={"maxiter": 500, "ftol": 1e-14},
    )  # fmt: skip
    return found.x @ pairs


@pytest.mark.parametrize(("k", "m", "d"), [(1, 1, 3), (2, 3, 4), (3, 5, 3), (4, 2, 8)])
def test_it_is_the_quadratic_program_over_the_pairs(k, m, d):
    inside, outside = vectors(k + m + d, k, m, d, n=4, scale=2.0)
    direction, gap = min_norm(inside, outside, **EXACT)
    for row in range(4):
        np.testing.assert_allclose(-direction[row], by_scipy(inside[row].numpy(), outside[row].numpy()), atol=2e-4)
    assert (gap <= 1e-4).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_two_objectives_in_closed_form(seed):
    """The nearest point to the origin of a segment."""
    inside, outside = vectors(seed, 2, 1, 3, n=5)
    a, b = inside[:, 0] - outside[:, 0], inside[:, 1] - outside[:, 0]
    share = ((b - a) * b).sum(dim=1) / (b - a).square().sum(dim=1)
    share = share.clamp(0, 1)[:, None]
    expected = -(share * a + (1 - share) * b)
    direction, _ = min_norm(inside, outside, max_iter=1000, tolerance=1e-5)
    torch.testing.assert_close(direction, expected, rtol=1e-3, atol=1e-3)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 6), st.integers(1, 5))
def test_every_pair_descends_by_the_square_of_the_length(seed, k, m, d):
    """And the gap says how far from it the slopes may be."""
    inside, outside = vectors(seed, k, m, d, n=3)
    for options in ({"max_iter": 30}, {"max_iter": 1000, "tolerance": 1e-5}):
        direction, gap = min_norm(inside, outside, **options)
        slopes = ((inside[:, :, None] - outside[:, None]) * direction[:, None, None]).sum(dim=3)
        square = direction.square().sum(dim=1)
        assert (slopes.amax(dim=(1, 2)) <= -square + gap / 2 + 1e-9).all()
    # no other direction of this length lowers all pairs by more
    other = torch.randn(200, 3, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    other = other / other.norm(dim=2, keepdim=True) * direction.norm(dim=1)[:, None]
    worst = ((inside[:, :, None] - outside[:, None])[None] * other[:, :, None, None]).sum(dim=4).amax(dim=(2, 3))
    assert (worst >= -square - 1e-5).all()


def test_hulls_that_meet_have_no_common_descent():
    inside = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]], dtype=torch.float64)
    outside = torch.tensor([[[0.0, 1.0], [0.0, -1.0]]], dtype=torch.float64)
    direction, _ = min_norm(inside, outside, **EXACT)
    torch.testing.assert_close(direction, torch.zeros(1, 2, dtype=torch.float64), rtol=0, atol=1e-4)


def test_a_cone_of_feasible_directions():
    """On the boundary of a ball: against scipy over directions of the cone, d = argmin max_ij <g_ij, d> + |d|^2 / 2."""
    inside, outside = vectors(5, 2, 3, 4, n=3, scale=1.5)
    normal = torch.nn.functional.normalize(-min_norm(inside, outside, **EXACT)[0] + 0.5, dim=1) * -1

    def tangent(v):
        return v - (v * normal).sum(dim=1, keepdim=True).clamp_min(0) * normal

    free, _ = min_norm(inside, outside, **EXACT)
    assert ((free * normal).sum(dim=1) > 0).any()  # the cone matters
    direction, _ = min_norm(inside, outside, tangent, **EXACT)
    assert ((direction * normal).sum(dim=1) <= 1e-9).all()
    for row in range(3):
        pairs = np.array([(i - j).numpy() for i in inside[row] for j in outside[row]])
        n = normal[row].numpy()
        found = minimize(
            lambda z: z[0] + z[1:] @ z[1:] / 2, np.zeros(5), method="SLSQP",
            constraints=[
                {"type": "ineq", "fun": lambda z, pairs=pairs: z[0] - pairs @ z[1:]},
                {"type": "ineq", "fun": lambda z, n=n: -n @ z[1:]},
            ],
            options={"maxiter": 500, "ftol": 1e-14},
        )  # fmt: skip
        np.testing.assert_allclose(direction[row], found.x[1:], atol=5e-4)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6))
def test_the_projection_to_the_simplex_is_the_nearest_point(values):
    point = torch.tensor([values], dtype=torch.float64)
    found = project_to_simplex(point)
    assert (found >= 0).all()
    assert found.sum() == pytest.approx(1.0)
    # optimality: the residual has its largest entries exactly where the projection is positive
    residual = (point - found)[0]
    assert (residual[found[0] > 1e-12] >= residual.max() - 1e-9).all()
