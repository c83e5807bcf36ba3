import inspect

import pytest
import torch
from torch import nn

from robustxai.classifiers import BaseExplainableClassifier, R2ETClassifier, VanillaClassifier


class Derived(R2ETClassifier):
    """A defense of the user's own, one parameter more."""

    def __init__(self, mu=1.0, **params):
        super().__init__(**params)
        self.mu = mu


def test_a_subclass_shows_its_parameters_and_those_of_its_bases():
    names = [set(inspect.signature(c).parameters) for c in (BaseExplainableClassifier, R2ETClassifier, Derived)]
    assert names[2] - names[1] == {"mu"}
    assert names[0] < names[1]
    assert Derived(mu=2.0, k=3, lr=0.1).get_params() == {**Derived().get_params(), "mu": 2.0, "k": 3, "lr": 0.1}


def test_free_parameters_appear_once_given():
    clf = VanillaClassifier()
    assert "module__hidden" not in clf.get_params()
    clf.set_params(module__hidden=(3,))
    assert clf.get_params()["module__hidden"] == (3,)
    assert clf.get_params(deep=False) == clf.get_params()
    assert set(clf.get_params()) - set(VanillaClassifier().get_params()) == {"module__hidden"}


def test_names_are_checked_against_the_module_given_with_them():
    class Own(nn.Module):
        def __init__(self, n_classes, width=1):
            super().__init__()

    class Open(nn.Module):
        def __init__(self, **anything):
            super().__init__()

    VanillaClassifier(module=Own, module__width=2)
    with pytest.raises(TypeError, match="module__hidden"):
        VanillaClassifier(module=Own, module__hidden=(2,))
    VanillaClassifier(module=Open, module__whatever=2)
    clf = VanillaClassifier(module__hidden=(2,))
    with pytest.raises(ValueError, match="module__width"):
        clf.set_params(module__width=3)
    assert clf.set_params(module=Own, module__width=3).module__width == 3


def test_names_are_checked_against_the_optimizer():
    VanillaClassifier(optimizer=torch.optim.SGD, optimizer__momentum=0.9)
    with pytest.raises(TypeError, match="optimizer__momentum"):
        VanillaClassifier(optimizer__momentum=0.9)  # Adam has none
    VanillaClassifier(optimizer__param_groups=[])


@pytest.mark.parametrize("name", ["criterion", "warm_start", "kwargs", "net_", "_x", "callbacksx__a"])
def test_what_the_estimator_decides_itself_is_no_parameter(name):
    with pytest.raises(TypeError, match="has no parameter"):
        VanillaClassifier(**{name: 1})


def test_fitted_attributes_are_no_parameters(data):
    X, y = data
    clf = VanillaClassifier(max_epochs=1)
    before = clf.get_params()
    assert clf.fit(X, y).get_params() == before
