"""The softplus of attacks, against torch's own and by numerical differentiation."""

import pytest
import torch
from torch import nn

from robustxai.activations import ACTIVATIONS


def softplus(z, beta):
    return ACTIVATIONS["softplus"].forward_in_input(nn.Softplus(beta=beta), z)


@pytest.mark.parametrize("beta", [0.5, 1.0, 7.0])
def test_values_and_three_derivatives_are_those_of_torch(beta):
    z = torch.tensor([-30.0, -3.0, -0.2, 0.0, 0.4, 2.0], dtype=torch.float64)
    results = []
    for function in (softplus, nn.functional.softplus):
        point = z.clone().requires_grad_()
        value = function(point, beta)
        derivatives = [value]
        for _ in range(3):
            derivatives += torch.autograd.grad(derivatives[-1].sum(), point, create_graph=True)
        results.append([d.detach() for d in derivatives])
    for own, theirs in zip(*results, strict=True):
        torch.testing.assert_close(own, theirs, rtol=1e-9, atol=1e-12)


def test_numerical_derivatives_agree():
    z = torch.randn(9, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: softplus(z, 2.0), z)
    assert torch.autograd.gradgradcheck(lambda z: softplus(z, 2.0), z)


def test_large_arguments_do_not_overflow():
    z = torch.tensor([-1e4, 1e4], requires_grad=True)
    value = softplus(z, 10.0)
    (slope,) = torch.autograd.grad(value.sum(), z)
    torch.testing.assert_close(value.detach(), torch.tensor([0.0, 1e4]))
    torch.testing.assert_close(slope, torch.tensor([0.0, 1.0]))
