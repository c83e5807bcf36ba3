import pytest
import torch
from torch.nn.functional import cross_entropy

from robustxai.explainers import Gradient
from robustxai.nets import MLP
from robustxai.penalties import ExplainedBatch, WeightedChange

from .conftest import weight_gradient

LABELS = torch.tensor([0, 1, 1, 0, 1, 0, 0])


def attacked(module, x, points, labels=LABELS):
    batch = ExplainedBatch(module, x, Gradient(), y=labels)
    batch.attacked = points
    return batch


def naive_path(module, start, end, score, n_points):
    total = torch.zeros_like(end)
    for r in range(1, n_points + 1):
        point = (start + r / n_points * (end - start)).detach().requires_grad_()
        total = total + torch.autograd.grad(score(module(point[None])[0]), point, create_graph=True)[0]
    return (end - start) * total / n_points


def naive(module, x, points, labels, n_points, baseline):
    values = []
    for row, there, y in zip(x.detach(), points, labels.tolist()):
        start = torch.full_like(row, baseline)
        a = naive_path(module, start, row, lambda z, y=y: z.softmax(dim=0)[y], n_points).flatten()
        c = naive_path(module, row, there, lambda z, y=y: z.log_softmax(dim=0)[y], n_points).flatten()
        values.append(sum(u * v if u.sign() == v.sign() else v.abs() for u, v in zip(a, c)))
    return torch.stack(values)


def moved(x):
    return x.detach() + 0.5 * x.detach().cos()


@pytest.mark.parametrize(("n_points", "baseline"), [(1, 0.0), (4, 0.0), (3, -0.5)])
def test_value_and_gradient_equal_the_loops(n_points, baseline, net, x):
    value = WeightedChange(n_points, baseline)(attacked(net, x, moved(x)))
    expected = naive(net, x, moved(x), LABELS, n_points, baseline)
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(weight_gradient(value, net), weight_gradient(expected, net), rtol=1e-7, atol=1e-11)


def test_images_equal_the_loops(image_net, images):
    labels = torch.tensor([0, 1, 2, 0])
    value = WeightedChange(3)(attacked(image_net, images, moved(images), labels))
    torch.testing.assert_close(value, naive(image_net, images, moved(images), labels, 3, 0.0), rtol=1e-9, atol=1e-12)


def test_linear_logits_in_closed_form(x):
    """Both attributions are shares of a rise: of p_y from 0 to x, of log p_y from x to x'."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = MLP(5, 2, ()).double()
    slope = (net.layers[0].weight[1] - net.layers[0].weight[0]).detach()
    points, zero = moved(x), torch.zeros_like(x)

    def log_p(rows):
        return -cross_entropy(net(rows), LABELS, reduction="none").detach()

    def shares(start, end, rise):
        way = end - start
        return (rise / (way @ slope))[:, None] * way * slope

    a = shares(zero, x.detach(), log_p(x).exp() - log_p(zero).exp())
    c = shares(x.detach(), points, log_p(points) - log_p(x))
    expected = torch.where(a.sign() == c.sign(), a * c, c.abs()).sum(dim=1)
    value = WeightedChange(20000)(attacked(net, x, points)).detach()
    torch.testing.assert_close(value, expected, rtol=1e-3, atol=1e-5)


def test_without_an_attack_it_is_zero(net, x):
    value = WeightedChange(2)(ExplainedBatch(net, x, Gradient(), y=LABELS))
    torch.testing.assert_close(value, torch.zeros_like(value), rtol=0, atol=0)


def test_a_stack_of_models_is_its_members(stack):
    module, members, x = stack
    labels = torch.arange(28).reshape(4, 7) % 3
    penalty, points = WeightedChange(3), moved(x)
    expected = [penalty(attacked(m, r, p, y)) for m, r, p, y in zip(members, x, points, labels)]
    torch.testing.assert_close(
        penalty(attacked(module, x, points, labels)), torch.stack(expected), rtol=1e-7, atol=1e-11
    )


@pytest.mark.parametrize("wrong", [{"n_points": 0}, {"baseline": float("inf")}])
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        WeightedChange(**wrong)
