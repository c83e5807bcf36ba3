import numpy as np
import pytest
import torch

from robustxai.attacks import BoundaryMarginAttack

from .conftest import objective, sets


@pytest.mark.parametrize(("k", "q"), [(1, 3), (3, 1), (3, 2), (3, 3), (5, 3), (2, 100)])
def test_the_objective_is_that_of_the_docstring(explained, k, q, ranking):
    clean, moved = explained
    values, gradient = objective(BoundaryMarginAttack(n_boundary=q), clean, moved, k, ranking)
    score = np.abs if ranking == "magnitude" else np.array

    def naive(row, attribution):
        top, rest = sets(score(clean[row]), k)
        s = score(attribution)
        n = min(q, k, 6 - k)
        inside, outside = sorted(s[i] for i in top)[:n], sorted((s[j] for j in rest), reverse=True)[:n]
        return (sum(outside) - sum(inside)) / (sum(abs(v) for v in s) / 6)

    h = 1e-6
    for row in range(len(clean)):
        np.testing.assert_allclose(values[row], naive(row, moved[row]), rtol=1e-12)
        numeric = [(naive(row, moved[row] + h * e) - naive(row, moved[row] - h * e)) / (2 * h) for e in np.eye(6)]
        np.testing.assert_allclose(gradient[row], numeric, rtol=1e-5, atol=1e-7)


def test_a_longer_gradient_with_the_same_ranking_gains_nothing(explained):
    clean, moved = explained
    once, _ = objective(BoundaryMarginAttack(), clean, moved, 3, "magnitude")
    twice, gradient = objective(BoundaryMarginAttack(), clean, 2 * moved, 3, "magnitude")
    np.testing.assert_allclose(twice, once, rtol=1e-12)
    np.testing.assert_allclose((gradient * moved).sum(axis=1), 0, atol=1e-12)


@pytest.mark.parametrize(("n_boundary", "error"), [(0, ValueError), (1.5, TypeError)])
def test_n_boundary_is_a_positive_integer(victim, X, n_boundary, error):
    with pytest.raises(error, match="n_boundary must be"):
        BoundaryMarginAttack(victim, n_boundary=n_boundary).run(X)


def test_a_single_feature_cannot_be_reordered(victim):
    X = torch.linspace(-2, 2, 5).numpy()[:, None]
    with pytest.warns(UserWarning, match="using k=1"):
        result = BoundaryMarginAttack(victim, max_iter=3).run(X)
    np.testing.assert_array_equal(result.precision_at_k, 1)
    assert np.isfinite(result.X_adv).all()
