import pytest
import torch
from torch import nn

from robustxai.engine import StackedMLP
from robustxai.explainers import Gradient
from robustxai.nets import MLP

ACTIVATIONS = ["softplus", "relu", "sigmoid", "tanh"]


def make_members(activation="softplus", hidden=(6, 4), skip=False, n_classes=3, betas=(0.5, 1.0, 4.0)):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return [MLP(5, n_classes, hidden, activation, beta, skip).double() for beta in betas]


@pytest.fixture
def x():
    return torch.randn(3, 7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [(), (6,), (6, 4)])
@pytest.mark.parametrize("skip", [False, True])
def test_logits_and_gradient_are_those_of_the_members(activation, hidden, skip, x):
    members = make_members(activation, hidden, skip)
    stack = StackedMLP(members)
    cotangent = torch.randn(3, 7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    logits, gradient = stack(x), stack.vector_jacobian(x, cotangent)
    for s, member in enumerate(members):
        rows = x[s].clone().requires_grad_()
        alone = member(rows)
        (expected,) = torch.autograd.grad((alone * cotangent[s]).sum(), rows)
        torch.testing.assert_close(logits[s], alone)
        torch.testing.assert_close(gradient[s], expected)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_gradient_can_be_trained(activation, n_classes, x):
    members = make_members(activation, n_classes=n_classes, skip=True)
    stack = StackedMLP(members)
    target = torch.zeros(3, 7, dtype=torch.long)
    attribution = Gradient()(stack, x, target, logits=stack(x), create_graph=True)
    attribution.square().sum().backward()
    stack.finish_backward()
    for s, member in enumerate(members):
        rows = x[s].clone().requires_grad_()
        alone = Gradient()(member, rows, target[s], logits=member(rows), create_graph=True)
        torch.testing.assert_close(attribution[s], alone)
        alone.square().sum().backward()
        linear = [layer for layer in member.layers if isinstance(layer, nn.Linear)]
        for number, layer in enumerate(linear):
            torch.testing.assert_close(stack.weights[number].grad[s], layer.weight.grad)
            if layer.bias.grad is not None:
                torch.testing.assert_close(stack.biases[number].grad[s, 0], layer.bias.grad)
        torch.testing.assert_close(stack.skip.grad[s], member.skip.weight.grad)


def test_the_gradient_belongs_to_its_own_input(x):
    stack = StackedMLP(make_members())
    cotangent = torch.ones(3, 7, 3, dtype=torch.float64)
    first = stack.vector_jacobian(x, cotangent)
    stack(x + 1)
    torch.testing.assert_close(stack.vector_jacobian(x, cotangent), first)


def test_chosen_members_go_on_alone_and_weights_come_back(x):
    members = make_members(skip=True)
    stack = StackedMLP(members)
    chosen = stack.select(torch.tensor([2, 0]))
    torch.testing.assert_close(chosen(x[[2, 0]]), stack(x)[[2, 0]])
    with torch.no_grad():
        for parameter in chosen.parameters():
            parameter.mul_(2)
    torch.testing.assert_close(stack(x)[1], members[1](x[1]))  # copies, not views
    others = make_members(skip=True)[:2]
    others[0].layers[1].beta, others[1].layers[1].beta = members[2].layers[1].beta, members[0].layers[1].beta
    others[0].layers[3].beta, others[1].layers[3].beta = members[2].layers[3].beta, members[0].layers[3].beta
    chosen.write(others)
    torch.testing.assert_close(torch.stack([o(r) for o, r in zip(others, x[[2, 0]])]), chosen(x[[2, 0]]))


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([nn.Linear(5, 2)], "and Linear does not"),
        ([MLP(5, 2), MLP(6, 2)], "one shape"),
        ([MLP(5, 2), MLP(5, 2, activation="tanh")], "one activation"),
        ([MLP(5, 2, activation="gelu")], "GELU"),
    ],
)
def test_what_cannot_be_stacked_is_named(members, why):
    with pytest.raises(NotImplementedError, match=why):
        StackedMLP(members)
