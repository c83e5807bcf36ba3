"""The written-out derivatives against autograd's, in float64."""

import pytest
import torch
from torch import nn

from robustxai.engine import MLPPasses
from robustxai.explainers import Gradient
from robustxai.nets import MLP

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


def gradients(passes, module, value):
    """Of `value` in the parameters: down to the leaves by autograd, and on from there by the passes."""
    module.zero_grad()
    value.backward()
    passes.finish_backward()
    return [p.grad for p in module.parameters()]


@pytest.mark.parametrize("output", ["probability", "log_odds", "logit", "cross_entropy"])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_in_the_weights_are_those_of_autograd(activation, n_classes, output, x):
    module = make_mlp(activation, n_classes, skip=n_classes == 3)
    target = torch.arange(9) % n_classes
    theirs = objective(module, x.clone().requires_grad_(), output, target)
    expected = torch.autograd.grad(theirs, list(module.parameters()), allow_unused=True)
    passes = MLPPasses.of(module)
    ours = objective(passes, x, output, target)
    torch.testing.assert_close(ours, theirs)
    for a, b in zip(gradients(passes, module, ours), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_numerical_derivatives_agree(activation, x):
    module = make_mlp(activation)
    passes = MLPPasses.of(module)
    target = torch.arange(9) % 3
    found = gradients(passes, module, objective(passes, x, "probability", target))
    parameters = list(module.parameters())
    step = 1e-6
    for number in range(5):
        generator = torch.Generator().manual_seed(number)
        directions = [torch.randn(p.shape, dtype=p.dtype, generator=generator) for p in parameters]
        values = []
        for sign in (1, -2, 1):  # there, to the other side, and back
            with torch.no_grad():
                for parameter, direction in zip(parameters, directions):
                    parameter.add_(direction, alpha=sign * step)
            values.append(objective(module, x.clone().requires_grad_(), "probability", target).item())
        expected = sum((g * d).sum() for g, d in zip(found, directions)).item()
        assert (values[0] - values[1]) / (2 * step) == pytest.approx(expected, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("activation", ["softplus", "relu"])
def test_a_gradient_alone_trains_too(activation, x):
    """No gradient reaches the logits: the cotangent of a logit is constant."""
    module = make_mlp(activation)
    target = torch.zeros(9, dtype=torch.long)
    passes = MLPPasses.of(module)
    found = gradients(passes, module, Gradient("logit")(passes, x, target, create_graph=True).square().sum())
    inputs = x.clone().requires_grad_()
    value = Gradient("logit")(module, inputs, target, create_graph=True).square().sum()
    expected = torch.autograd.grad(value, list(module.parameters()), allow_unused=True)
    for p, a, b in zip(module.parameters(), found, expected, strict=True):
        none = torch.zeros_like(p)
        torch.testing.assert_close(none if a is None else a, none if b is None else b)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_steps_that_write_to_the_same_memory_do_not_see_each_other(activation, x):
    """Several passes in a step, steps one after the other, and batches of other sizes between them."""
    module = make_mlp(activation, skip=True)
    passes = MLPPasses.of(module)
    for rows in (x, x[:4] + 0.5, x - 0.3, x):
        target = torch.arange(len(rows)) % 3
        seen = []
        for net in (passes, module):
            first, second = (r if net is passes else r.clone().requires_grad_() for r in (rows, rows + 0.1))
            here = Gradient("logit")(net, first, target, logits=net(first), create_graph=True)
            also = Gradient("probability")(net, first, target, logits=net(first), create_graph=True)
            there = Gradient("probability")(net, second, target, create_graph=True)
            value = (here * there).sin().sum() + also.square().sum()
            module.zero_grad()
            value.backward()
            if net is passes:
                passes.finish_backward()
            seen.append([p.grad.clone() if p.grad is not None else torch.zeros_like(p) for p in module.parameters()])
        for a, b in zip(*seen, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def test_logits_alone_train_too(x):
    module = make_mlp("softplus")
    passes = MLPPasses.of(module)
    found = gradients(passes, module, passes(x).square().sum())
    expected = torch.autograd.grad(module(x).square().sum(), list(module.parameters()))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_gradients_add_up_and_frozen_weights_get_none(x):
    module = make_mlp("softplus")
    module.layers[0].weight.requires_grad_(False)
    passes = MLPPasses.of(module)
    once = [None if g is None else g.clone() for g in gradients(passes, module, passes(x).sum())]
    passes.finish_backward()  # nothing is left of the passes
    passes(x).sum().backward()
    passes.finish_backward()
    assert module.layers[0].weight.grad is None
    for parameter, first in zip(module.parameters(), once, strict=True):
        if first is not None:
            torch.testing.assert_close(parameter.grad, 2 * first)


def test_an_input_that_needs_a_gradient_has_all_its_derivatives(x):
    module, passes = make_mlp("tanh"), MLPPasses.of(make_mlp("tanh"))
    point = x[:2].clone().requires_grad_()
    target = torch.tensor([0, 2])

    def curvature(net):
        gradient = Gradient()(net, point, target, create_graph=True)
        (row,) = torch.autograd.grad(gradient[:, 0].sum(), point, create_graph=True)
        return torch.autograd.grad(row.square().sum(), point)[0]

    torch.testing.assert_close(curvature(passes), curvature(module))


def test_nothing_is_kept_alive_after_a_step(x):
    import gc
    import weakref

    passes = MLPPasses.of(make_mlp("softplus"))
    gc.collect()
    gc.disable()
    try:
        logits = passes(x)
        value = passes.vector_jacobian(x, logits).sum()
        trace = weakref.ref(passes._latest)
        value.backward()
        passes.finish_backward()
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


def test_hooks_of_parameters_and_parametrised_layers_are_not_passed_over_either():
    module = MLP(5, 2)
    handle = module.layers[0].weight.register_hook(lambda gradient: gradient)
    assert MLPPasses.of(module) is None
    handle.remove()
    handle = module.layers[0].bias.register_post_accumulate_grad_hook(lambda parameter: None)
    assert MLPPasses.of(module) is None
    handle.remove()
    assert MLPPasses.of(module) is not None
    nn.utils.parametrizations.spectral_norm(module.layers[0])
    assert MLPPasses.of(module) is None
