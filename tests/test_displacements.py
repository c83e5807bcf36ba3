import numpy as np
import pytest
import torch
from sklearn.utils import check_random_state

from robustxai.perturbation import displacement_sampler


@pytest.fixture
def global_generators_untouched():
    numpy_global = check_random_state(None)
    before = numpy_global.get_state(legacy=False), torch.get_rng_state()
    yield
    np.testing.assert_equal(numpy_global.get_state(legacy=False), before[0])
    assert torch.equal(torch.get_rng_state(), before[1])


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


def test_the_maximum_norm_draws_from_the_cube():
    steps = displacement_sampler(3, 0.5, "uniform", 0, norm="inf")(4000)
    assert np.abs(steps).max() <= 0.5
    # uniform on [-1/2, 1/2]: variance 1/12, coordinates independent; five standard errors at most
    np.testing.assert_allclose(np.cov(steps.T), np.eye(3) / 12, atol=5 / 12 / np.sqrt(4000))


@pytest.mark.parametrize("distribution", ["uniform", "gaussian"])
@pytest.mark.parametrize("norm", [2, "inf"])
def test_units_scale_the_axes_and_zero_freezes_them(distribution, norm):
    units = np.array([2.0, 0.0, 0.5, 1.0])
    steps = displacement_sampler(4, 0.3, distribution, 1, norm=norm, units=units)(500)
    assert (steps[:, 1] == 0).all()
    assert (steps[:, [0, 2, 3]] != 0).all()
    if distribution == "uniform":
        lengths = np.linalg.norm(steps[:, units > 0] / units[units > 0], ord=2 if norm == 2 else np.inf, axis=1)
        assert lengths.max() <= 0.3 * (1 + 1e-12)
        volume = (lengths / 0.3) ** 3
        assert np.abs(np.sort(volume) - (np.arange(500) + 0.5) / 500).max() < 1.95 / np.sqrt(500)  # Kolmogorov


def test_units_of_one_change_nothing():
    plain, ones = (displacement_sampler(3, 0.3, "uniform", 1, units=units)(20) for units in (None, np.ones(3)))
    np.testing.assert_array_equal(plain, ones)
