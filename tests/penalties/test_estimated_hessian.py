import pytest
import torch
from torch.autograd.functional import hessian

from robustxai.explainers import Gradient
from robustxai.nets import MLP
from robustxai.penalties import EstimatedHessian, ExplainedBatch

from .conftest import probability_gradient, weight_gradient


def naive(module, x, kappa):
    values = []
    for row in x.detach():
        c = module(row[None])[0].argmax().item()
        here = probability_gradient(module, row, c)
        v = here.detach().sign()
        v = v / v.norm()
        values.append(((probability_gradient(module, row + kappa * v, c) - here) / kappa).norm())
    return torch.stack(values)


@pytest.mark.parametrize("kappa", [1e-3, 1e-2, 0.5])
def test_value_and_gradient_equal_the_loop(kappa, net, x):
    value = EstimatedHessian(kappa)(ExplainedBatch(net, x, Gradient()))
    expected = naive(net, x, kappa)
    torch.testing.assert_close(value, expected, rtol=1e-7, atol=1e-10)
    torch.testing.assert_close(weight_gradient(value, net), weight_gradient(expected, net), rtol=1e-6, atol=1e-9)


def test_images_equal_the_loop(image_net, images):
    value = EstimatedHessian()(ExplainedBatch(image_net, images, Gradient()))
    torch.testing.assert_close(value, naive(image_net, images, 1e-2), rtol=1e-7, atol=1e-10)


def test_converges_to_the_hessian_vector_product(net, x):
    exact = []
    for row in x.detach():
        c = net(row).argmax().item()
        matrix = hessian(lambda p, c=c: net(p).softmax(dim=0)[c], row)
        v = probability_gradient(net, row, c).detach().sign() / 5**0.5
        exact.append((matrix @ v).norm())
    exact = torch.stack(exact)
    kappas = torch.tensor([1e-2, 1e-3, 1e-4], dtype=torch.float64)
    errors = torch.stack(
        [(EstimatedHessian(kappa.item())(ExplainedBatch(net, x, Gradient())) - exact).abs().max() for kappa in kappas]
    )
    orders = (errors[:-1] / errors[1:]).log10()  # a forward difference: the error is proportional to kappa
    torch.testing.assert_close(orders, torch.ones_like(orders), rtol=0.1, atol=0)


def test_a_stack_of_models_is_its_members(stack):
    module, members, x = stack
    value = EstimatedHessian()(ExplainedBatch(module, x, Gradient()))
    expected = [
        EstimatedHessian()(ExplainedBatch(m, r.detach().requires_grad_(), Gradient())) for m, r in zip(members, x)
    ]
    torch.testing.assert_close(value, torch.stack(expected))


@pytest.mark.parametrize("output", ["logit", "probability"])
def test_a_linear_model_has_finite_gradients(output, x):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = MLP(5, 2, ()).double()
    value = EstimatedHessian()(ExplainedBatch(module, x, Gradient(output)))
    if output == "logit":
        assert not value.any()
    else:
        torch.testing.assert_close(value, naive(module, x, 1e-2))
    assert weight_gradient(value, module).isfinite().all()


def test_kappa_must_be_positive():
    with pytest.raises(ValueError, match="kappa"):
        EstimatedHessian(0.0)
