"""A module read as matrices computes what the module computes, in value and in gradient."""

import pytest
import torch
from torch import nn

from robustxai.bounds import read_network
from robustxai.nets import MLP


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.enter, self.block, self.leave = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        h = torch.sigmoid(self.enter(x))
        return self.leave(h + torch.tanh(self.block(h)))


class Flattened(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.conv, self.leave, self.how = nn.Conv2d(1, 3, 3, stride=2, padding=1), nn.Linear(27, 2), how

    def forward(self, x):
        h = nn.functional.softplus(self.conv(x), beta=2)
        if self.how == "size":
            return self.leave(h.view(h.size(0), -1))
        if self.how == "shape":
            return self.leave(h.reshape(h.shape[0], 27))
        return self.leave(torch.flatten(h, 1))


def batch_norm():
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.Softplus(beta=3),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(4, 3),
    )
    for _ in range(3):
        net(torch.randn(8, 1, 5, 5))  # running statistics that are not 0 and 1
    return net


NETS = {
    "mlp": (lambda: MLP(4, 3, hidden=(5, 6)), (4,)),
    "skip": (lambda: MLP(4, 2, hidden=(5,), skip=True), (4,)),
    "linear": (lambda: nn.Linear(4, 3), (4,)),
    "relu": (lambda: MLP(4, 3, hidden=(5, 6), activation="relu"), (4,)),
    "residual": (Residual, (4,)),
    "batch norm": (batch_norm, (1, 5, 5)),
    "flatten": (lambda: Flattened("flatten"), (1, 5, 5)),
    "view": (lambda: Flattened("size"), (1, 5, 5)),
    "reshape": (lambda: Flattened("shape"), (1, 5, 5)),
}


def evaluate(network, x):
    values = [x]

    def affine(inputs):
        return sum(values[source] @ weight.T for source, weight in inputs.weights.items()) + inputs.bias

    for layer in network.layers:
        values.append(layer.activation.value(affine(layer.inputs)))
    return affine(network.logits)


@pytest.mark.parametrize("name", NETS)
def test_the_matrices_compute_what_the_module_computes(name):
    make, shape = NETS[name]
    torch.manual_seed(0)
    module = make()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    network = read_network(module, shape)
    assert network.n_features == torch.Size(shape).numel()
    x = torch.randn(7, *shape, dtype=torch.float64)
    expected = module.double().eval()(x)
    torch.testing.assert_close(evaluate(network, x.flatten(1)), expected, rtol=0, atol=1e-12)
    for key, value in before.items():
        torch.testing.assert_close(module.state_dict()[key].to(value.dtype), value)


class Sized(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Product(nn.Module):
    def forward(self, x):
        return x * x


@pytest.mark.parametrize(
    ("module", "match"),
    [
        (nn.Sequential(nn.Linear(4, 4), nn.GELU()), "layer GELU"),
        (nn.Sequential(nn.Unflatten(1, (1, 2, 2)), nn.MaxPool2d(2), nn.Flatten()), "layer MaxPool2d"),
        (nn.LayerNorm(4), "layer LayerNorm"),
        (nn.BatchNorm1d(4, track_running_stats=False), "without running statistics"),
        (Product(), "operation 'mul'"),
        (Sized(), "Sized cannot be read"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_what_cannot_be_read_is_named(module, match):
    with pytest.raises(NotImplementedError, match=match):
        read_network(module, (4,))
