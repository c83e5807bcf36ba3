"""Hyper-parameters over a class hierarchy."""

import inspect

import pytest
from sklearn.base import BaseEstimator, clone

import robustxai.attacks
from robustxai._inherited_params import InheritedParamsMixin
from robustxai.attacks import BoundaryMarginAttack


class Grandparent(InheritedParamsMixin, BaseEstimator):
    def __init__(self, data=None, *, color="red", **unknown):
        self._refuse(unknown)
        self.data = data
        self.color = color


class Parent(Grandparent):
    def __init__(self, data=None, *, size=1, **params):
        super().__init__(data, **params)
        self.size = size


class Child(Parent):
    def __init__(self, data=None, *, size=2, weight=0.5, **params):
        super().__init__(data, size=size, **params)
        self.weight = weight


def test_a_class_has_the_parameters_of_its_ancestors_and_its_own_defaults():
    expected = {"data": None, "color": "red", "size": 2, "weight": 0.5}
    assert {name: p.default for name, p in inspect.signature(Child).parameters.items()} == expected
    assert Child().get_params() == expected
    assert Parent().get_params() == {"data": None, "color": "red", "size": 1}
    assert next(iter(inspect.signature(Child).parameters)) == "data"


def test_they_survive_set_params_and_clone():
    changed = Child(3, color="blue").set_params(size=7)
    assert clone(changed).get_params() == {"data": 3, "color": "blue", "size": 7, "weight": 0.5}


def test_an_unknown_one_is_refused_with_the_nearest():
    with pytest.raises(TypeError, match=r"Child has no parameter 'colour'\. Did you mean 'color'\?"):
        Child(colour="blue")


EXPORTED = [getattr(robustxai.attacks, name) for name in robustxai.attacks.__all__]


@pytest.mark.parametrize("attack", [a for a in EXPORTED if inspect.isclass(a) and issubclass(a, InheritedParamsMixin)])
def test_a_misspelt_parameter_of_an_attack_names_the_right_one(attack):
    with pytest.raises(TypeError, match=r"no parameter 'treat'\. Did you mean 'threat'\?"):
        attack(treat=None)


def test_the_signature_is_what_a_user_reads():
    names = inspect.signature(BoundaryMarginAttack).parameters
    assert {"estimator", "k", "threat", "n_boundary", "step_size", "momentum", "keep", "random_state"} <= set(names)
    assert not any(p.kind is p.VAR_KEYWORD for p in names.values())
