"""One interface for autograd and written-out passes: the same numbers in float64."""

import pytest
import torch
from torch import nn

from robustxai.engine import Autograd, MLPPasses, score_gradient
from robustxai.nets import MLP


class LogSumExp:
    """A score of all logits whose gradient is the softmax."""

    def value(self, logits):
        return logits.logsumexp(dim=-1)

    def cotangent(self, logits):
        return logits.softmax(dim=-1)


@pytest.fixture
def x():
    return torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def make_mlp(activation, skip):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return MLP(5, 3, (6, 4), activation, beta=1.5, skip=skip).double()


def train_step(differentiation, module, x, mixed):
    """Return logits, input gradients and the gradients of a loss of both in the weights."""
    module.zero_grad()
    point = differentiation.leaf(x)
    logits = differentiation(point)
    gradient = differentiation.input_gradient(point, LogSumExp(), logits=logits, create_graph=True)
    loss = (logits.logsumexp(dim=-1).sum() if mixed else 0.0) + gradient.square().sum()
    loss.backward()
    differentiation.finish_backward()
    return logits.detach(), gradient.detach(), [p.grad for p in module.parameters()]


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("activation", ["softplus", "relu", "sigmoid", "tanh"])
def test_written_out_passes_are_autograd(activation, skip, mixed, x):
    module = make_mlp(activation, skip)
    logits, gradient, theirs = train_step(Autograd(module), module, x, mixed)
    found_logits, found_gradient, ours = train_step(MLPPasses.of(module), module, x, mixed)
    torch.testing.assert_close(found_logits, logits)
    torch.testing.assert_close(found_gradient, gradient)
    for own, other, parameter in zip(ours, theirs, module.parameters(), strict=True):
        # a bias without effect on the loss has the gradient None in one way and zero in the other
        own, other = (torch.zeros_like(parameter) if g is None else g for g in (own, other))
        torch.testing.assert_close(own, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("module", [make_mlp("tanh", True), nn.Linear(5, 3).double()], ids=["MLP", "linear"])
def test_the_gradient_of_a_score_is_that_of_its_value(module, x):
    point = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(module(point).logsumexp(dim=-1).sum(), point)
    torch.testing.assert_close(score_gradient(module, x, LogSumExp()), expected)
    torch.testing.assert_close(score_gradient(Autograd(module), x, LogSumExp()), expected)
    if isinstance(module, MLP):
        torch.testing.assert_close(score_gradient(MLPPasses.of(module), x, LogSumExp()), expected)


def test_without_create_graph_there_is_no_graph(x):
    module = make_mlp("softplus", False)
    for network in (module, Autograd(module), MLPPasses.of(module)):
        assert not score_gradient(network, x, LogSumExp()).requires_grad
        assert score_gradient(network, x, LogSumExp(), create_graph=True).requires_grad


def test_a_leaf_has_no_history(x):
    module = make_mlp("softplus", False)
    moved = x.clone().requires_grad_() * 2
    for differentiation, needs_gradient in ((Autograd(module), True), (MLPPasses.of(module), False)):
        leaf = differentiation.leaf(moved)
        assert leaf.grad_fn is None
        assert leaf.requires_grad == needs_gradient
