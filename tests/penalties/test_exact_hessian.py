import numpy as np
import pytest
import torch
from torch.autograd.functional import hessian

from robustxai import ExactHessianClassifier
from robustxai.explainers import Gradient
from robustxai.nets import MLP
from robustxai.penalties import ExactHessian, ExplainedBatch

from .conftest import weight_gradient


def matrices(module, x):
    """The Hessian of the predicted class's probability, sample by sample, with its graph."""
    result = []
    for row in x.detach():
        c = module(row[None])[0].argmax().item()
        matrix = hessian(lambda p, c=c: module(p[None])[0].softmax(dim=0)[c], row, create_graph=True)
        result.append(matrix.reshape(row.numel(), row.numel()))
    return torch.stack(result)


@pytest.mark.parametrize("norm", ["fro", "spectral"])
def test_value_and_gradient_equal_the_explicit_hessian(norm, net, x):
    value = ExactHessian(norm, max_iter=300)(ExplainedBatch(net, x, Gradient()))
    expected = torch.linalg.matrix_norm(matrices(net, x), ord="fro" if norm == "fro" else 2)
    torch.testing.assert_close(value, expected, rtol=1e-7, atol=1e-10)
    torch.testing.assert_close(weight_gradient(value, net), weight_gradient(expected, net), rtol=1e-5, atol=1e-8)


def test_at_its_defaults_the_spectral_norm_and_its_gradient_are_those_of_the_explicit_hessian(net, x):
    value = ExactHessian("spectral")(ExplainedBatch(net, x, Gradient()))
    expected = torch.linalg.matrix_norm(matrices(net, x), ord=2)
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-10)
    torch.testing.assert_close(weight_gradient(value, net), weight_gradient(expected, net), rtol=2e-3, atol=1e-6)


def test_a_sample_does_not_depend_on_the_samples_beside_it(net, x):
    """Each stops when it is done itself, and not when all are."""
    values = []
    for rows in (x, x[:1].detach().requires_grad_()):
        batch = ExplainedBatch(net, rows, Gradient())
        batch.randn_like = torch.ones_like
        values.append(ExactHessian("spectral", tol=0.3)(batch)[0])
    torch.testing.assert_close(*values, rtol=1e-10, atol=0)


@pytest.mark.parametrize("norm", ["fro", "spectral"])
def test_images_equal_the_explicit_hessian(norm, image_net, images):
    value = ExactHessian(norm, max_iter=1000)(ExplainedBatch(image_net, images, Gradient()))
    expected = torch.linalg.matrix_norm(matrices(image_net, images), ord="fro" if norm == "fro" else 2)
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-9)


def test_probes_approach_the_exact_norm(net, x):
    batch = ExplainedBatch(net, x, Gradient())
    exact = ExactHessian()(batch).detach()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        few = torch.stack([ExactHessian(n_draws=3)(batch).detach().square() for _ in range(500)])
    deviation = few.std(dim=0) / 500**0.5
    assert ((few.mean(dim=0) - exact**2).abs() < 4 * deviation + 1e-12).all()  # the square is unbiased


def test_a_few_iterations_stay_below_the_norm(net, x):
    batch = ExplainedBatch(net, x, Gradient())
    exact = torch.linalg.matrix_norm(matrices(net, x), ord=2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        values = [ExactHessian("spectral", max_iter=n)(batch) for n in (1, 10)]
    assert all((value <= exact * (1 + 1e-9)).all() for value in values)
    torch.testing.assert_close(values[1], exact, rtol=0.02, atol=1e-9)


def test_the_jacobian_of_an_explanation_that_is_no_gradient(x):
    matrix = torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def linear(module, x, target, **kwargs):
        return x @ matrix.T

    batch = ExplainedBatch(torch.nn.Identity(), x, linear)
    spectral, frobenius = ExactHessian("spectral", max_iter=200)(batch), ExactHessian()(batch)
    torch.testing.assert_close(spectral, torch.linalg.matrix_norm(matrix, ord=2).expand(7))
    torch.testing.assert_close(frobenius, matrix.norm().expand(7))


@pytest.mark.parametrize("options", [{}, {"norm": "spectral", "max_iter": 200}])
def test_a_stack_of_models_is_its_members(options, stack):
    module, members, x = stack
    penalty = ExactHessian(**options)
    value = penalty(ExplainedBatch(module, x, Gradient()))
    expected = [penalty(ExplainedBatch(m, r.detach().requires_grad_(), Gradient())) for m, r in zip(members, x)]
    torch.testing.assert_close(value, torch.stack(expected), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("options", [{}, {"n_draws": 2}, {"norm": "spectral"}])
@pytest.mark.parametrize("activation", [None, "relu"])
def test_no_curvature_is_zero_with_finite_gradients(options, activation, x):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = MLP(5, 2, (4,) if activation else (), activation=activation or "softplus").double()
        value = ExactHessian(**options)(ExplainedBatch(module, x, Gradient("logit")))
    assert not value.any()
    if value.requires_grad:
        assert weight_gradient(value, module).isfinite().all()


@pytest.mark.parametrize("wrong", [{"n_draws": 0}, {"max_iter": 0}, {"norm": "frobenius"}])
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ExactHessian(**wrong)


def test_what_no_memory_holds_is_refused_with_the_way_out():
    X = np.zeros((64, 10_000), dtype=np.float32)
    X[:, 0] = np.arange(64) % 2
    with pytest.raises(ValueError, match=r"64 rows with 10,000 features .* 25.6 GB .*n_draws"):
        ExactHessianClassifier(batch_size=64, max_epochs=1, module__hidden=(4,)).fit(X, X[:, 0])
    for way in ({"n_draws": 2}, {"norm": "spectral", "max_iter": 2, "tol": 1.0}):
        ExactHessianClassifier(batch_size=64, max_epochs=1, module__hidden=(4,), **way).fit(X, X[:, 0])
