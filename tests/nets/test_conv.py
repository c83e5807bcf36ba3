import pytest
import torch
from torch import nn
from torch.nn import functional as F

from robustxai.engine import has_piecewise_linear
from robustxai.nets import ConvNet

from .images import assert_surrogates_approach, images, made


def test_the_atex_paper_s_network():
    net = ConvNet((1, 28, 28), 10)
    kinds = [type(layer) for layer in net.layers]
    block = [nn.Conv2d, nn.Softplus, nn.MaxPool2d]
    assert kinds == [*block, *block, nn.Flatten, nn.Linear, nn.Softplus, nn.Linear]
    assert [tuple(p.shape) for p in net.parameters() if p.ndim > 1] == [
        (32, 1, 3, 3), (32, 32, 3, 3), (120, 1568), (10, 120),
    ]  # fmt: skip


@pytest.mark.parametrize(("shape", "pool"), [((1, 8, 8), "max"), ((3, 9, 6), "max"), ((2, 7, 8), "average")])
def test_values_are_those_of_the_functions(shape, pool):
    net = made(ConvNet, shape, 3, channels=(4, 5), hidden=(6,), activation="softplus", beta=2.0, pool=pool)
    x = images(4, *shape)
    weights = list(net.parameters())
    pooled = F.max_pool2d if pool == "max" else F.avg_pool2d
    h = x
    for weight, bias in (weights[:2], weights[2:4]):
        h = pooled(F.softplus(F.conv2d(h, weight, bias, padding=1), beta=2.0), 2)
    h = F.softplus(h.flatten(1) @ weights[4].T + weights[5], beta=2.0)
    torch.testing.assert_close(net(x), h @ weights[6].T + weights[7])


def test_depth_is_free():
    net = made(ConvNet, (2, 8, 8), 3, channels=(3, 4, 5), hidden=())
    assert [tuple(p.shape) for p in net.parameters() if p.ndim > 1] == [
        (3, 2, 3, 3),
        (4, 3, 3, 3),
        (5, 4, 3, 3),
        (3, 5),
    ]
    assert net(images(4, 2, 8, 8)).shape == (4, 3)


@pytest.mark.parametrize(("activation", "pool", "kinks"), [("tanh", "average", False), ("tanh", "max", True)])
def test_the_chosen_activation_is_everywhere(activation, pool, kinks):
    net = ConvNet((1, 8, 8), 2, activation=activation, pool=pool)
    assert sum(isinstance(layer, nn.Tanh) for layer in net.layers) == 3
    assert not any(isinstance(layer, nn.ReLU | nn.Softplus) for layer in net.layers)
    assert has_piecewise_linear(net) == kinks


def test_surrogates_approach_the_network():
    assert_surrogates_approach(
        made(ConvNet, (1, 8, 8), 3, channels=(4, 4), hidden=(6,), activation="relu"), images(3, 1, 8, 8)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((5,), 2), r"ConvNet takes images, .* got X of shape \(n, 5\)\. Use module="),
        (((8, 8), 2), r"need one: X\[:, None\]"),
        (((2, 1, 8, 8), 2), r"got X of shape \(n, 2, 1, 8, 8\)\.$"),
        (((1, 3, 8), 2), "needs sides of at least 4 pixels, got 3 x 8"),
        (((1, 8, 8), 2, (4,), (3,), "softpuls"), "Did you mean 'softplus'"),
        (((1, 8, 8), 2, (4,), (3,), "relu", 1.0, "maximum"), "pool='maximum' is not known"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ConvNet(*arguments)
