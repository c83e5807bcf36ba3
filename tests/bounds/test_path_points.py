"""The points of a path in one pass, with the first layer's matrix taken once, give the bounds of a loop over points."""

import functools

import pytest
import torch

from robustxai.bounds import bound_attribution, read_network
from robustxai.bounds._attribution import heads_of
from robustxai.bounds._forms import Ball
from robustxai.bounds._propagation import METHODS, backward, forward
from robustxai.explainers import IntegratedGradients, SmoothGrad
from tests.bounds.test_subspace import NETS, N, rows

EXPLAINERS = {
    "path": IntegratedGradients(3, baseline=0.2, output="logit"),
    "noise": SmoothGrad(3, 0.2, output="logit"),
}


@functools.cache
def network_of(name):
    torch.manual_seed(0)
    return read_network(NETS[name]().double(), (N,))


def one_by_one(network, explainer, x, target, ball, axes, method):
    """Return lower and upper bounds of the attribution, from one pass for each point."""
    form, follow = METHODS[method]
    (head,), _ = heads_of(network, "logit", target)
    if isinstance(explainer, SmoothGrad):
        points = [(x + shift, 1.0) for shift in explainer.sigma * explainer.draws(x.shape[1:]).to(x)]
    else:
        shares = [(j + 0.5) / explainer.n_points for j in range(explainer.n_points)]
        points = [(explainer.baseline + share * (x - explainer.baseline), share) for share in shares]
    total = form.exact(ball, torch.zeros_like(x))
    for center, share in points:
        passed = forward(network, form.exact(ball, center, share * axes), follow=follow)
        total = total.plus(backward(network, passed, head).gradient)
    mean = total.scaled(torch.full_like(x, 1 / len(points)))
    if isinstance(explainer, SmoothGrad):
        return mean.bounds()
    return mean.times(form.exact(ball, x - explainer.baseline, axes)).bounds()


@pytest.mark.parametrize("per_row", [False, True], ids=["axes of all rows", "axes of each row"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("explainer", EXPLAINERS)
@pytest.mark.parametrize("name", NETS)
def test_bounds_are_those_of_a_loop(name, explainer, method, per_row):
    network, x, target = network_of(name), rows(), torch.tensor([0, 1, 0])
    ball = Ball(torch.tensor([[0.1], [0.3], [1e-3]], dtype=torch.float64), "inf", 4)
    axes = torch.zeros(3 if per_row else 1, N, 4, dtype=torch.float64)
    axes[:, [3, 7, 8, 30], range(4)] = 0.5 + torch.linspace(0.0, 0.4, len(axes) * 4).double().reshape(-1, 4)
    explainer = EXPLAINERS[explainer]
    (term,) = bound_attribution(network, explainer, x, target, None, ball, method, axes)
    expected = one_by_one(network, explainer, x, target, ball, axes, method)
    for seen, loop in zip(term.phi.bounds(), expected):
        torch.testing.assert_close(seen, loop, rtol=1e-9, atol=1e-12)
    assert name == "linear" or (expected[0] < expected[1]).any()
