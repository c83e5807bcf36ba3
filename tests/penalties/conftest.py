import pytest
import torch
from torch import nn

from robustxai.nets import MLP


def make_net(n_classes=2, n_features=5, **options):
    with torch.random.fork_rng():
        torch.manual_seed(n_classes)
        net = MLP(n_features, n_classes, (6,), **options).double()
        for p in net.parameters():
            nn.init.normal_(p)
    return net


@pytest.fixture(params=[2, 3], ids=["binary", "three classes"])
def net(request):
    return make_net(request.param)


@pytest.fixture
def x():
    return torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()


class Stack(nn.Module):
    """G models in one: (G, B, features) to (G, B, classes)."""

    def __init__(self, nets):
        super().__init__()
        layers = [[n.layers[0], n.layers[2]] for n in nets]
        self.weights = nn.ParameterList([nn.Parameter(torch.stack([la[i].weight.T for la in layers])) for i in (0, 1)])
        self.biases = nn.ParameterList([nn.Parameter(torch.stack([la[i].bias[None] for la in layers])) for i in (0, 1)])

    def forward(self, x):
        hidden = nn.functional.softplus(torch.baddbmm(self.biases[0], x, self.weights[0]))
        return torch.baddbmm(self.biases[1], hidden, self.weights[1])


@pytest.fixture
def stack():
    """The stacked model, its members, and one input batch for each."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        members = [MLP(5, 3, (6,)).double() for _ in range(4)]
        x = torch.randn(4, 7, 5, dtype=torch.float64)
    return Stack(members), members, x.requires_grad_()


class ImageNet(nn.Module):
    """A convolution on images of two channels, smooth."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Softplus(), nn.Flatten(), nn.Linear(18, 3)).double()

    def forward(self, x):
        return self.layers(x)


@pytest.fixture
def image_net():
    return ImageNet()


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, 2, 3, 4, dtype=torch.float64, generator=generator).requires_grad_()


def weight_gradient(value, module):
    """Gradient of the mean penalty in every weight; a weight that it does not reach has 0."""
    parameters = list(module.parameters())
    parts = torch.autograd.grad(value.mean(), parameters, allow_unused=True, retain_graph=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in zip(parts, parameters)])


def probability_gradient(module, row, c, create_graph=True):
    """Gradient of the softmax probability of class c at one sample, by torch's own softmax."""
    row = row if row.requires_grad else row.detach().requires_grad_()
    probability = module(row[None])[0].softmax(dim=0)[c]
    return torch.autograd.grad(probability, row, create_graph=create_graph)[0]
