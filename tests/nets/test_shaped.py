import numpy as np
import pytest
from torch import nn

from robustxai.nets import MLP, ConvNet, accepted_arguments, check_inputs, check_shape


@pytest.mark.parametrize("shape", [(4, 2, 8, 8), (4, 1, 8, 9), (4, 8, 8), (4, 64)])
def test_a_network_takes_the_shape_that_it_was_built_for(shape):
    net = ConvNet((1, 8, 8), 2)
    check_shape(net, (7, 1, 8, 8))
    check_inputs(net, np.ones((7, 1, 8, 8)))
    for asked in (lambda: check_shape(net, shape), lambda: check_inputs(net, np.ones(shape))):
        with pytest.raises(ValueError, match=r"ConvNet was built for samples of shape \(1, 8, 8\)"):
            asked()


def test_an_mlp_takes_tables():
    check_inputs(MLP(64, 2), np.ones((4, 64)))
    with pytest.raises(ValueError, match=r"MLP takes tables.*got X of shape \(n, 1, 8, 8\)"):
        check_inputs(MLP(64, 2), np.ones((4, 1, 8, 8)))


def test_modules_of_the_users_own_are_asked_if_they_can_say():
    class Picky(nn.Module):
        def check_inputs(self, X):
            raise ValueError("no")

    check_inputs(nn.Identity(), np.ones((4, 2, 3)))
    check_shape(Picky(), (4, 2))
    with pytest.raises(ValueError, match="no"):
        check_inputs(Picky(), np.ones((4, 2)))


def test_arguments_are_those_of_the_signature():
    wanted = {"n_features": 3, "in_shape": (3,), "n_classes": 2, "beta": 1.0, "other": 1}
    assert accepted_arguments(MLP, wanted) == {"n_features": 3, "n_classes": 2, "beta": 1.0}
    assert accepted_arguments(ConvNet, wanted) == {"in_shape": (3,), "n_classes": 2, "beta": 1.0}
