"""A module that does not give logits to explain is noticed before training."""

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from torch import nn

from robustxai import R2ETClassifier, VanillaClassifier
from robustxai.training._module_check import check_module


@pytest.fixture(scope="module")
def data():
    return make_classification(60, 6, n_informative=4, random_state=0)


class Calls(nn.Module):
    """A linear layer, and a function of its results."""

    def __init__(self, function, n_out=2):
        super().__init__()
        self.layer = nn.Linear(6, n_out)
        self.function = function

    def forward(self, x):
        return self.function(self.layer(x))


class Before(nn.Module):
    """A function of the inputs, and a linear layer."""

    def __init__(self, function):
        super().__init__()
        self.layer = nn.Linear(6, 2)
        self.function = function

    def forward(self, x):
        return self.layer(self.function(x))


def through_no_grad(x):
    with torch.no_grad():
        return x * 2.0


WRONG = {
    "softmax layer": (nn.Sequential(nn.Linear(6, 2), nn.Softmax(dim=-1)), "ends in a softmax"),
    "softmax function": (Calls(lambda z: z.softmax(dim=1)), "ends in a softmax"),
    "softmax by hand": (Calls(lambda z: z.exp() / z.exp().sum(dim=1, keepdim=True)), "ends in a softmax"),
    "softmax, reshaped": (Calls(lambda z: z.softmax(dim=1)[:, None, :].squeeze(1)), "ends in a softmax"),
    "softmax of a temperature": (Calls(lambda z: (z / 5).softmax(dim=1)), "ends in a softmax"),
    "sigmoid layer": (nn.Sequential(nn.Linear(6, 2), nn.Sigmoid()), "ends in a sigmoid"),
    "sigmoid function": (Calls(torch.sigmoid), "ends in a sigmoid"),
    "one sigmoid and its rest": (Calls(lambda z: torch.cat([1 - z.sigmoid(), z.sigmoid()], dim=1), 1), "softmax"),
    "one output": (nn.Linear(6, 1), "need two logits"),
    "flat output": (Calls(lambda z: z.squeeze(1), 1), "need two logits"),
    "too many outputs": (nn.Linear(6, 5), r"shape \(n_samples, 2\).*returned \(16, 5\)"),
    "an axis too many": (Calls(lambda z: z[:, :, None]), "Squeeze"),
    "features for classes": (Calls(lambda z: z.T), "one column for each class"),
    "one row for all": (Calls(lambda z: z.mean(dim=0, keepdim=True)), "one column for each class"),
    "tuple": (Calls(lambda z: (z, z)), "got a tuple"),
    "dictionary": (Calls(lambda z: {"logits": z}), "got a dict"),
    "labels": (Calls(lambda z: (z > 0).long()), "floating-point"),
    "rounded": (Calls(lambda z: z.detach().round()), "no derivative"),
    "no_grad": (Before(through_no_grad), "no derivative"),
    "integers": (Before(lambda x: x.long().float()), "no derivative"),
    "constant": (Before(torch.ones_like), "no derivative"),
    "NaN": (Calls(lambda z: z.abs().neg().sqrt()), "NaN or infinity"),
    "infinity": (Calls(lambda z: z / 0.0), "NaN or infinity"),
    "another number of features": (nn.Linear(4, 2), r"cannot be called .*shape \(16, 6\)"),
    "another type": (nn.Linear(6, 2).double(), "cannot be called .*float32"),
    "an image": (nn.Conv2d(1, 2, 3), "cannot be called"),
    "frozen": (nn.Linear(6, 2).requires_grad_(False), "nothing to train"),
    "without weights": (nn.Sequential(nn.Flatten()), "nothing to train"),
    "dropout that is always on": (Calls(lambda z: nn.functional.dropout(z, 0.5, training=True)), "draws random"),
    "noise": (Calls(lambda z: z + torch.randn_like(z)), "draws random"),
    "batch statistics": (nn.Sequential(nn.Linear(6, 2), nn.BatchNorm1d(2, track_running_stats=False)), "other rows"),
    "an axis that goes with the last row": (Calls(lambda z: z.squeeze()), "fails with one row"),
    "the mean of the batch": (Calls(lambda z: z - z.mean(dim=0)), "other rows"),
}

RIGHT = {
    "linear": nn.Linear(6, 2),
    "log-softmax": nn.Sequential(nn.Linear(6, 2), nn.LogSoftmax(dim=-1)),
    "softmax inside": nn.Sequential(nn.Linear(6, 4), nn.Softmax(dim=-1), nn.Linear(4, 2)),
    "sigmoid inside": nn.Sequential(nn.Linear(6, 4), nn.Sigmoid(), nn.Linear(4, 2)),
    "bounded logits": nn.Sequential(nn.Linear(6, 2), nn.Tanh()),
    "logits without sign": nn.Sequential(nn.Linear(6, 2), nn.ReLU()),
    "dropout": nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 2)),
    "batch normalization": nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 2)),
    "dead units": nn.Sequential(nn.Linear(6, 4), nn.Threshold(1e6, 0.0), nn.Linear(4, 2)),
    "lazy": nn.Sequential(nn.LazyLinear(2)),
    "half frozen": nn.Sequential(nn.Linear(6, 4).requires_grad_(False), nn.Linear(4, 2)),
    "constant beside a path": Before(lambda x: x + torch.ones_like(x)),
}


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("make", [VanillaClassifier, R2ETClassifier])
def test_what_is_noticed_before_training(kind, make, data):
    module, message = WRONG[kind]
    before = torch.random.get_rng_state()
    with pytest.raises(ValueError, match=message):
        make(module=module, max_epochs=10**6, **({"k": 3} if make is R2ETClassifier else {})).fit(*data)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("kind", RIGHT)
def test_what_is_right(kind, data):
    module = RIGHT[kind]
    module.train()
    module[0].eval() if isinstance(module, nn.Sequential) else None
    modes = [part.training for part in module.modules()]
    state = {name: tensor.clone() for name, tensor in module.state_dict().items() if kind != "lazy"}
    before = torch.random.get_rng_state()
    check_module(module, data[0].astype(np.float32), 2)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert [part.training for part in module.modules()] == modes
    for name, tensor in state.items():
        assert torch.equal(module.state_dict()[name], tensor)


def test_more_classes():
    X = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    check_module(nn.Linear(6, 3), X, 3)
    with pytest.raises(ValueError, match="ends in a softmax"):
        check_module(Calls(lambda z: z.softmax(dim=1), 3), X, 3)
    with pytest.raises(ValueError, match="ends in a sigmoid"):
        check_module(Calls(torch.sigmoid, 3), X, 3)


def test_one_row_is_enough():
    X = np.ones((1, 6), dtype=np.float32)
    check_module(nn.Linear(6, 2), X, 2)
    with pytest.raises(ValueError, match="softmax"):
        check_module(WRONG["softmax by hand"][0], X, 2)
