"""Stand-ins: where they lead as beta grows, and that a second derivative comes with them."""

import itertools

import pytest
import torch
from torch import nn

from robustxai.engine import has_piecewise_linear, set_beta, softplus_surrogate

POOLS = {
    "1d": (nn.MaxPool1d(3), (2, 3, 11)),
    "1d overlapping": (nn.MaxPool1d(3, stride=1, padding=1, dilation=2), (2, 3, 11)),
    "1d ceil": (nn.MaxPool1d(3, stride=2, padding=1, ceil_mode=True), (2, 3, 10)),
    "1d ceil, last window in the padding": (nn.MaxPool1d(2, stride=3, padding=1, ceil_mode=True), (2, 1, 6)),
    "2d": (nn.MaxPool2d(2), (2, 3, 7, 6)),
    "2d uneven": (nn.MaxPool2d((3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), ceil_mode=True), (2, 3, 8, 7)),
    "2d unbatched": (nn.MaxPool2d(3, stride=2, padding=1), (3, 9, 9)),
    "3d": (nn.MaxPool3d(2, ceil_mode=True), (1, 2, 3, 4, 5)),
    "adaptive 1d": (nn.AdaptiveMaxPool1d(4), (2, 3, 10)),
    "adaptive 2d": (nn.AdaptiveMaxPool2d((None, 3)), (2, 3, 4, 7)),
    "adaptive 3d": (nn.AdaptiveMaxPool3d(1), (1, 2, 3, 2, 3)),
}
ACTIVATIONS = {
    "relu": nn.ReLU(),
    "relu6": nn.ReLU6(),
    "hardtanh": nn.Hardtanh(-0.5, 1.5),
    "leaky": nn.LeakyReLU(0.2),
    "rrelu": nn.RReLU().eval(),
    "prelu": nn.PReLU(),
    "prelu by channel": nn.PReLU(3, init=0.3),
}
every_kind = pytest.mark.parametrize(
    ("module", "shape"),
    [*POOLS.values(), *((module, (4, 3, 5)) for module in ACTIVATIONS.values())],
    ids=[*POOLS, *ACTIVATIONS],
)


def distinct(shape):
    """Numbers between -2 and 8 without ties, a distance of at least 10 / (2 n) apart and off 0, 6, -0.5 and 1.5."""
    n = torch.Size(shape).numel()
    values = torch.linspace(-2, 8, n + 2, dtype=torch.float64)[1:-1] + 0.013
    return values[torch.randperm(n, generator=torch.Generator().manual_seed(0))].reshape(shape)


def derivatives(module, x):
    """Value, gradient of a weighted sum of the outputs, and that gradient's gradient along another direction."""
    x = x.clone().requires_grad_()
    value = module(x)
    weights = torch.linspace(0.5, 1.5, value.numel(), dtype=x.dtype).reshape(value.shape)
    (slope,) = torch.autograd.grad((value * weights).sum(), x, create_graph=True)
    along = torch.linspace(-1, 2, x.numel(), dtype=x.dtype).reshape(x.shape)
    bend = torch.autograd.grad((slope * along).sum(), x, allow_unused=True)[0] if slope.requires_grad else None
    return value.detach(), slope.detach(), bend


@every_kind
def test_value_and_gradient_become_those_of_the_module(module, shape):
    module, x = module.double(), distinct(shape)
    value, slope, bend = derivatives(module, x)
    assert bend is None or not bend.any()
    errors = []
    for beta in (2, 50, 500, 20_000):
        smooth_value, smooth_slope, smooth_bend = derivatives(softplus_surrogate(module, float(beta)), x)
        assert smooth_value.shape == value.shape
        assert smooth_bend.isfinite().all()
        # the log of the number of places bounds what a sum of exponentials adds; two kinks may add up
        assert (smooth_value - value).abs().max() <= 3.5 / beta
        errors.append((smooth_slope - slope).abs().max())
        if beta == 2:
            assert smooth_bend.any()
    assert errors[-1] < 1e-9
    assert errors[0] > 1e-3


@every_kind
def test_what_is_replaced_is_what_is_noticed(module, shape):
    assert has_piecewise_linear(module)
    net = nn.Sequential(nn.Identity(), nn.ModuleDict({"a": module}))
    assert has_piecewise_linear(net)
    surrogate = softplus_surrogate(net)
    assert not has_piecewise_linear(surrogate)
    assert has_piecewise_linear(net)


@pytest.mark.parametrize("module", [nn.ELU(), nn.GELU(), nn.SiLU(), nn.Softplus(), nn.AvgPool2d(2), nn.Tanh()])
def test_what_bends_stays(module):
    assert not has_piecewise_linear(module)
    assert type(softplus_surrogate(module)) is type(module)


def test_windows_are_those_of_torch():
    """All options against each other, on ties too: -inf outside, nothing counted twice."""
    x = torch.randn(1, 1, 9, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    n_checked = 0
    for kernel, stride, padding, dilation, ceil in itertools.product(
        (1, 2, 3), (1, 2, 4), (0, 1), (1, 2), (False, True)
    ):
        if padding > kernel // 2:
            continue  # torch refuses it
        pool = nn.MaxPool1d(kernel, stride, padding, dilation, ceil_mode=ceil)
        exact = pool(x)
        smooth = softplus_surrogate(pool, 1e6)(x)
        assert smooth.shape == exact.shape
        torch.testing.assert_close(smooth, exact, atol=3e-6, rtol=0)
        n_checked += 1
    assert n_checked > 50


def test_a_sum_of_exponentials_does_not_overflow():
    x = torch.tensor([[[1e4, -1e4, 3.0, 2e4]]], requires_grad=True)
    value, slope, bend = derivatives(softplus_surrogate(nn.MaxPool1d(2), 50.0), x.detach())
    assert torch.equal(value, torch.tensor([[[1e4, 2e4]]]))
    assert slope.isfinite().all()
    assert bend.isfinite().all()


def test_a_softplus_of_the_network_keeps_its_beta():
    net = nn.Sequential(nn.Conv1d(1, 2, 3), nn.Softplus(beta=2.0), nn.MaxPool1d(2), nn.ReLU6(), nn.PReLU())
    surrogate = softplus_surrogate(net, 5.0)
    set_beta(surrogate, 30.0)
    assert surrogate[1].beta == 2.0
    assert surrogate[2].beta == 30.0
    x = distinct((2, 1, 9)).float()
    assert torch.equal(surrogate(x), softplus_surrogate(net, 30.0)(x))
    assert not torch.equal(surrogate(x), softplus_surrogate(net, 5.0)(x))


def test_a_module_with_two_names_is_replaced_under_both():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = self.second = nn.ReLU()

        def forward(self, x):
            return self.second(self.first(x) - 1)

    surrogate = softplus_surrogate(Twice(), 3.0)
    assert not has_piecewise_linear(surrogate)
    assert torch.equal(surrogate.second(torch.ones(1)), nn.functional.softplus(torch.ones(1), beta=3.0))


def test_a_pooling_that_returns_its_places_stays():
    net = nn.Sequential(nn.MaxPool1d(2, return_indices=True))
    assert has_piecewise_linear(net)
    value, places = softplus_surrogate(net)(torch.tensor([[1.0, 3.0, 2.0, 0.0]]))
    assert value.tolist() == [[3.0, 2.0]]
    assert places.tolist() == [[1, 2]]


def test_the_weights_of_a_prelu_come_along():
    net = nn.PReLU(2, init=0.1)
    surrogate = softplus_surrogate(net, 1e4)
    assert [tuple(p.shape) for p in surrogate.parameters()] == [(2,)]
    x = torch.tensor([[-1.0, -2.0], [3.0, 4.0]])
    torch.testing.assert_close(surrogate(x), net(x))
    assert "kernel_size=(2,)" in repr(softplus_surrogate(nn.MaxPool1d(2)))
