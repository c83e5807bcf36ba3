import pytest
from torch import nn

from robustxai.activations import ACTIVATIONS, beta_of, find_activation, make_activation


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_a_name_and_its_class_make_the_same_module(name):
    record = ACTIVATIONS[name]
    one, other = make_activation(name, 3.0), make_activation(record.module, 3.0)
    assert type(one) is type(other) is record.module
    assert beta_of(one) == beta_of(other) == (3.0 if name == "softplus" else None)
    assert find_activation(record.module) is record


def test_a_subclass_has_no_record():
    class Other(nn.ReLU):
        pass

    assert find_activation(Other) is None


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="Did you mean 'relu'"):
        make_activation("rellu")
    with pytest.raises(ValueError, match="beta"):
        make_activation("softplus", -1.0)
    with pytest.raises(TypeError, match="or a class of nn"):
        make_activation(int)
