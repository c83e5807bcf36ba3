import pytest
import torch
from torch import nn
from torch.nn import functional as F

from robustxai.nets import ResNet9

from .images import assert_surrogates_approach, images, made


def by_functions(net, x, activation, pool):
    """The published network from its weights alone, in the order of its state, with running statistics."""
    state = list(net.state_dict().values())

    def block(h):
        weight, bias, gamma, beta, mean, var, _ = (state.pop(0) for _ in range(7))
        return activation(F.batch_norm(F.conv2d(h, weight, bias, padding=1), mean, var, gamma, beta))

    h = block(x)
    h = pool(block(h), 2)
    h = h + block(block(h))
    h = pool(block(h), 2)
    h = pool(block(h), 2)
    h = h + block(block(h))
    weight, bias = state
    return pool(h, h.shape[-2:]).flatten(1) @ weight.T + bias


@pytest.mark.parametrize(
    ("shape", "pool", "activation"),
    [((3, 32, 32), "max", F.relu), ((1, 8, 8), "average", torch.tanh), ((2, 28, 17), "max", F.softplus)],
)
def test_values_are_those_of_the_functions(shape, pool, activation):
    net = made(ResNet9, shape, 3, width=2, activation=activation.__name__, pool=pool)
    x = images(2, *shape)
    pooled = F.max_pool2d if pool == "max" else F.avg_pool2d
    torch.testing.assert_close(net(x), by_functions(net, x, activation, pooled))


def test_the_published_size():
    with torch.device("meta"):
        net = ResNet9((3, 32, 32), 10, activation="relu")
    assert sum(p.numel() for p in net.parameters()) == 6_575_370
    widths = [m.out_channels for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert widths == [64, 128, 128, 128, 256, 512, 512, 512]
    assert net.classifier[0].kernel_size == (4, 4)
    assert net.classifier[2].in_features == 512


def test_softplus_is_everywhere():
    net = ResNet9((3, 32, 32), 2, width=2, beta=0.5, pool="average")
    assert [m.beta for m in net.modules() if isinstance(m, nn.Softplus)] == [0.5] * 8
    assert not any(isinstance(m, nn.ReLU | nn.MaxPool2d) for m in net.modules())


def test_surrogates_approach_the_network():
    net = made(ResNet9, (1, 8, 8), 3, width=3, activation="relu")
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the statistics of the one pass below: with others, units are dead
            module.reset_running_stats()
    net.train()(images(20, 1, 8, 8, seed=2))
    assert_surrogates_approach(net.eval(), images(3, 1, 8, 8))


@pytest.mark.parametrize(
    ("shape", "message"),
    [((3, 7, 32), "at least 8 x 8 pixels.*Enlarge"), ((12,), "Use module="), ((8, 8), r"X\[:, None\]")],
)
def test_shapes_that_it_does_not_take(shape, message):
    with pytest.raises(ValueError, match=f"ResNet9 takes images.*{message}"):
        ResNet9(shape, 2)
