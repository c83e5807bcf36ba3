"""Pickles of what lay on a device that is not here. The tests let some tensors of the CPU stand for such ones."""

import copy
import pickle
import subprocess
import sys
import tempfile

import cloudpickle
import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from torch import nn

from robustxai import ATEXClassifier, R2ETClassifier, SoftplusClassifier, VanillaClassifier, _portable
from robustxai._portable import available, pack, unpack


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


def moved(model):
    """What a model says of itself that was trained on a GPU."""
    model.net_.device, model.device_ = "cuda", torch.device("cuda")
    for name in ("iterator_train__device", "iterator_valid__device"):
        setattr(model.net_, name, torch.device("cuda"))
    return model


def test_available():
    assert available("cpu")
    assert available("cpu:0")
    assert available("cuda") == torch.cuda.is_available()
    assert not available("cuda:99")
    assert not available("xpu:7")


class Holder:
    def __init__(self):
        self.weights = [torch.arange(3.0), {"deep": nn.Parameter(torch.ones(2), requires_grad=False)}]
        self.module = nn.Linear(2, 2)
        self.function = lambda x: x + 1


def test_values_with_tensors_elsewhere_are_packed(monkeypatch):
    mark = torch.arange(3.0)
    monkeypatch.setattr(_portable, "_elsewhere", lambda tensor: tensor.shape == mark.shape)
    holder, plain = Holder(), {"numbers": [1, 2]}
    state = {"holder": holder, "plain": plain, "none": None, "text": "a", "module": nn.Linear(2, 2)}
    packed = pack(state)
    assert packed["plain"] is plain
    assert packed["module"] is state["module"]
    assert packed["holder"] is not holder
    back = unpack(pickle.loads(pickle.dumps(packed)))
    assert torch.equal(back["holder"].weights[0], mark)
    assert back["holder"].function(1) == 2
    assert isinstance(back["holder"].weights[1]["deep"], nn.Parameter)


def test_parameters_stay_parameters(monkeypatch):
    monkeypatch.setattr(_portable, "_elsewhere", lambda tensor: True)
    module = nn.Linear(2, 2)
    module.bias.requires_grad_(False)
    back = unpack(pack({"module": module, "tensor": torch.ones(2, requires_grad=True)}))
    assert isinstance(back["module"].weight, nn.Parameter)
    assert back["module"].weight.requires_grad
    assert not back["module"].bias.requires_grad
    assert back["tensor"].requires_grad
    assert torch.equal(back["module"].weight, module.weight)


def test_what_cannot_be_pickled_is_left_to_its_owner():
    class Never:
        def __reduce__(self):
            raise TypeError("not this")

    value = Never()
    assert pack({"value": value})["value"] is value


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
@pytest.mark.parametrize("make", ["plain", "r2et", "student", "class weights", "unused"])
def test_a_model_of_a_gpu_works_without_one(make, dumps, iris, monkeypatch):
    X, y = iris
    params = {"max_epochs": 2, "module__hidden": (4,)}
    if make == "plain":
        model = VanillaClassifier(**params)
    elif make == "r2et":
        model = R2ETClassifier(k=2, **params)
    elif make == "student":
        model = ATEXClassifier(init=SoftplusClassifier(**params).fit(X, y), **params)
    else:
        model = VanillaClassifier(criterion__weight=torch.tensor([1.0, 2.0, 1.0]), **params)
    model.fit(X, y)
    expected, explained = model.predict_proba(X), model.explain(X)
    monkeypatch.setattr(_portable, "_elsewhere", lambda tensor: True)
    with pytest.warns(UserWarning, match="CUDA"):  # skorch says where the network went
        other = pickle.loads(dumps(moved(model)))
    assert (other.net_.device, other.device_) == ("cpu", torch.device("cpu"))
    assert {p.device.type for p in other.module_.parameters()} == {"cpu"}
    np.testing.assert_array_equal(other.predict_proba(X), expected)
    np.testing.assert_array_equal(other.explain(X), explained)
    other.fit(X, y)
    np.testing.assert_allclose(other.predict_proba(X), expected, atol=1e-6)


def test_a_model_of_the_cpu_is_pickled_as_ever(iris):
    model = VanillaClassifier(max_epochs=1, criterion__weight=torch.ones(3)).fit(*iris)
    state = model.__getstate__()
    assert state["criterion__weight"] is model.criterion__weight
    assert state["net_"] is model.net_
    other = copy.deepcopy(model)
    np.testing.assert_array_equal(other.explain(iris[0]), model.explain(iris[0]))


@pytest.mark.gpu
def test_on_a_gpu(iris):
    """The bytes hold no tensor of the GPU, and a copy goes back to where the original lies."""
    X, y = iris
    old = SoftplusClassifier(max_epochs=2, device="cuda").fit(X, y)
    model = ATEXClassifier(init=old, max_epochs=2, device="cuda", criterion__weight=torch.ones(3, device="cuda"))
    model.fit(X, y)
    data = pickle.dumps(model)
    assert b"cuda" in data
    other = pickle.loads(data)
    assert other.device_.type == "cuda"
    np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
    code = (
        "import os, pickle, sys; os.environ['CUDA_VISIBLE_DEVICES'] = ''; import numpy as np;"
        "model, X = pickle.load(open(sys.argv[1], 'rb')); print(model.device_, model.predict_proba(X)[0, 0])"
    )
    with tempfile.NamedTemporaryFile(suffix=".pkl") as file:
        pickle.dump((model, X), file)
        file.flush()
        said = subprocess.run([sys.executable, "-c", code, file.name], capture_output=True, text=True, check=True)
    place, probability = said.stdout.split()
    assert place == "cpu"
    assert float(probability) == pytest.approx(model.predict_proba(X)[0, 0], abs=1e-5)
