import numpy as np
import torch

from robustxai.metrics._jacobian import differentiable, frobenius_estimate, jacobian, spectral_estimate


def flat(attribution):
    return attribution.flatten(start_dim=1)


def naive(estimator, x, target, outputs):
    def one(point, label):
        return outputs(estimator.explainer_(estimator.module_, point[None], label[None], create_graph=True))[0]

    return torch.stack(
        [
            torch.autograd.functional.jacobian(lambda p, c=label: one(p, c), point).flatten(start_dim=1)
            for point, label in zip(x.clone().requires_grad_(), target)
        ]
    )


def test_equals_the_jacobian_sample_by_sample(net, X, image_net, images):
    x, target = torch.tensor(X), torch.tensor([0, 1, 2, 0, 1])
    values, matrix = jacobian(net, x, target, flat)
    torch.testing.assert_close(matrix, naive(net, x, target, flat))
    np.testing.assert_array_equal(values, net.explain(X, net.classes_[target]))
    torch.testing.assert_close(matrix, matrix.mT)  # a gradient explainer: this is a Hessian
    x, target = torch.tensor(images), torch.tensor([0, 1, 2])

    def pixels(attribution):
        return attribution.abs().sum(dim=1).flatten(start_dim=1)

    matrix = jacobian(image_net, x, target, pixels)[1]
    assert matrix.shape == (3, 20, 60)
    torch.testing.assert_close(matrix, naive(image_net, x, target, pixels))


def test_it_is_zero_where_the_attribution_does_not_depend_on_the_input(linear, X):
    target = torch.zeros(len(X), dtype=torch.long)
    assert not jacobian(linear, torch.tensor(X), target, flat)[1].any()
    values, leaf = differentiable(linear, torch.tensor(X), target, flat)
    assert not spectral_estimate(values, leaf, torch.ones_like(leaf), 3).any()
    constant = type(
        "Constant", (), {"module_": None, "explainer_": staticmethod(lambda m, x, t, create_graph: x.detach())}
    )
    assert not jacobian(constant, torch.tensor(X), target, flat)[1].any()


def test_the_caller_may_have_switched_gradients_off(net, X):
    x, target = torch.tensor(X), torch.zeros(len(X), dtype=torch.long)
    expected = jacobian(net, x, target, flat)[1]
    with torch.no_grad():
        torch.testing.assert_close(jacobian(net, x, target, flat)[1], expected)


def test_the_frobenius_estimate_is_exact_for_a_scaled_basis(net, X):
    # the mean of m |J' e_i|^2 over the m basis vectors is |J|^2, so scaled basis vectors act as perfect probes
    x, target = torch.tensor(X), torch.zeros(len(X), dtype=torch.long)
    values, leaf = differentiable(net, x, target, flat)
    basis = torch.eye(6, dtype=torch.float64)[:, None].expand(6, len(X), 6) * 6**0.5
    exact = torch.linalg.matrix_norm(jacobian(net, x, target, flat)[1])
    torch.testing.assert_close(frobenius_estimate(values, leaf, basis), exact)


def test_power_iteration_rises_to_the_largest_singular_value():
    # not symmetric, so that J and its transpose cannot be confused
    matrix = torch.randn(6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    toy = type("Toy", (), {"module_": None, "explainer_": staticmethod(lambda m, x, t, create_graph: x @ matrix)})
    values, leaf = differentiable(toy, torch.zeros(1, 6, dtype=torch.float64), torch.tensor([0]), flat)
    start = torch.randn(1, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    estimates = [spectral_estimate(values, leaf, start, n).item() for n in (0, 1, 2, 4, 200)]
    exact = torch.linalg.matrix_norm(matrix, ord=2).item()
    assert estimates == sorted(estimates)
    assert estimates[0] < exact
    np.testing.assert_allclose(estimates[-1], exact)
