import pytest
import torch
from torch import nn

from robustxai.nets import MLP


def make_net(n_classes=3, n_features=4):
    with torch.random.fork_rng():
        torch.manual_seed(n_classes)
        net = MLP(n_features, n_classes, (7,), beta=2.0).double()
        for p in net.parameters():
            nn.init.normal_(p)
    return net


class Linear(nn.Module):
    """Logits (0, w.x), without any nonlinearity."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(torch.as_tensor(weight, dtype=torch.float64))

    def forward(self, x):
        value = x @ self.weight
        return torch.stack([torch.zeros_like(value), value], dim=-1)


class Quadratic(nn.Module):
    """Logits (0, x.Ax / 2 + b.x) with a symmetric A."""

    def __init__(self, matrix, offset):
        super().__init__()
        self.matrix, self.offset = nn.Parameter(matrix), nn.Parameter(offset)

    def forward(self, x):
        value = ((x @ self.matrix) * x).sum(dim=-1) / 2 + x @ self.offset
        return torch.stack([torch.zeros_like(value), value], dim=-1)


@pytest.fixture
def net():
    return make_net()


@pytest.fixture
def x():
    return torch.randn(9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def target():
    return torch.arange(9) % 3


@pytest.fixture
def quadratic():
    generator = torch.Generator().manual_seed(1)
    matrix = torch.randn(4, 4, dtype=torch.float64, generator=generator)
    return Quadratic(matrix + matrix.T, torch.randn(4, dtype=torch.float64, generator=generator))
