import numpy as np
import pytest

from robustxai.attacks import MSEAttack
from robustxai.perturbation import ThreatModel

from .conftest import objective, quadratic_victim


def test_the_objective_is_the_squared_distance_in_units_of_the_largest_clean_entry(explained):
    clean, moved = explained
    values, gradient = objective(MSEAttack(), clean, moved, 2, "magnitude")
    for row in range(len(clean)):
        unit = max(abs(clean[row]))
        np.testing.assert_allclose(values[row], sum((moved[row] - clean[row]) ** 2) / unit**2, rtol=1e-12)
        np.testing.assert_allclose(gradient[row], 2 * (moved[row] - clean[row]) / unit**2, rtol=1e-12)


@pytest.mark.parametrize("magnitude", [1e-25, 1.0, 1e10])
def test_a_tiny_gradient_is_attacked_as_a_large_one(explained, magnitude):
    """Confident predictions have gradients whose squares are 0 in float32."""
    clean, moved = (a.astype(np.float32) for a in explained)
    plain, _ = objective(MSEAttack(), clean, moved, 2, "magnitude")
    clean, moved = clean * np.float32(magnitude), moved * np.float32(magnitude)
    values, gradient = objective(MSEAttack(), clean, moved, 2, "magnitude")
    np.testing.assert_allclose(values, plain, rtol=1e-5)
    assert np.isfinite(gradient).all()
    assert (gradient != 0).all()


def test_on_a_quadratic_network_it_reaches_the_largest_distance_there_is():
    """max ||A delta|| over the l2 ball is epsilon times the largest singular value."""
    rng = np.random.default_rng(2)
    matrix = rng.normal(size=(6, 6))
    matrix = matrix + matrix.T
    victim = quadratic_victim(matrix, rng.normal(size=6) + np.arange(6) * 20, constant=1000.0)  # ranking cannot move
    X = rng.normal(size=(10, 6))
    result = MSEAttack(victim, k=2, threat=ThreatModel(epsilon=0.5), max_iter=60).run(X)
    np.testing.assert_array_equal(result.precision_at_k, 1)  # so that only the distance decides which iterate is kept
    distance = np.linalg.norm(result.attribution_adv - result.attribution, axis=1)
    np.testing.assert_allclose(distance, 0.5 * np.abs(np.linalg.eigvalsh(matrix)).max(), rtol=2e-3)
