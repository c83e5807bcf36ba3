import math

import pytest
import torch
from torch import nn

from robustxai.explainers import Gradient
from robustxai.nets import MLP
from robustxai.penalties import ExplainedBatch, InputAlignment
from robustxai.perturbation import ThreatModel

from .conftest import weight_gradient

LABELS = torch.tensor([0, 1, 1, 0, 1, 0, 0])


def explained(module, x, labels=LABELS):
    return ExplainedBatch(module, x, Gradient(), y=labels)


def seeded(function, *args):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return function(*args)


def gradients(module, row, label):
    """Gradients of the logit of the label and of the largest other one, at one sample."""
    row = row.detach().requires_grad_()
    logits = module(row[None])[0]
    wrong = max((j for j in range(len(logits)) if j != label), key=lambda j: logits[j].item())
    return [torch.autograd.grad(logits[j], row, create_graph=True)[0].flatten() for j in (label, wrong)]


def distance(gradient, row):
    row = row.detach().flatten()
    return 1 - gradient @ row / (gradient.norm() * row.norm())


def naive(module, x, points, labels):
    values = []
    for row, there, label in zip(x, points, labels):
        pairs = [gradients(module, v, label) for v in (row, there)]
        losses = [
            torch.log1p(
                torch.exp(
                    max((distance(true, u) for true, _ in pairs), key=lambda d: d.item())
                    - min((distance(wrong, u) for _, wrong in pairs), key=lambda d: d.item())
                )
            )
            for u in (row, there)
        ]
        values.append(sum(losses) / 2)
    return torch.stack(values)


@pytest.mark.parametrize("norm", [2, math.inf])
def test_value_and_gradient_equal_the_loops(norm, net, x):
    penalty = InputAlignment(3, epsilon=0.5, norm=norm, max_iter=2)
    value = seeded(penalty, explained(net, x))
    points = seeded(penalty.worst, explained(net, x))
    expected = naive(net, x, points, LABELS)
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(weight_gradient(value, net), weight_gradient(expected, net), rtol=1e-9, atol=1e-11)


def test_images_equal_the_loops(image_net, images):
    labels = torch.tensor([0, 1, 2, 0])
    penalty = InputAlignment(5, epsilon=0.3, max_iter=1)
    batch = explained(image_net, images, labels)
    value, points = seeded(penalty, batch), seeded(penalty.worst, batch)
    expected = naive(image_net, images, points, labels)
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-12)
    gradients = (weight_gradient(v, image_net) for v in (value, expected))
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-11)


def test_a_stack_of_models_is_its_members(stack):
    module, members, x = stack
    labels = torch.arange(28).reshape(4, 7) % 3
    penalty = InputAlignment(2, epsilon=0.3, max_iter=1)
    batch = explained(module, x, labels)
    value, points = seeded(penalty, batch), seeded(penalty.worst, batch)
    expected = [naive(m, *rows) for m, *rows in zip(members, x, points, labels)]
    torch.testing.assert_close(value, torch.stack(expected), rtol=1e-6, atol=1e-9)


def test_the_adversarys_points_are_taken_where_that_is_asked(net, x):
    batch = explained(net, x)
    batch.attacked = x.detach() + 0.1
    expected = naive(net, x, batch.attacked, LABELS)
    torch.testing.assert_close(InputAlignment(attacked=True)(batch), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("k", [2, 9])
def test_the_ascent_compares_the_largest_entries_at_its_start(k, net, x):
    """One step of the ascent by hand: the sign of the slope of the loss of the top entries; 9 is clipped to all 5."""
    start = seeded(InputAlignment(k, epsilon=0.2, max_iter=1, step_size=1e-14).worst, explained(net, x))
    points = seeded(InputAlignment(k, epsilon=0.2, max_iter=1, step_size=0.01).worst, explained(net, x))
    for row, there, before, label in zip(x.detach(), points, start, LABELS):
        at = before.detach().requires_grad_()
        logits = net(at[None])[0]
        wrong = max((j for j in range(len(logits)) if j != label), key=lambda j: logits[j].item())
        true, other = (torch.autograd.grad(logits[j], at, create_graph=True)[0] for j in (label, wrong))
        top = true.detach().abs().topk(min(k, 5)).indices
        cosines = [torch.cosine_similarity(g[top], at[top], dim=0) for g in (true, other)]
        loss = torch.log1p(torch.exp((1 - cosines[0]) - (1 - cosines[1])))
        (slope,) = torch.autograd.grad(loss, at)
        expected = (before - row + 0.01 * slope.sign()).clamp(-0.2, 0.2)
        torch.testing.assert_close(there - row, expected, rtol=0, atol=1e-7)


# ------------------------------------------------------------------ known properties


def test_a_linear_network_by_hand():
    """Gradients (1, 0) and (0, 1): the loss of x = (cos t, sin t) is log(1 + exp(sin t - cos t)) for class 0."""
    net = nn.Linear(2, 2, bias=False).double()
    _ = net.weight.data.copy_(torch.eye(2))
    angle = torch.linspace(0, 1.5, 4, dtype=torch.float64)
    x = torch.stack([angle.cos(), angle.sin()], dim=1).requires_grad_()
    value = InputAlignment(epsilon=0.0)(explained(net, x, torch.zeros(4, dtype=torch.long)))
    torch.testing.assert_close(value.detach(), torch.log1p(torch.exp(angle.sin() - angle.cos())))


def test_the_worst_point_stays_in_the_ball_and_the_box(net):
    x = torch.rand(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    batch = explained(net, x)
    points = InputAlignment(threat=ThreatModel(0.5, bounds=(0, 1))).worst(batch)
    assert not points.requires_grad
    assert ((points >= -1e-7) & (points <= 1 + 1e-7)).all()
    assert (torch.linalg.vector_norm(points - x, dim=1) <= 0.5 * (1 + 1e-6)).all()
    assert all(p.grad is None for p in net.parameters())


def test_zero_inputs_and_gradients_have_finite_slopes(x):
    for scale in (0.0, 1e4):
        net = MLP(5, 3, (6,))
        with torch.no_grad():
            for p in net.parameters():
                p.mul_(scale)
        rows = torch.cat([torch.zeros(1, 5), x.detach().float()[1:]]).requires_grad_()
        value = InputAlignment()(explained(net, rows))
        assert value.isfinite().all()
        assert weight_gradient(value, net).isfinite().all()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"k": 0}, ValueError),
        ({"epsilon": -1.0}, ValueError),
        ({"max_iter": 1.5}, TypeError),
        ({"norm": 1}, ValueError),
    ],
)
def test_wrong_arguments_are_named(wrong, error):
    with pytest.raises(error, match=next(iter(wrong))):
        InputAlignment(**wrong)
