"""The written-out derivatives against autograd's, in float64."""

import pytest
import torch
from torch import nn

from robustxai.explainers import Gradient
from robustxai.nets import MLP, MLPPasses

ACTIVATIONS = ["softplus", "relu", "sigmoid", "tanh"]


@pytest.fixture
def x():
    return torch.randn(9, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def make_mlp(activation, n_classes=3, skip=False, hidden=(6, 4), beta=2.5):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return MLP(5, n_classes, hidden, activation, beta=beta, skip=skip).double()


def objective(module, x, output, target):
    """A value in which logits and input gradients both count, here and at a second point."""
    logits = module(x)
    here = Gradient(output)(module, x, target, logits=logits, create_graph=True)
    there = x.detach() + 0.1
    there = there if isinstance(module, MLPPasses) else there.requires_grad_()
    moved = Gradient(output)(module, there, target, create_graph=True)
    return logits.logsumexp(dim=-1).sum() + here.square().sum() + (here * moved).sin().sum()


@pytest.mark.parametrize("output", ["probability", "log_odds", "logit", "cross_entropy"])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_in_the_weights_are_those_of_autograd(activation, n_classes, output, x):
    module = make_mlp(activation, n_classes, skip=n_classes == 3)
    target = torch.arange(9) % n_classes
    theirs = objective(module, x.clone().requires_grad_(), output, target)
    expected = torch.autograd.grad(theirs, list(module.parameters()), allow_unused=True)
    ours = objective(MLPPasses.of(module), x, output, target)
    found = torch.autograd.grad(ours, list(module.parameters()), allow_unused=True)
    torch.testing.assert_close(ours, theirs)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_numerical_derivatives_agree(activation, x):
    module = make_mlp(activation)
    names = [name for name, _ in module.named_parameters()]

    def value(*parameters):
        for name, parameter in zip(names, parameters):
            owner, _, leaf = name.rpartition(".")
            part = module.get_submodule(owner)
            del part._parameters[leaf]
            setattr(part, leaf, parameter)
            part._parameters[leaf] = parameter
        return objective(MLPPasses.of(module), x, "probability", torch.arange(9) % 3)

    assert torch.autograd.gradcheck(value, [p.detach().clone().requires_grad_() for p in module.parameters()])


def test_a_gradient_alone_trains_too(x):
    """No gradient reaches the logits: the cotangent of a logit is constant."""
    module = make_mlp("softplus")
    target = torch.zeros(9, dtype=torch.long)
    passes = MLPPasses.of(module)
    Gradient("logit")(passes, x, target, create_graph=True).square().sum().backward()
    found = [None if p.grad is None else p.grad.clone() for p in module.parameters()]
    inputs = x.clone().requires_grad_()
    value = Gradient("logit")(module, inputs, target, create_graph=True).square().sum()
    expected = torch.autograd.grad(value, list(module.parameters()), allow_unused=True)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a if a is not None else torch.zeros(()), b if b is not None else torch.zeros(()))


def test_an_input_that_needs_a_gradient_has_all_its_derivatives(x):
    module, passes = make_mlp("tanh"), MLPPasses.of(make_mlp("tanh"))
    point = x[:2].clone().requires_grad_()
    target = torch.tensor([0, 2])

    def curvature(net):
        gradient = Gradient()(net, point, target, create_graph=True)
        (row,) = torch.autograd.grad(gradient[:, 0].sum(), point, create_graph=True)
        return torch.autograd.grad(row.square().sum(), point)[0]

    torch.testing.assert_close(curvature(passes), curvature(module))


def test_nothing_is_kept_alive_by_its_own_graph(x):
    import gc
    import weakref

    passes = MLPPasses.of(make_mlp("softplus"))
    gc.collect()
    gc.disable()
    try:
        logits = passes(x)
        value = passes.input_gradient(x, logits).sum()
        trace = weakref.ref(passes._latest[1])
        value.backward()
        passes._latest = None
        del logits, value
        assert trace() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "module",
    [
        nn.Linear(5, 2),
        MLP(5, 2, activation="gelu"),
        MLP(5, 2, hidden=()),
        type("Own", (MLP,), {})(5, 2),
    ],
    ids=["linear", "gelu", "no hidden layer", "subclass"],
)
def test_other_networks_keep_autograd(module):
    assert MLPPasses.of(module) is None


def test_a_hook_is_not_passed_over():
    module = MLP(5, 2)
    assert MLPPasses.of(module) is not None
    handle = module.layers[1].register_forward_hook(lambda *args: None)
    assert MLPPasses.of(module) is None
    handle.remove()
    assert MLPPasses.of(module) is not None
