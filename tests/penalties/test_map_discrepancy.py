import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from robustxai.explainers import Gradient
from robustxai.nets import MLP
from robustxai.penalties import ExplainedBatch, MapDiscrepancy
from robustxai.perturbation import ThreatModel

from .conftest import weight_gradient

LABELS = torch.tensor([0, 1, 1, 0, 1, 0, 0])
OBJECTIVES = pytest.mark.parametrize("objective", ["int", "int2"])


def explained(module, x, labels=LABELS):
    return ExplainedBatch(module, x, Gradient(), y=labels)


def seeded(function, *args):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return function(*args)


def class_map(module, row, c, n_points):
    """Integrated gradients of one logit at one sample, one point of the path after the other."""
    total = 0
    for k in range(1, n_points + 1):
        point = (k / n_points * row).detach().requires_grad_()
        total = total + torch.autograd.grad(module(point[None])[0, c], point, create_graph=True)[0]
    return row.detach() * total / n_points


def naive(module, x, points, labels, n_points):
    values = []
    for row, there, label in zip(x, points, labels):
        logits = module(there[None].detach())[0]
        n_classes = len(logits)
        change = [
            (class_map(module, there, c, n_points) - class_map(module, row, c, n_points)).abs().sum()
            for c in range(n_classes)
        ]
        wrong = [c for c in range(n_classes) if c != label]
        total = sum(logits[c].exp() for c in wrong)
        values.append(change[label] + sum(logits[c].exp() / total * change[c] for c in wrong))
    return torch.stack(values)


@OBJECTIVES
@pytest.mark.parametrize("norm", [2, math.inf])
def test_value_and_gradient_equal_the_loops(objective, norm, net, x):
    penalty = MapDiscrepancy(objective, epsilon=0.5, norm=norm, n_points=4, max_iter=2)
    value = seeded(penalty, explained(net, x))
    points = seeded(penalty.worst, explained(net, x))
    expected = naive(net, x, points, LABELS, 4)
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(weight_gradient(value, net), weight_gradient(expected, net), rtol=1e-9, atol=1e-11)


def test_images_equal_the_loops(image_net, images):
    labels = torch.tensor([0, 1, 2, 0])
    penalty = MapDiscrepancy(epsilon=0.3, n_points=2, max_iter=1)
    value = seeded(penalty, explained(image_net, images, labels))
    points = seeded(penalty.worst, explained(image_net, images, labels))
    expected = naive(image_net, images, points, labels, 2)
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-12)


def test_a_stack_of_models_is_its_members(stack):
    module, members, x = stack
    labels = torch.arange(28).reshape(4, 7) % 3
    penalty = MapDiscrepancy(epsilon=0.3, n_points=2, max_iter=1)
    value = seeded(penalty, explained(module, x, labels))
    points = seeded(penalty.worst, explained(module, x, labels))
    expected = [naive(m, *rows, 2) for m, *rows in zip(members, x, points, labels)]
    torch.testing.assert_close(value, torch.stack(expected), rtol=1e-6, atol=1e-9)


@OBJECTIVES
@pytest.mark.parametrize("norm", [2, math.inf])
def test_the_worst_point_is_in_the_ball_and_worse_than_the_start(objective, norm, net, x):
    def value(points):
        if objective == "int2":
            return cross_entropy(net(points), LABELS, reduction="none").detach()
        return naive(net, x, points, LABELS, 2).detach()

    options = {"objective": objective, "epsilon": 0.3, "norm": norm}
    points = seeded(MapDiscrepancy(**options).worst, explained(net, x))
    start = seeded(MapDiscrepancy(**options, step_size=1e-12).worst, explained(net, x))
    assert not points.requires_grad
    assert all(p.grad is None for p in net.parameters())
    for found in (points, start):
        assert (torch.linalg.vector_norm(found - x, ord=norm, dim=1) <= 0.3 * (1 + 1e-6)).all()
    assert (value(points) > value(start)).all()


# ------------------------------------------------------------------ known properties


def test_maps_add_up_to_the_logits(net, x):
    maps = MapDiscrepancy.maps(explained(net, x), x.detach(), 2000)
    rise = net(x) - net(torch.zeros_like(x))
    torch.testing.assert_close(maps.sum(dim=-1), rise.detach(), rtol=0, atol=0.05)


def test_the_discrepancy_bounds_the_change_of_the_margin(x):
    """With two classes it is at least the change of the difference of the logits: the argument of the paper."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        net = MLP(5, 2, (6,)).double()
    penalty = MapDiscrepancy(epsilon=0.5, n_points=2000)
    value = seeded(penalty, explained(net, x)).detach()
    points = seeded(penalty.worst, explained(net, x))
    margins = [(net(rows)[:, 1] - net(rows)[:, 0]).detach() for rows in (x, points)]
    assert (value >= (margins[1] - margins[0]).abs() - 0.05).all()


def test_bounds_are_kept(net):
    x = torch.rand(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    points = MapDiscrepancy(threat=ThreatModel(0.5, "inf", bounds=(0, 1))).worst(explained(net, x))
    assert ((points >= -1e-7) & (points <= 1 + 1e-7)).all()


@OBJECTIVES
def test_a_ball_of_one_point_is_zero_with_finite_gradients(objective, net, x):
    value = MapDiscrepancy(objective, epsilon=0.0)(explained(net, x))
    torch.testing.assert_close(value, torch.zeros_like(value), rtol=0, atol=1e-12)
    assert weight_gradient(value, net).isfinite().all()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"objective": "int3"}, ValueError),
        ({"epsilon": -1.0}, ValueError),
        ({"n_points": 0}, ValueError),
        ({"n_attack_points": 1.5}, TypeError),
        ({"max_iter": 0}, ValueError),
        ({"step_size": -1.0}, ValueError),
    ],
)
def test_wrong_arguments_are_named(wrong, error):
    with pytest.raises(error, match=next(iter(wrong))):
        MapDiscrepancy(**wrong)
