import numpy as np
import pytest
import torch
from sklearn.utils import check_random_state

from .doubles import Double, Quadratic, logit_gradient

N_FEATURES = 6


def seeded(build):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build()


@pytest.fixture(scope="session")
def X():
    return np.random.default_rng(4).normal(size=(5, N_FEATURES))  # the net predicts all three classes


@pytest.fixture(scope="session")
def net():
    """A softplus net of three classes in float64, explained by the gradient of the probability."""

    def build():
        layers = torch.nn.Linear(N_FEATURES, 8), torch.nn.Softplus(beta=3), torch.nn.Linear(8, 3)
        for layer in layers[::2]:
            torch.nn.init.normal_(layer.weight)
        return torch.nn.Sequential(*layers).double()

    return Double(seeded(build))


@pytest.fixture(scope="session")
def image_net():
    """A convolutional net on images of 3 channels and 4 x 5 pixels."""

    def build():
        conv = torch.nn.Conv2d(3, 4, 3)
        return torch.nn.Sequential(conv, torch.nn.Softplus(), torch.nn.Flatten(), torch.nn.Linear(24, 3)).double()

    return Double(seeded(build))


@pytest.fixture(scope="session")
def images():
    return np.random.default_rng(2).normal(size=(3, 3, 4, 5))


@pytest.fixture(scope="session")
def linear():
    return Double(seeded(lambda: torch.nn.Linear(N_FEATURES, 3).double()), logit_gradient)


@pytest.fixture(scope="session")
def quadratic():
    """Logit gradient Ax + b, so that the attribution's Jacobian is A everywhere."""

    def build():
        matrix = torch.randn(N_FEATURES, N_FEATURES, dtype=torch.float64)
        return Quadratic(matrix + matrix.T, torch.randn(N_FEATURES, dtype=torch.float64))

    return Double(seeded(build), logit_gradient, classes=(0, 1))


@pytest.fixture
def global_generators_untouched():
    numpy_global = check_random_state(None)
    before = numpy_global.get_state(legacy=False), torch.get_rng_state()
    yield
    np.testing.assert_equal(numpy_global.get_state(legacy=False), before[0])
    assert torch.equal(torch.get_rng_state(), before[1])
