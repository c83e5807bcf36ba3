"""What a proof assumes of an activation, against torch's own functions and against dense sampling."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from robustxai.bounds import read_network

from .test_user_activation import ScaledTanh

SMOOTH = [nn.Softplus(beta=0.5), nn.Softplus(beta=1.0), nn.Softplus(beta=7.0), nn.Sigmoid(), nn.Tanh(), ScaledTanh()]
ALL = [*SMOOTH, nn.ReLU()]
ends = st.floats(-8, 8)


def read_activation(module):
    return read_network(module, (1,)).layers[0].activation


def interval(a, b):
    lo, hi = (torch.tensor([float(f(a, b))], dtype=torch.float64) for f in (min, max))
    return lo, hi, lo + (hi - lo) * torch.linspace(0, 1, 2001, dtype=torch.float64)


def derivative(function, z, order):
    z = z.clone().requires_grad_()
    value = function(z)
    for _ in range(order):
        (value,) = torch.autograd.grad(value.sum(), z, create_graph=True)
    return value.detach()


@pytest.mark.parametrize("module", ALL, ids=str)
def test_value_and_slope_are_torchs(module):
    z = torch.linspace(-6, 6, 101, dtype=torch.float64)
    f = read_activation(module)
    torch.testing.assert_close(f.value(z), module(z), rtol=0, atol=1e-9)
    if not f.kinked:
        torch.testing.assert_close(f.slope(z), derivative(module, z, 1), rtol=0, atol=1e-8)


@pytest.mark.parametrize("module", SMOOTH, ids=str)
@given(ends, ends)
def test_ranges_hold_all_that_is_sampled_and_are_tight(module, a, b):
    lo, hi, z = interval(a, b)
    f = read_activation(module)
    for order, (low, high) in ((1, f.slope_range(lo, hi)), (2, f.bend_range(lo, hi))):
        # the function's own slope: torch's softplus is cut off at beta z = 20
        sampled = f.slope(z) if order == 1 else derivative(lambda t: f.slope(t), z, 1)
        assert low <= sampled.min() + 1e-9
        assert high >= sampled.max() - 1e-9
        step = float(hi - lo) / 2000
        assert high - sampled.max() <= 100 * step + 1e-9
        assert sampled.min() - low <= 100 * step + 1e-9


@pytest.mark.parametrize("module", ALL, ids=str)
@given(ends, ends)
def test_no_offset_from_the_secant_lies_beyond_the_touching_points(module, a, b):
    lo, hi, z = interval(a, b)
    if hi - lo < 1e-6:
        return
    f = read_activation(module)
    pairs = [(f.value, f.touching)] if f.kinked else [(f.value, f.touching), (f.slope, f.slope_touching)]
    for function, touching in pairs:
        m = (function(hi) - function(lo)) / (hi - lo)
        points = torch.cat([lo, hi, *(p.clamp(lo, hi) for p in touching(m))])
        offsets, sampled = function(points) - m * points, function(z) - m * z
        assert offsets.min() <= sampled.min() + 1e-9
        assert offsets.max() >= sampled.max() - 1e-9


def test_a_relu_may_have_either_slope_at_its_kink():
    f = read_activation(nn.ReLU())
    lo = torch.tensor([-1.0, 0.0, 0.5, -2.0])
    hi = torch.tensor([1.0, 0.0, 2.0, -1.0])
    low, high = f.slope_range(lo, hi)
    assert low.tolist() == [0, 0, 1, 0]
    assert high.tolist() == [1, 1, 1, 0]
    assert f.bend_range(lo, hi)[1].tolist() == [math.inf, math.inf, 0, 0]


def test_what_is_not_known_is_not_read():
    with pytest.raises(NotImplementedError, match="layer GELU"):
        read_activation(nn.GELU())
