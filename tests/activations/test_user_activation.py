"""Activations that a user declares outside of the library."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from robustxai import R2ETClassifier
from robustxai.activations import Activation, TanhBounds
from robustxai.attacks import ERAttack
from robustxai.certificates import certify_top_k, curvature_bound
from robustxai.engine import MLPPasses, StackedMLP, has_piecewise_linear, set_beta, softplus_surrogate
from robustxai.explainers import Gradient
from robustxai.nets import MLP
from robustxai.perturbation import ThreatModel


class ScaledTanh(nn.Module):
    """1.7159 tanh(2 z / 3), with all that proofs need."""

    record = Activation(
        value_and_slope=lambda z: (1.7159 * torch.tanh(z / 1.5), 1.7159 / 1.5 * (1 - torch.tanh(z / 1.5).square())),
        bend=lambda t, a, s: t * a * (-2 / 1.5 / 1.7159),
        bounds=lambda beta: TanhBounds(1.7159, 1.5),
    )

    def forward(self, z):
        return 1.7159 * torch.atan(torch.sinh(z / 1.5)).sin()  # tanh by operations that no certificate knows


class Arctan(nn.Module):
    """arctan(z), written out for training and in place, without bounds."""

    record = Activation(
        value_and_slope=lambda z: (torch.atan(z), 1 / (1 + z.square())),
        value_and_slope_in_place=lambda z, out: (torch.atan(z, out=out), z.square_().add_(1).reciprocal_()),
        bend=lambda t, a, s: t.mul_(torch.sin(2 * a)).neg_(),
    )

    def forward(self, z):
        return torch.atan(z)


class SharpArctan(nn.Module):
    """arctan(beta z) / beta."""

    record = Activation(
        has_beta=True, value_and_slope=Arctan.record.value_and_slope, bend=lambda t, a, s: -t * torch.sin(2 * a)
    )

    def __init__(self, beta=1.0):
        super().__init__()
        self.beta = beta

    def forward(self, z):
        return torch.atan(self.beta * z) / self.beta


class Hinge(nn.Module):
    """max(z, -z / 10)."""

    record = Activation(
        piecewise_linear=True,
        value_and_slope=lambda z: (torch.maximum(z, -z / 10), 1.1 * (z > 0).to(z) - 0.1),
        surrogate=lambda z, beta: 1.1 * nn.functional.softplus(z, beta) - z / 10,
    )

    def forward(self, z):
        return torch.maximum(z, -z / 10)


class Undeclared(Arctan):
    """A subclass may compute something else."""

    def forward(self, z):
        return torch.atan(z) + z


DECLARED = [ScaledTanh, Arctan, SharpArctan, Hinge]


def make_mlp(activation, seed=1, beta=2.5):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return MLP(5, 3, (6, 4), activation, beta=beta, skip=True).double()


def objective(module, x, target):
    logits = module(x)
    gradient = Gradient("logit")(module, x, target, logits=logits, create_graph=True)
    return logits.logsumexp(dim=-1).sum() + gradient.square().sum()


def by_autograd(module, x, target):
    value = objective(module, x.clone().requires_grad_(), target)
    return torch.autograd.grad(value, list(module.parameters()))


@pytest.fixture
def x():
    return torch.randn(9, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 6)).astype(np.float32)
    return X, (X[:, 0] + 0.5 * X[:, 1] > 0).astype(int)


@pytest.mark.parametrize("activation", DECLARED)
def test_the_written_out_passes_are_autograd(activation, x):
    module, target = make_mlp(activation), torch.arange(9) % 3
    passes = MLPPasses.of(module)
    value = objective(passes, x, target)
    value.backward()
    passes.finish_backward()
    for parameter, expected in zip(module.parameters(), by_autograd(module, x, target), strict=True):
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("activation", DECLARED)
def test_stacks_are_the_single_networks(activation, x):
    modules, target = [make_mlp(activation, 1, 0.5), make_mlp(activation, 2, 2.0)], torch.arange(9) % 3
    stack = StackedMLP(modules)
    value = objective(stack, x.expand(2, -1, -1), target.expand(2, -1))
    value.backward()
    stack.finish_backward()
    for number, module in enumerate(modules):
        expected = dict(zip(map(id, module.parameters()), by_autograd(module, x, target)))
        for stacked, parameter in zip(stack.parameters(), stack.parameters_of(module), strict=True):
            found = stacked.grad[number].reshape(parameter.shape)
            torch.testing.assert_close(found, expected[id(parameter)], rtol=1e-9, atol=1e-11)


def test_nothing_is_assumed_of_what_declares_nothing():
    assert MLPPasses.of(make_mlp(Undeclared)) is None
    assert MLPPasses.of(make_mlp(nn.Mish)) is None


def test_the_surrogate_is_the_declared_one(x):
    module = make_mlp(Hinge)
    assert has_piecewise_linear(module)
    surrogate = softplus_surrogate(module, 1.0)
    assert not has_piecewise_linear(surrogate)
    errors = []
    for beta in (1.0, 10.0, 1000.0):
        set_beta(surrogate, beta)
        errors.append(float((surrogate(x) - module(x)).abs().max().detach()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-2


def test_a_classifier_trains_attacks_and_proves(table):
    X, y = table
    options = {"k": 2, "max_epochs": 3, "module__hidden": (8,), "random_state": 0}
    clf = R2ETClassifier(module__activation=ScaledTanh, **options).fit(X, y)
    proven = certify_top_k(clf, X[:20], k=2, epsilon=0.05).precision_at_k
    attacked = ERAttack(clf, k=2, threat=ThreatModel(epsilon=0.05), max_iter=10).fit(X, y).run(X[:20]).precision_at_k
    assert (proven <= attacked + 1e-9).all()
    assert proven.max() > 0
    assert curvature_bound(clf) > 0


def test_a_certificate_without_bounds_is_refused_by_name(table):
    X, y = table
    clf = R2ETClassifier(k=2, max_epochs=1, module__activation=Arctan).fit(X, y)
    with pytest.raises(NotImplementedError, match="Arctan; give its record `bounds`"):
        certify_top_k(clf, X[:2], k=2, epsilon=0.05)


def test_reading_leaves_the_network_as_it_was(table):
    X, y = table
    clf = R2ETClassifier(k=2, max_epochs=1, module__activation=ScaledTanh).fit(X, y)
    before = copy.deepcopy(clf.module_.state_dict())
    certify_top_k(clf, X[:2], k=2, epsilon=0.05)
    assert all("forward" not in vars(part) for part in clf.module_.modules())
    assert all(torch.equal(before[name], value) for name, value in clf.module_.state_dict().items())
