"""A fit that fails changes nothing: neither the model of an earlier fit nor an estimator without one."""

import copy
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from skorch.callbacks import Callback
from torch import nn

from robustxai import ATEXClassifier, CertifiedR2ETClassifier, R2ETClassifier, VanillaClassifier
from robustxai.attacks import AutoExplanationAttack, CenterOfMassAttack, ERAttack, NESAttack
from robustxai.exceptions import DivergedError
from robustxai.perturbation import ThreatModel


@pytest.fixture(scope="module")
def frames():
    X, y = make_classification(90, 6, n_informative=4, random_state=0)
    first = pd.DataFrame(X, columns=list("abcdef"))
    return first, first[list("fedcba")], y


class Interrupt(Callback):
    def on_batch_end(self, net, **kwargs):
        raise KeyboardInterrupt


class Fails(nn.Linear):
    """A module that breaks in the middle of a training."""

    def forward(self, x):
        if self.training:
            raise RuntimeError("out of luck")
        return super().forward(x)


def one_class(X, y):
    return X, np.zeros_like(y)


def with_nan(X, y):
    X = X.copy()
    X.iloc[3, 2] = np.nan
    return X, y


def three_classes(X, y):
    return X, np.arange(len(y)) % 3


FAILURES = {
    "diverges": ({"lr": 1e30}, None, ArithmeticError),
    "parameter": ({"batch_size": 0}, None, ValueError),
    "device": ({"device": "cuda:7"}, None, ValueError),
    "module name": ({"module": "forest"}, None, ValueError),
    "init of another shape": ({"init": nn.Linear(3, 2)}, None, ValueError),
    "criterion": ({"criterion__weight": torch.ones(5)}, None, Exception),
    "interrupt": ({"callbacks": [Interrupt()]}, None, KeyboardInterrupt),
    "module breaks": ({"module": Fails(6, 2)}, None, RuntimeError),
    "module is none": ({"module": nn.Linear(6, 9)}, None, ValueError),
    "one class": ({}, one_class, ValueError),
    "gap": ({}, with_nan, ValueError),
    "warning as an error": ({"epsilon": 1e9}, None, UserWarning),
}


def state(model):
    return {name: copy.deepcopy(value) for name, value in vars(model).items() if name.endswith("_") and name != "net_"}


def fails(model, data, error):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error):
            model.fit(*data)


@pytest.mark.parametrize("kind", FAILURES)
def test_the_earlier_model_stays(kind, frames):
    first, other, y = frames
    params, spoil, error = FAILURES[kind]
    maker = CertifiedR2ETClassifier if "epsilon" in params else VanillaClassifier
    model = maker(max_epochs=2).fit(first, y)
    before, net, weights = state(model), model.net_, copy.deepcopy(model.module_.state_dict())
    expected = model.explain(first)
    model.set_params(**{name: value for name, value in params.items() if name != "device"})
    vars(model).update({name: value for name, value in params.items() if name == "device"})
    data = (other, y) if spoil is None else spoil(other, y)
    fails(model, data, error)
    assert model.net_ is net
    assert state(model).keys() == before.keys()
    assert list(model.feature_names_in_) == list("abcdef")
    for name, tensor in model.module_.state_dict().items():
        assert torch.equal(tensor, weights[name])
    pd.testing.assert_frame_equal(model.explain(first), expected)
    with pytest.raises(ValueError, match="same order"):
        model.predict(other)


@pytest.mark.parametrize("kind", FAILURES)
def test_an_estimator_without_a_model_stays_without(kind, frames):
    _, other, y = frames
    params, spoil, error = FAILURES[kind]
    maker = CertifiedR2ETClassifier if "epsilon" in params else VanillaClassifier
    model = maker(**{"max_epochs": 2, **params})
    before = dict(vars(model))
    fails(model, (other, y) if spoil is None else spoil(other, y), error)
    assert vars(model) == before
    with pytest.raises(NotFittedError):
        model.predict(other)


def test_other_classifiers(frames):
    first, other, y = frames
    old = VanillaClassifier(max_epochs=1).fit(first, y)
    for model in (R2ETClassifier(k=2, max_epochs=1), ATEXClassifier(init=old, max_epochs=1)):
        model.fit(first, y)
        before = model.predict_proba(first)
        with pytest.raises(DivergedError):
            model.set_params(lr=1e30).fit(other, three_classes(other, y)[1] % 2)
        np.testing.assert_array_equal(model.predict_proba(first), before)


@pytest.mark.parametrize("maker", [ERAttack, NESAttack, AutoExplanationAttack])
def test_attacks(maker, frames):
    first, other, y = frames
    victim = VanillaClassifier(max_epochs=1).fit(first, y)
    attack = maker(victim, k=3, threat=ThreatModel(epsilon=0.5)).fit(first)
    before = dict(vars(attack))
    with pytest.raises(ValueError, match="order"):
        attack.fit(other)
    assert vars(attack) == before
    attack.k = -1
    with pytest.raises(ValueError, match="k"):
        attack.fit(first)
    assert vars(attack) == {**before, "k": -1}


def test_an_attack_on_images_that_gets_a_table(frames):
    first, _, y = frames
    attack = CenterOfMassAttack(VanillaClassifier(max_epochs=1).fit(first, y), k=3)
    before = dict(vars(attack))
    with pytest.raises(ValueError, match="images"):
        attack.fit(first)
    assert vars(attack) == before
