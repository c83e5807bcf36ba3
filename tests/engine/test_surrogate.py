import copy

import pytest
import torch
from torch import nn

from robustxai.activations import ACTIVATIONS, make_activation
from robustxai.engine import fix_beta, has_piecewise_linear, is_piecewise_linear, set_beta, softplus_surrogate
from robustxai.nets import MLP


@pytest.fixture
def net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MLP(4, 3, (8, 6), "relu", skip=True).double()


@pytest.fixture
def x():
    return torch.randn(20, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_the_surrogate_approaches_the_network_as_beta_grows(net, x):
    errors = [(softplus_surrogate(net, beta)(x) - net(x)).abs().max().item() for beta in (1, 10, 100, 1000, 10000)]
    # |softplus - relu| <= log(2) / beta, carried on by the norms of the layers behind it
    reach = [layer.weight.abs().sum(dim=1).max().item() for layer in net.layers if isinstance(layer, nn.Linear)]
    bound = (reach[1] * reach[2] + reach[2]) * torch.log(torch.tensor(2.0)).item()
    assert all(error <= bound / beta for error, beta in zip(errors, (1, 10, 100, 1000, 10000)))
    assert errors == sorted(errors, reverse=True)


def test_the_gradient_of_the_surrogate_approaches_that_of_the_network(net, x):
    def gradient(module):
        inputs = x.clone().requires_grad_()
        return torch.autograd.grad(module(inputs)[:, 0].sum(), inputs)[0]

    errors = [(gradient(softplus_surrogate(net, beta)) - gradient(net)).abs().mean() for beta in (1, 10, 100, 10000)]
    assert errors == sorted(errors, reverse=True)


def test_the_original_is_left_alone(net, x):
    before, logits = copy.deepcopy(net.state_dict()), net(x)
    surrogate = softplus_surrogate(net)
    assert has_piecewise_linear(net)
    assert not has_piecewise_linear(surrogate)
    with torch.no_grad():
        for p in surrogate.parameters():
            p.add_(1.0)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert torch.equal(net(x), logits)


def test_nested_and_bare_activations_are_replaced(x):
    nested = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), nn.ModuleDict({"a": nn.ReLU6()})))
    surrogate = softplus_surrogate(nested, 7.0)
    assert [m.beta for m in surrogate.modules() if isinstance(m, nn.Softplus)] == [7.0, 7.0]
    assert not has_piecewise_linear(surrogate)
    bare = softplus_surrogate(nn.ReLU(), 7.0)
    assert torch.equal(bare(x), nn.functional.softplus(x, beta=7.0))


def test_set_beta_equals_a_new_surrogate(net, x):
    surrogate = softplus_surrogate(net, 1.0)
    set_beta(surrogate, 30.0)
    assert torch.equal(surrogate(x), softplus_surrogate(net, 30.0)(x))
    assert not torch.equal(surrogate(x), softplus_surrogate(net, 1.0)(x))


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_piecewise_linear_means_a_zero_second_derivative(name):
    activation = make_activation(name, 3.0)
    z = torch.linspace(-3, 3, 40, dtype=torch.float64, requires_grad=True)
    slope = torch.autograd.grad(activation(z).sum(), z, create_graph=True)[0]
    bend = torch.autograd.grad(slope.sum(), z, allow_unused=True)[0] if slope.requires_grad else None
    flat = bend is None or not bend.any()
    assert has_piecewise_linear(activation) == flat
    assert has_piecewise_linear(MLP(2, 2, (3,), name)) == flat


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([nn.ReLU()], True),
        ([nn.ReLU(), nn.MaxPool1d(2)], True),
        ([nn.Softplus(), nn.MaxPool1d(2)], False),
        ([nn.Softplus()], False),
        ([], False),
    ],
)
def test_piecewise_linear_all_through(layers, expected):
    assert is_piecewise_linear(nn.Sequential(nn.Linear(4, 4), *layers)) is expected


def test_stand_ins_can_become_units_of_the_network(net, x):
    surrogate = softplus_surrogate(net, 4.0)
    fixed = fix_beta(copy.deepcopy(surrogate))
    assert [type(m) for m in fixed.modules() if isinstance(m, nn.Softplus)] == [nn.Softplus] * 2
    set_beta(surrogate, 9.0)
    set_beta(fixed, 9.0)
    torch.testing.assert_close(fixed(x), softplus_surrogate(net, 4.0)(x))
    assert not torch.allclose(surrogate(x), fixed(x))
