import numpy as np
import pytest
from sklearn.utils import check_random_state

from robustxai.metrics._ball import displacement_sampler


@pytest.mark.parametrize("distribution", ["uniform", "gaussian"])
def test_the_stream_does_not_depend_on_the_requests(distribution, global_generators_untouched):
    whole = displacement_sampler(7, 0.3, distribution, 5)(9)
    sample = displacement_sampler(7, 0.3, distribution, 5)
    np.testing.assert_array_equal(np.concatenate([sample(n) for n in (1, 5, 0, 3)]), whole)
    assert not np.array_equal(displacement_sampler(7, 0.3, distribution, 6)(9), whole)


@pytest.mark.parametrize("n_features", [1, 3, 12])
def test_uniform_draws_fill_the_ball_evenly(n_features):
    n = 4000
    steps = displacement_sampler(n_features, 2.0, "uniform", 0)(n)
    radius = np.linalg.norm(steps, axis=1) / 2
    assert radius.max() <= 1 + 1e-12
    volume = radius**n_features  # uniform on [0, 1] for a point uniform in the ball
    assert np.abs(np.sort(volume) - (np.arange(n) + 0.5) / n).max() < 1.95 / np.sqrt(n)  # Kolmogorov at .001
    # E xx' = eps^2 / (d + 2) I; five standard errors at most
    assert np.abs(steps.T @ steps / n - 4 / (n_features + 2) * np.eye(n_features)).max() < 5 * 4 / np.sqrt(n)


def test_gaussian_draws_have_epsilon_as_standard_deviation():
    steps = displacement_sampler(4, 0.25, "gaussian", 0)(4000)
    np.testing.assert_allclose(steps.std(axis=0), 0.25, rtol=5 / np.sqrt(2 * 4000))


def test_a_random_state_object_moves_on():
    rng = check_random_state(0)
    first, second = (displacement_sampler(3, 1.0, "uniform", rng)(2) for _ in range(2))
    assert not np.array_equal(first, second)


def test_an_unknown_distribution_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'gaussian'"):
        displacement_sampler(3, 1.0, "gausian", 0)
