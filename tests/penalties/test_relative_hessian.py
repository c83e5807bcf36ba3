import copy

import pytest
import torch
from torch.autograd.functional import jacobian

from robustxai.explainers import Gradient
from robustxai.nets import MLP
from robustxai.penalties import ExplainedBatch, RelativeHessian

from .conftest import make_net, probability_gradient, weight_gradient


def shape_of(attribution):
    return attribution * attribution.numel() / sum(a.abs() for a in attribution.flatten())


def naive(module, x, steps, kappa):
    values = []
    for row, step in zip(x.detach(), steps):
        c = module(row[None])[0].argmax().item()
        u = step / step.norm()
        here = shape_of(probability_gradient(module, row, c))
        there = shape_of(probability_gradient(module, row + kappa * u, c))
        values.append(sum(((t - h) / kappa) ** 2 for t, h in zip(there.flatten(), here.flatten())).sqrt())
    return torch.stack(values)


@pytest.fixture(autouse=True)
def own_generator():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        yield


@pytest.mark.parametrize("kappa", [1e-2, 0.3])
def test_value_and_gradient_equal_the_loop(kappa, net, x):
    torch.manual_seed(5)
    value = RelativeHessian(kappa)(ExplainedBatch(net, x, Gradient()))
    torch.manual_seed(5)
    expected = naive(net, x, torch.randn_like(x), kappa)
    torch.testing.assert_close(value, expected, rtol=1e-7, atol=1e-10)
    torch.testing.assert_close(weight_gradient(value, net), weight_gradient(expected, net), rtol=1e-6, atol=1e-9)


def test_images_equal_the_loop(image_net, images):
    torch.manual_seed(5)
    value = RelativeHessian()(ExplainedBatch(image_net, images, Gradient()))
    torch.manual_seed(5)
    torch.testing.assert_close(value, naive(image_net, images, torch.randn_like(images), 0.3), rtol=1e-7, atol=1e-10)


def test_the_mean_square_over_directions_is_the_frobenius_norm_over_d(net, x):
    n_draws = 4000
    many = x.detach()[:, None].expand(-1, n_draws, -1).reshape(-1, 5).requires_grad_()
    draws = RelativeHessian(1e-5)(ExplainedBatch(net, many, Gradient())).detach().square().reshape(7, n_draws)
    for row, sample in zip(x.detach(), draws):
        c = net(row).argmax().item()
        matrix = jacobian(lambda p, c=c: shape_of(probability_gradient(net, p, c)), row)
        standard_error = sample.std() / n_draws**0.5
        # 4.5 standard errors: one false alarm in 10,000 runs of the 14 comparisons; the seed is fixed anyway
        assert abs(sample.mean() - matrix.square().sum() / 5) < 4.5 * standard_error


def test_a_stack_of_models_is_its_members(stack):
    module, members, x = stack
    torch.manual_seed(5)
    value = RelativeHessian()(ExplainedBatch(module, x, Gradient()))
    torch.manual_seed(5)
    steps = torch.randn_like(x)
    expected = [naive(member, rows, step, 0.3) for member, rows, step in zip(members, x, steps)]
    torch.testing.assert_close(value, torch.stack(expected))


@pytest.mark.parametrize("factor", [1e-3, 7.0])
def test_the_scale_of_the_logits_does_not_matter(factor, net, x):
    scaled = copy.deepcopy(net)
    with torch.no_grad():
        for p in scaled.layers[-1].parameters():
            p.mul_(factor)
    values = []
    for module in (net, scaled):
        torch.manual_seed(5)
        values.append(RelativeHessian()(ExplainedBatch(module, x, Gradient("logit"))))
    torch.testing.assert_close(values[0], values[1])


def test_a_linear_model_and_a_zero_attribution_have_finite_gradients(x):
    flat = make_net(2)
    with torch.no_grad():
        flat.layers[-1].weight.zero_()
    for module in (MLP(5, 2, ()).double(), flat):
        value = RelativeHessian()(ExplainedBatch(module, x, Gradient()))
        # the normalized attribution is the same everywhere, up to rounding
        torch.testing.assert_close(value, torch.zeros_like(value), rtol=0, atol=1e-12)
        assert weight_gradient(value, module).isfinite().all()


def test_kappa_must_be_positive():
    with pytest.raises(ValueError, match="kappa"):
        RelativeHessian(-1.0)


def test_confident_samples_keep_value_and_gradient_in_float32(net, x, monkeypatch):
    steps = torch.randn_like(x)
    with torch.no_grad():
        for p in net.layers[-1].parameters():
            p.mul_(300.0)
    assert (net(x).softmax(dim=1).amax(dim=1).float() == 1).any()  # where p (1 - p) is 0 in float32
    single = copy.deepcopy(net).float()
    results = []
    for module, rows in ((net, x), (single, x.detach().float().requires_grad_())):
        monkeypatch.setattr(torch, "randn_like", lambda like: steps.to(like))
        value = RelativeHessian()(ExplainedBatch(module, rows, Gradient()))
        results.append((value.detach().double(), weight_gradient(value, module).double()))
    (exact, slope), (value, single_slope) = results
    torch.testing.assert_close(value, exact, rtol=1e-3, atol=0)
    assert (single_slope - slope).norm() < 1e-3 * slope.norm()
