from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.autograd.functional import jacobian

from robustxai.explainers import Gradient, IntegratedGradients

from .conftest import Linear

BASELINE = torch.tensor([0.2, -0.1, 0.4, 0.0], dtype=torch.float64)


def test_equals_the_naive_midpoint_rule(net, x, target):
    value = IntegratedGradients(6, BASELINE)(net, x, target)
    for b, c in enumerate(target):
        way = x[b] - BASELINE
        slopes = [jacobian(lambda p, c=c: net(p).softmax(-1)[c], BASELINE + (k + 0.5) / 6 * way) for k in range(6)]
        torch.testing.assert_close(value[b], way * torch.stack(slopes).mean(dim=0), rtol=1e-9, atol=1e-14)


def test_complete_in_the_limit_with_an_error_of_second_order(net, x, target):
    def f(points):
        return net(points).softmax(dim=1).gather(1, target[:, None])[:, 0].detach()

    rise = f(x) - f(BASELINE.expand(9, 4))
    errors = [(IntegratedGradients(m, BASELINE)(net, x, target).sum(dim=1) - rise).norm() for m in (40, 80, 160)]
    for coarse, fine in pairwise(errors):
        assert 3.5 < coarse / fine < 4.5
    assert errors[-1] < 1e-3


def test_closed_forms(quadratic, x):
    ones, weight = torch.ones(9, dtype=torch.long), torch.tensor([1.0, -2.0, 0.5, 0.0]).double()
    linear = IntegratedGradients(1, 0.5, output="logit")(Linear(weight), x, ones)
    torch.testing.assert_close(linear, (x - 0.5) * weight)
    # the gradient of a quadratic is affine, for which one midpoint is exact
    expected = (x - BASELINE) * ((x + BASELINE) / 2 @ quadratic.matrix + quadratic.offset)
    for n_points in (1, 7):
        value = IntegratedGradients(n_points, BASELINE, output="logit")(quadratic, x, ones)
        torch.testing.assert_close(value, expected.detach())


def test_zero_at_the_baseline_with_the_slope_of_the_gradient(net, x, target):
    inputs = BASELINE.expand(9, 4).clone().requires_grad_()
    value = IntegratedGradients(4, BASELINE)(net, inputs, target, create_graph=True)
    assert (value == 0).all()
    (slope,) = torch.autograd.grad(value.sum(), inputs)
    torch.testing.assert_close(slope, Gradient()(net, inputs, target), rtol=1e-9, atol=1e-14)


def test_the_baseline_is_kept_as_it_was(net, x, target):
    given = BASELINE.numpy().copy()
    explainer = IntegratedGradients(baseline=given)
    value = explainer(net, x, target)
    given += 1
    assert torch.equal(explainer(net, x, target), value)
    for same in (BASELINE.tolist(), BASELINE.clone().requires_grad_()):
        assert IntegratedGradients(baseline=same) == explainer
    assert IntegratedGradients(baseline=given) != explainer
    assert IntegratedGradients(baseline=np.float32(0)) == IntegratedGradients()


def test_arguments_out_of_range_are_refused(net, x, target):
    with pytest.raises(ValueError, match="shape of one sample"):
        IntegratedGradients(baseline=[0.0, 1.0])(net, x, target)
    with pytest.raises(ValueError, match="finite"):
        IntegratedGradients(baseline=np.nan)
    with pytest.raises(ValueError, match="n_points"):
        IntegratedGradients(0)
    with pytest.raises(ValueError, match="Did you mean 'logit'"):
        IntegratedGradients(output="logits")
