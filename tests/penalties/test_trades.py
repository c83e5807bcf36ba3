import math

import pytest
import torch
from torch.nn.functional import kl_div, log_softmax

from robustxai.explainers import Gradient
from robustxai.penalties import TRADES, ExplainedBatch
from robustxai.perturbation import ThreatModel

from .conftest import weight_gradient


def explained(module, x):
    return ExplainedBatch(module, x, Gradient())


def seeded(function, *args):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return function(*args)


def naive(module, x, points):
    """KL(p(x) || p(x')), one sample and one class after the other."""
    values = []
    for row, there in zip(x.detach(), points):
        p, q = (module(r[None])[0].softmax(dim=0) for r in (row, there))
        values.append(sum(a * (a.log() - b.log()) for a, b in zip(p, q)))
    return torch.stack(values)


@pytest.mark.parametrize("norm", [2, math.inf])
def test_value_and_gradient_equal_the_loops(norm, net, x):
    penalty = TRADES(epsilon=0.5, norm=norm, max_iter=3)
    value, points = seeded(penalty, explained(net, x)), seeded(penalty.worst, explained(net, x))
    expected = naive(net, x, points)
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(weight_gradient(value, net), weight_gradient(expected, net), rtol=1e-9, atol=1e-11)
    theirs = kl_div(log_softmax(net(points), 1), net(x).softmax(1), reduction="none").sum(1)
    torch.testing.assert_close(value, theirs, rtol=1e-9, atol=1e-12)


def test_the_worst_point_is_in_the_ball_and_worse_than_the_start(net, x):
    points = seeded(TRADES(epsilon=0.5, norm=2).worst, explained(net, x))
    start = seeded(TRADES(epsilon=0.5, norm=2, step_size=1e-12).worst, explained(net, x))
    assert not points.requires_grad
    assert (torch.linalg.vector_norm(points - x, dim=1) <= 0.5 * (1 + 1e-6)).all()
    assert 0 < torch.linalg.vector_norm(start - x, dim=1).max() < 0.2
    assert (naive(net, x, points) > 2 * naive(net, x, start)).all()


def test_frozen_features_and_boxes_are_kept(net):
    x = torch.rand(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    points = seeded(TRADES(threat=ThreatModel(0.5, "inf", bounds=(0, 1), frozen=[2])).worst, explained(net, x))
    assert ((points >= -1e-7) & (points <= 1 + 1e-7)).all()
    assert torch.equal(points[:, 2], x[:, 2].detach())


def test_a_small_ball_is_the_largest_eigenvalue_of_the_fisher_matrix(net, x):
    """To second order KL is d.Fd / 2 with F = sum_c p_c grad log p_c grad log p_c^T."""
    expected = []
    for row in x.detach():
        row = row.clone().requires_grad_()
        log_p = net(row[None])[0].log_softmax(dim=0)
        rows = [torch.autograd.grad(v, row, retain_graph=True)[0] for v in log_p]
        fisher = sum(v.exp() * torch.outer(g, g) for v, g in zip(log_p, rows))
        expected.append(torch.linalg.eigvalsh(fisher.detach())[-1] * 1e-3**2 / 2)
    with torch.random.fork_rng():  # an ascent that starts near the second eigenvector may stay there
        torch.manual_seed(0)
        penalty = TRADES(epsilon=1e-3, norm=2, max_iter=50)
        values = torch.stack([penalty(explained(net, x)).detach() for _ in range(5)]).amax(dim=0)
    torch.testing.assert_close(values, torch.stack(expected), rtol=0.02, atol=0.0)


def test_a_stack_of_models_is_its_members(stack):
    module, members, x = stack
    penalty = TRADES(epsilon=0.3, norm=2)
    batch = ExplainedBatch(module, x, Gradient(), y=torch.zeros(4, 7, dtype=torch.int64))
    points, value = seeded(penalty.worst, batch), seeded(penalty, batch)
    expected = [naive(m, rows, there) for m, rows, there in zip(members, x, points)]
    torch.testing.assert_close(value, torch.stack(expected), rtol=1e-6, atol=1e-9)


def test_no_room_is_zero_with_finite_gradients(net, x):
    value = TRADES(epsilon=0.0)(explained(net, x))
    torch.testing.assert_close(value, torch.zeros_like(value), rtol=0, atol=1e-12)
    assert weight_gradient(value, net).isfinite().all()


@pytest.mark.parametrize("wrong", [{"epsilon": -0.1}, {"norm": 1}, {"max_iter": 0}, {"step_size": 0.0}])
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TRADES(**wrong)
