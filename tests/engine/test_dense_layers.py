"""Networks that declare dense layers: a user's own, changed ones and subclasses."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from robustxai.engine import Autograd, MLPPasses, StackedMLP, choose_differentiation
from robustxai.engine._dense_layers import plain_dense_layers
from robustxai.explainers import Gradient
from robustxai.nets import MLP, DenseLayers
from robustxai.penalties import RankingGap


class Own(nn.Module):
    """A user's network, with the layers under other names."""

    def __init__(self):
        super().__init__()
        self.inner, self.unit, self.outer = nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2)

    def forward(self, x):
        return self.outer(self.unit(self.inner(x)))

    def dense_layers(self):
        return DenseLayers([self.inner, self.outer], [self.unit], None)


class Twice(Own):
    """Computes something else and declares nothing."""

    def forward(self, x):
        return 2 * super().forward(x)


class Renamed(Own):
    """Computes the same and declares it again."""

    dense_layers = Own.dense_layers


@pytest.mark.parametrize("kind", [Own, Renamed])
def test_a_declared_network_takes_the_written_out_passes(kind):
    module, x = kind(), torch.randn(6, 5)
    passes = choose_differentiation(module, [RankingGap(2)], Gradient())
    assert isinstance(passes, MLPPasses)
    torch.testing.assert_close(passes(x), module(x))
    torch.testing.assert_close(StackedMLP([module, kind()])(torch.stack([x, x]))[0], module(x))


def test_a_subclass_declares_again():
    assert isinstance(choose_differentiation(Twice(), [RankingGap(2)], Gradient()), Autograd)
    with pytest.raises(NotImplementedError, match="Twice"):
        StackedMLP([Twice()])


def changed(change, **options):
    module = MLP(5, 2, (4, 3), **options)
    change(module)
    return module


def replace(index, layer):
    return lambda module: module.layers.__setitem__(index, layer)


CHANGED = {
    "a parametrized layer": (lambda module: parametrizations.weight_norm(module.layers[0]), "plain nn.Linear"),
    "no bias": (replace(0, nn.Linear(5, 4, bias=False)), "must have a bias"),
    "another activation": (replace(1, nn.ReLU()), "one activation"),
    "another beta": (replace(1, nn.Softplus(beta=3.0)), "one beta"),
    "another threshold": (lambda module: [setattr(module.layers[i], "threshold", 1.0) for i in (1, 3)], "threshold"),
    "a hook": (lambda module: module.layers[1].register_forward_hook(lambda *args: None), "no hooks"),
    "a hook of a gradient": (lambda module: module.layers[0].weight.register_hook(lambda g: g), "no hooks"),
    "a replaced forward": (
        lambda module: setattr(module, "forward", lambda x: 2 * module.layers(x)),
        "no replaced forward",
    ),
}


@pytest.mark.parametrize("case", CHANGED)
def test_a_network_that_was_changed_by_hand_is_refused(case):
    change, why = CHANGED[case]
    module = changed(change)
    with pytest.raises(NotImplementedError, match=why):
        plain_dense_layers(module)
    assert MLPPasses.of(module) is None
    assert isinstance(choose_differentiation(module, [RankingGap(2)], Gradient()), Autograd)


def test_the_layers_of_an_mlp():
    module = MLP(5, 2, (4, 3), skip=True)
    linear, units, skip = plain_dense_layers(module)
    x = torch.randn(6, 5)
    h = x
    for layer, unit in zip(linear, [*units, nn.Identity()], strict=True):
        h = unit(layer(h))
    torch.testing.assert_close(h + skip(x), module(x))
