import numpy as np
import pytest
import torch
from torch import nn

from robustxai.nets import MLP
from robustxai.training import ObjectiveNet, TensorBatches


@pytest.fixture(autouse=True)
def own_generator():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 4)).astype(np.float32)
    return X, (X[:, 0] + X[:, 1] ** 2 > 0.5).astype(np.int64)


@pytest.fixture
def make_net():
    """A skorch net of the library with two inputs' worth of defaults that tests override."""

    def make(**params):
        defaults = {
            "module__n_features": 4,
            "module__n_classes": 2,
            "module__hidden": (5,),
            "criterion": nn.CrossEntropyLoss,
            "optimizer": torch.optim.Adam,
            "iterator_train": TensorBatches,
            "iterator_train__shuffle": True,
            "iterator_valid": TensorBatches,
            "train_split": None,
            "max_epochs": 3,
            "batch_size": 16,
            "lr": 0.01,
            "verbose": 0,
        }
        return ObjectiveNet(MLP, **{**defaults, **params})

    return make
