"""Frozen copies: the same function with the same derivatives, for less."""

import copy
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from robustxai.engine import channels_last, frozen, softplus_surrogate
from robustxai.nets import MLP, ConvNet, ResNet9, Siamese
from tests.nets.images import derivatives, images, made

LAYERS = {
    "1d": (nn.Conv1d(3, 4, 3, stride=2, padding=1), (2, 3, 10)),
    "2d": (nn.Conv2d(2, 4, (3, 2), stride=(2, 1), padding=(0, 1), dilation=(1, 2), groups=2), (2, 2, 8, 7)),
    "3d": (nn.Conv3d(1, 2, 2, stride=3, bias=False), (2, 1, 5, 6, 7)),
    "same": (nn.Conv2d(2, 3, 3, padding="same"), (2, 2, 5, 5)),
    "reflected": (nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), (2, 2, 5, 5)),
    "spectral norm": (nn.utils.parametrizations.spectral_norm(nn.Conv2d(2, 3, 3)), (2, 2, 5, 5)),
    "norm of a table": (nn.BatchNorm1d(4), (5, 4)),
    "norm without weights": (nn.BatchNorm2d(3, affine=False), (2, 3, 4, 4)),
    "norm of the batch": (nn.BatchNorm2d(3, track_running_stats=False), (4, 3, 4, 4)),
    "maximum": (nn.MaxPool2d((2, 4)), (2, 3, 7, 8)),
    "maximum of an even number": (nn.MaxPool1d(2, ceil_mode=True), (2, 3, 8)),
    "maximum of an odd number": (nn.MaxPool1d(2, ceil_mode=True), (2, 3, 7)),
    "overlapping maximum": (nn.MaxPool3d(3, stride=2, padding=1), (1, 2, 5, 6, 7)),
    "softplus": (nn.Softplus(beta=3.0, threshold=2.0), (4, 5)),
}
NETS = {
    "conv": (lambda: made(ConvNet, (2, 9, 8), 3, (3, 4), (5,)), (4, 2, 9, 8)),
    "resnet": (lambda: made(ResNet9, (3, 8, 8), 3, 2, pool="average"), (4, 3, 8, 8)),
    "siamese": (lambda: made(Siamese, (2, 1, 8, 8), 2, encoder="conv"), (3, 2, 1, 8, 8)),
}


@pytest.mark.parametrize(("layer", "shape"), LAYERS.values(), ids=LAYERS)
def test_a_frozen_layer_has_the_derivatives_of_the_layer(layer, shape):
    layer = copy.deepcopy(layer).double().eval()
    for buffer in layer.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    # between two that bend, because the second derivative of a linear layer is none
    exact, cheap = (nn.Sequential(nn.Tanh(), net, nn.Sigmoid()) for net in (layer, frozen(layer)))
    for one, other in zip(derivatives(exact, images(*shape)), derivatives(cheap, images(*shape))):
        torch.testing.assert_close(other, one)


@pytest.mark.parametrize(("make", "shape"), NETS.values(), ids=NETS)
@pytest.mark.parametrize("of", [lambda net: net, softplus_surrogate], ids=["net", "surrogate"])
def test_a_frozen_network_has_the_derivatives_of_the_network(make, shape, of):
    net = make()
    exact, cheap = derivatives(of(net), images(*shape)), derivatives(of(frozen(net.train())), images(*shape))
    for one, other in zip(exact, cheap):
        torch.testing.assert_close(other, one)
    assert exact[2].any()


@settings(max_examples=40)
@given(
    size=st.integers(5, 12), kernel=st.integers(1, 3), stride=st.integers(1, 4), padding=st.integers(0, 3),
    dilation=st.integers(1, 2),
)  # fmt: skip
def test_every_stride_and_padding(size, kernel, stride, padding, dilation):
    """What a stride passes over at the end of an axis has the gradient zero, and is not forgotten."""
    layer = nn.Conv1d(1, 2, kernel, stride, padding, dilation).double()
    net = nn.Sequential(nn.Tanh(), layer)
    x = images(1, 1, size)
    for one, other in zip(derivatives(net, x), derivatives(frozen(net), x)):
        torch.testing.assert_close(other, one)


@pytest.mark.parametrize("last", [nn.Softplus(beta=2.0), softplus_surrogate(nn.MaxPool1d(2), 3.0)])
def test_a_third_derivative_is_right(last):
    net = frozen(nn.Sequential(nn.Conv1d(1, 2, 2), last).double())
    x = images(1, 1, 5).requires_grad_()

    def bend(x):
        (slope,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
        return torch.autograd.grad((slope**2).sum(), x, create_graph=True)[0]

    assert torch.autograd.gradcheck(bend, x)


def test_of_equal_places_the_first_one_counts():
    """As in torch: an explanation differs by which one it is."""
    x = torch.randint(0, 2, (4, 2, 8, 8), generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    pool = nn.MaxPool2d((2, 4))
    weights = images(4, 2, 4, 2)
    slopes = [torch.autograd.grad((net(x) * weights).sum(), x)[0] for net in (pool, frozen(pool))]
    assert torch.equal(*slopes)


def test_a_single_image_without_a_batch():
    layer = nn.Conv2d(2, 3, 3)
    x = torch.randn(2, 5, 5)
    torch.testing.assert_close(frozen(layer)(x), layer(x))


class _Convolutions(TorchDispatchMode):
    """Counts the products of images with kernels."""

    def __init__(self):
        super().__init__()
        self.n = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.n["convolution" in func.name()] += 1
        return func(*args, **(kwargs or {}))


def test_no_gradient_in_the_weights_is_computed():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Softplus(), nn.Conv2d(2, 2, 3)).eval()
    counts = []
    for module in (frozen(net), net.requires_grad_(False)):
        with _Convolutions() as convolutions:
            derivatives(module, images(2, 1, 7, 7).float())
        counts.append(convolutions.n)
    # both forwards, both backwards, and the first both ways again: behind the softplus nothing bends
    assert counts[0][True] == 6
    assert counts[1][True] > counts[0][True]
    assert counts[1][False] > counts[0][False]


def test_the_original_is_left_alone():
    net = made(ResNet9, (3, 8, 8), 3, 2).train()
    before = copy.deepcopy(net.state_dict())
    copied = frozen(net)
    copied(images(4, 3, 8, 8))
    assert net.training
    assert all(p.requires_grad for p in net.parameters())
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not copied.training
    assert not any(p.requires_grad for p in copied.parameters())
    assert [type(m) for m in copied.modules()] == [type(m) for m in net.modules()]


def test_a_copy_of_a_frozen_network_has_its_own_weights():
    """A softplus surrogate is such a copy."""
    net = frozen(nn.Sequential(nn.Conv1d(1, 1, 1), nn.BatchNorm1d(1)))
    x = torch.ones(1, 1, 3)
    before, other = net(x), copy.deepcopy(net)
    with torch.no_grad():
        other[0].weight.add_(1.0)
        other[1].running_mean.add_(3.0)
    assert torch.equal(net(x), before)
    assert not torch.equal(other(x), before)


def test_hooks_run_and_a_class_of_ones_own_stays_as_it_is():
    class Doubled(nn.Conv1d):
        def forward(self, x):
            return 2 * super().forward(x)

    seen = []
    net = nn.Sequential(Doubled(1, 1, 1), nn.Conv1d(1, 1, 1))
    net[1].register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    x = torch.randn(2, 1, 4)
    torch.testing.assert_close(frozen(net)(x), net(x))
    assert len(seen) == 2


def test_the_layout_changes_no_value():
    net, x = made(ResNet9, (3, 8, 8), 3, 2), images(4, 3, 8, 8)
    other = channels_last(frozen(net), x)
    assert other.first[0][0].weight.is_contiguous(memory_format=torch.channels_last)
    for one, same in zip(derivatives(softplus_surrogate(net), x), derivatives(softplus_surrogate(other), x)):
        torch.testing.assert_close(same, one)


def test_a_network_that_needs_its_layout_keeps_it():
    class Viewed(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = nn.Conv2d(2, 3, 3)

        def forward(self, x):
            return self.convolution(x).view(len(x), -1)

    net, x = Viewed(), torch.randn(4, 2, 5, 5)
    other = channels_last(frozen(net), x)
    torch.testing.assert_close(other(x), net(x))
    assert other.convolution.weight.is_contiguous()
    other.filters = nn.Parameter(torch.zeros(1, 1, 2, 2, 2))
    assert channels_last(other, x).convolution.weight.is_contiguous()
    table = MLP(3, 2)
    assert channels_last(table, torch.zeros(1, 3)) is table
