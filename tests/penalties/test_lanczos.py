import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

from robustxai.penalties._lanczos import leading_eigenvector


def leading(matrices, start, by_magnitude, **options):
    def apply(vector):
        return torch.einsum("nij,nj->ni", matrices, vector)

    options = {"tol": 1e-6, "max_iter": 100, **options}
    vector = leading_eigenvector(apply, start, batch_ndim=1, by_magnitude=by_magnitude, **options)
    return vector, (apply(vector) * vector).sum(dim=1)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 1000),
    d=st.integers(1, 30),
    spectrum=st.sampled_from(["random", "negative", "one", "two equal", "flat", "zero", "low rank", "tiny", "huge"]),
    by_magnitude=st.booleans(),
)
def test_it_is_the_eigenvalue_of_numpy(seed, d, spectrum, by_magnitude):
    rng = np.random.default_rng(seed)
    values = {
        "random": rng.normal(size=(4, d)),
        "negative": -1 - rng.random((4, d)),
        "one": np.eye(d)[np.zeros(4, dtype=int)],
        "two equal": np.c_[np.full((4, min(d, 2)), 3.0), rng.normal(size=(4, max(d - 2, 0)))],
        "flat": np.full((4, d), 2.0),
        "zero": np.zeros((4, d)),
        "low rank": rng.normal(size=(4, d)) * (np.arange(d) < 3),
        "tiny": 1e-30 * rng.normal(size=(4, d)),
        "huge": 1e30 * rng.normal(size=(4, d)),
    }[spectrum]
    turn = np.linalg.qr(rng.normal(size=(4, d, d)))[0]
    matrices = np.einsum("nij,nj,nkj->nik", turn, values, turn)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vector, found = leading(torch.tensor(matrices), torch.tensor(rng.normal(size=(4, d))), by_magnitude)
    np.testing.assert_allclose(np.linalg.norm(vector, axis=1), 1, rtol=1e-10)
    expected = np.abs(values).max(axis=1) if by_magnitude else values.max(axis=1)
    found = found.abs() if by_magnitude else found
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9 * np.abs(values).max())


def test_a_sample_without_numbers_does_not_touch_its_neighbors():
    matrices = torch.diag_embed(torch.tensor([[1.0, 2.0, 3.0], [torch.nan] * 3]).double())
    start = torch.tensor([[1.0, 0.5, -0.3]] * 2).double()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert leading(matrices, start, False)[1][0] == pytest.approx(3.0)


def test_it_takes_the_square_root_of_the_steps_of_power_iteration():
    """Eigenvalues 1, 1 - 1/d, ...: power iteration is still 1 % off after as many products."""
    d = 400
    values = torch.linspace(0, 1, d, dtype=torch.float64)
    start = torch.randn(1, d, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    n_products = 0

    def apply(vector):
        nonlocal n_products
        n_products += 1
        return values * vector

    vector = leading_eigenvector(apply, start, batch_ndim=1, tol=1e-3, max_iter=d)
    assert 1 - float((values * vector**2).sum()) < 1e-4
    power = start.clone()
    for _ in range(n_products):
        power = values * power / power.norm()
    assert 1 - float((values * power**2).sum() / power.square().sum()) > 1e-2


def test_a_cap_is_said_and_what_there_is_is_returned():
    matrices = torch.diag_embed(torch.arange(1.0, 21.0).double().expand(3, 20))
    start = torch.ones(3, 20).double()
    with pytest.warns(ConvergenceWarning, match="of 3 samples .* max_iter=4 products"):
        _, found = leading(matrices, start, False, max_iter=4)
    assert ((found > 15) & (found < 20)).all()
