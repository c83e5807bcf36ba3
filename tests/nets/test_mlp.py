import numpy as np
import pytest
import torch

from robustxai.activations import ACTIVATIONS
from robustxai.nets import MLP

ERF = np.vectorize(__import__("math").erf)
NUMPY = {
    "relu": lambda z, beta: np.maximum(z, 0),
    "softplus": lambda z, beta: np.logaddexp(0, beta * z) / beta,
    "sigmoid": lambda z, beta: 1 / (1 + np.exp(-z)),
    "tanh": lambda z, beta: np.tanh(z),
    "gelu": lambda z, beta: z * (1 + ERF(z / np.sqrt(2))) / 2,
    "silu": lambda z, beta: z / (1 + np.exp(-z)),
}


def numpy_forward(net, x, activation, beta):
    weights = {name: value.detach().numpy() for name, value in net.named_parameters()}
    numbers = sorted(int(name.split(".")[1]) for name in weights if name.startswith("layers") and "weight" in name)
    a = x
    for i in numbers:
        z = a @ weights[f"layers.{i}.weight"].T + weights[f"layers.{i}.bias"]
        a = z if i == numbers[-1] else NUMPY[activation](z, beta)
    return a + x @ weights["skip.weight"].T if "skip.weight" in weights else a


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_forward_equals_numpy(activation, hidden, skip):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = MLP(3, 2, hidden, activation, beta=2.5, skip=skip).double()
    x = np.random.default_rng(0).normal(size=(6, 3)) * 3
    np.testing.assert_allclose(
        net(torch.as_tensor(x)).detach().numpy(), numpy_forward(net, x, activation, 2.5), rtol=1e-10, atol=1e-12
    )
    stacked = net(torch.as_tensor(x).reshape(2, 3, 3))
    assert torch.equal(stacked.reshape(6, 2), net(torch.as_tensor(x)))


def test_the_number_of_weights_is_that_of_the_widths():
    assert sum(p.numel() for p in MLP(28, 2).parameters()) == 28 * 64 + 64 + 64 * 32 + 32 + 32 * 2 + 2
    assert sum(p.numel() for p in MLP(7, 3, (), skip=True).parameters()) == 7 * 3 + 3 + 7 * 3


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="Did you mean 'softplus'"):
        MLP(3, 2, activation="softpuls")
    with pytest.raises(ValueError, match="beta must be"):
        MLP(3, 2, beta=0.0)
