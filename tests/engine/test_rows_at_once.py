"""How many rows are searched at once."""

import numpy as np
import pytest
import torch
from torch import nn

from robustxai import VanillaClassifier
from robustxai.attacks import FGSM, ERAttack
from robustxai.engine import StackedMLP, StackRows
from robustxai.engine._rows_at_once import rows_at_once
from robustxai.nets import MLP, ConvNet, ResNet9


def test_a_table_is_searched_a_thousand_rows_at_once():
    assert rows_at_once(MLP(28, 2, (64, 32)), torch.zeros(5, 28)) == 1024
    stack = StackRows(StackedMLP([MLP(4, 2), MLP(4, 2)]), torch.tensor([0, 1, 1]))
    assert rows_at_once(stack, torch.zeros(3, 4)) == 1024


def test_images_share_a_fixed_number_of_outputs():
    layers = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.Sequential(nn.Softplus()), nn.Flatten())
    x = torch.zeros(2, 1, 128, 128)
    n = 128 * 128 * (1 + 3 * 8)  # the image and the outputs of three layers; a container has none of its own
    assert rows_at_once(layers, x) == 2**25 // n
    assert not any(m._forward_hooks for m in layers.modules())


def test_larger_networks_get_fewer_rows():
    x = torch.zeros(1, 3, 32, 32)
    sizes = [
        rows_at_once(net, x)
        for net in (ConvNet((3, 32, 32), 10), ResNet9((3, 32, 32), 10, 8), ResNet9((3, 32, 32), 10))
    ]
    assert 1024 > sizes[0] > sizes[1] > sizes[2] > 8
    assert rows_at_once(nn.Conv2d(3, 8, 1), torch.zeros(1, 3, 4096, 4096)) == 1


def test_a_model_without_weights_is_not_asked():
    class Elsewhere(nn.Module):
        def forward(self, x):
            raise AssertionError("a query that nobody has ordered")

    assert rows_at_once(Elsewhere(), torch.zeros(2, 3)) == 1024


@pytest.mark.parametrize("make", [lambda clf, **kw: ERAttack(clf, k=4, max_iter=3, **kw), FGSM])
def test_the_attack_takes_so_many_and_those_that_it_is_told(make, monkeypatch):
    X = np.random.default_rng(0).uniform(size=(12, 1, 8, 8)).astype(np.float32)
    clf = VanillaClassifier(max_epochs=1).fit(X, np.arange(12) % 2)
    seen = []
    forward = ConvNet.forward
    monkeypatch.setattr(ConvNet, "forward", lambda net, x: (seen.append(len(x)), forward(net, x))[1])
    whole = make(clf).fit_transform(X)
    assert 12 in seen
    seen.clear()
    parts = make(clf, batch_size=5).fit_transform(X)
    assert 5 in seen
    np.testing.assert_allclose(parts, whole, atol=1e-5)
