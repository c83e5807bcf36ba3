import warnings

import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from torch.autograd.functional import hessian
from torch.nn.functional import cross_entropy

from robustxai.explainers import Gradient
from robustxai.nets import MLP
from robustxai.penalties import SSR, ExplainedBatch

from .conftest import make_net, weight_gradient


def naive(module, x, labels):
    """Largest eigenvalue of the explicit Hessian of the cross-entropy."""
    values = []
    for row, label in zip(x.detach(), labels):
        matrix = hessian(lambda p, y=label: cross_entropy(module(p[None]), y[None]), row, create_graph=True)
        values.append(torch.linalg.eigvalsh(matrix.reshape(row.numel(), row.numel()))[-1])
    return torch.stack(values)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_closed_form_is_the_hessian_of_a_relu_network(n_classes, x):
    module = make_net(n_classes, activation="relu")
    for labels in (torch.zeros(7, dtype=torch.long), torch.ones(7, dtype=torch.long)):  # it does not depend on them
        value = SSR()(ExplainedBatch(module, x, Gradient(), y=labels))
        expected = naive(module, x, labels)
        torch.testing.assert_close(value, expected, rtol=1e-8, atol=1e-11)
        torch.testing.assert_close(
            weight_gradient(value, module), weight_gradient(expected, module), rtol=1e-6, atol=1e-9
        )


@pytest.mark.parametrize("label", [None, 0, 1])
def test_power_iteration_is_the_hessian_of_a_smooth_network(label, net, x):
    predicted = net(x).argmax(dim=1)
    labels = predicted if label is None else torch.full((7,), label)
    batch = ExplainedBatch(net, x, Gradient(), y=None if label is None else labels)
    value, expected = SSR(max_iter=3000)(batch), naive(net, x, labels)
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(weight_gradient(value, net), weight_gradient(expected, net), rtol=1e-3, atol=1e-6)


def test_a_larger_negative_eigenvalue_is_passed_over():
    class Saddle(torch.nn.Module):
        """Two logits whose difference is x^2 - 9 y^2 + 2 z^2: at 0 the loss is curved by it alone."""

        def forward(self, x):
            value = (x.square() * torch.tensor([1.0, -9.0, 2.0]).to(x)).sum(dim=1)
            return torch.stack([torch.zeros_like(value), -value], dim=1)

    x = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    batch = ExplainedBatch(Saddle(), x, Gradient(), y=torch.ones(1, dtype=torch.long))
    torch.testing.assert_close(SSR(max_iter=500)(batch), torch.tensor([2.0], dtype=torch.float64))  # 4 / 2 at p = 1/2


def test_images(image_net, images):
    labels = torch.tensor([0, 1, 2, 0])
    value = SSR(max_iter=3000)(ExplainedBatch(image_net, images, Gradient(), y=labels))
    torch.testing.assert_close(value, naive(image_net, images, labels), rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("method", ["closed", "power"])
def test_a_stack_of_models_is_its_members(method, stack):
    module, members, x = stack
    penalty = SSR(method, max_iter=300)
    value = penalty(ExplainedBatch(module, x, Gradient()))
    expected = [penalty(ExplainedBatch(m, r.detach().requires_grad_(), Gradient())) for m, r in zip(members, x)]
    torch.testing.assert_close(value, torch.stack(expected), rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("method", ["closed", "power"])
def test_confident_samples_have_finite_gradients_in_float32(method, x):
    module = MLP(5, 3, (6,), activation="relu")
    with torch.no_grad():
        for p in module.layers[-1].parameters():
            p.mul_(3000.0)
    value = SSR(method)(ExplainedBatch(module, x.detach().float().requires_grad_(), Gradient()))
    assert value.isfinite().all()
    assert weight_gradient(value, module).isfinite().all()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("n_features", [3, 12, 40])
def test_at_its_defaults_it_is_the_eigenvalue_of_random_networks(seed, n_classes, n_features):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = MLP(n_features, n_classes, (16, 8), beta=5.0).double()
        for p in module.parameters():
            torch.nn.init.normal_(p, std=0.5)
        x = torch.randn(9, n_features, dtype=torch.float64, requires_grad=True)
        labels = torch.randint(n_classes, (9,))
        value = SSR("power")(ExplainedBatch(module, x, Gradient(), y=labels)).detach()
    expected = naive(module, x, labels).detach()
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-12)


def test_too_few_products_are_said(net, x):
    batch = ExplainedBatch(net, x, Gradient())
    with pytest.warns(ConvergenceWarning, match=r"of 7 samples is not found .* max_iter=1 products"):
        SSR("power", max_iter=1)(batch)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SSR("power", max_iter=5, tol=0.0)(batch)  # as many products as features


@pytest.mark.parametrize("wrong", [{"max_iter": 0}, {"method": "close"}, {"tol": -1.0}])
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SSR(**wrong)
