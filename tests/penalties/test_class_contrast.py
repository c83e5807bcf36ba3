import pytest
import torch

from robustxai.explainers import Gradient
from robustxai.nets import MLP
from robustxai.penalties import ClassContrast, ExplainedBatch

from .conftest import weight_gradient

LABELS = torch.tensor([0, 1, 1, 0, 1, 0, 0])


def attacked(module, x, points, labels=LABELS):
    batch = ExplainedBatch(module, x, Gradient(), y=labels)
    batch.attacked = points
    return batch


def naive_attributions(module, there, y, n_points, baseline):
    """Attributions of one sample to its true class and to the strongest wrong one, point by point of the path."""
    totals = [torch.zeros_like(there), torch.zeros_like(there)]
    for r in range(1, n_points + 1):
        point = (baseline + r / n_points * (there - baseline)).detach().requires_grad_()
        p = module(point[None])[0].softmax(dim=0)
        wrong = max((k for k in range(len(p)) if k != y), key=lambda k: p[k].item())
        for i, c in enumerate((y, wrong)):
            totals[i] = totals[i] + torch.autograd.grad(p[c], point, create_graph=True)[0]
    return [(there - baseline) * total / n_points for total in totals]


def naive(module, points, labels, n_points, baseline, units=lambda a: a):
    values = []
    for there, y in zip(points, labels.tolist()):
        divergences = []
        for a in naive_attributions(module, there, y, n_points, baseline):
            q = units(a).flatten().softmax(dim=0)
            divergences.append(sum((1 / len(q)) * (1 / (len(q) * s)).log() for s in q))  # KL(u || q)
        values.append(divergences[1] - divergences[0])
    return torch.stack(values)


def moved(x):
    return x.detach() + 0.5 * x.detach().cos()


@pytest.mark.parametrize(("n_points", "baseline"), [(1, 0.0), (4, 0.0), (3, -0.5)])
def test_value_and_gradient_equal_the_loops(n_points, baseline, net, x):
    value = ClassContrast(n_points, baseline)(attacked(net, x, moved(x)))
    expected = naive(net, moved(x), LABELS, n_points, baseline)
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(weight_gradient(value, net), weight_gradient(expected, net), rtol=1e-7, atol=1e-11)


def test_channels_are_summed(image_net, images):
    labels = torch.tensor([0, 1, 2, 0])
    value = ClassContrast(3)(attacked(image_net, images, images.detach(), labels))
    expected = naive(image_net, images.detach(), labels, 3, 0.0, units=lambda a: a.sum(dim=0))
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-12)


def test_of_two_classes_it_is_a_third_cumulant(x):
    """For attributions that are small beside 1."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = MLP(5, 2, (6,)).double()
    points = 0.1 * moved(x)
    value = ClassContrast(2)(attacked(net, x, points))
    a = torch.stack([naive_attributions(net, p, y, 2, 0.0)[0] for p, y in zip(points, LABELS.tolist())]).detach()
    third = (a - a.mean(dim=1, keepdim=True)).pow(3).mean(dim=1)
    torch.testing.assert_close(value, -third / 3, rtol=0.01, atol=1e-12)


def test_without_an_adversary_it_is_taken_at_x(net, x):
    value = ClassContrast(2)(ExplainedBatch(net, x, Gradient(), y=LABELS))
    torch.testing.assert_close(value, ClassContrast(2)(attacked(net, x, x.detach())))


def test_a_stack_of_models_is_its_members(stack):
    module, members, x = stack
    labels = torch.arange(28).reshape(4, 7) % 3
    penalty, points = ClassContrast(3), moved(x)
    expected = [penalty(attacked(m, r, p, y)) for m, r, p, y in zip(members, x, points, labels)]
    torch.testing.assert_close(
        penalty(attacked(module, x, points, labels)), torch.stack(expected), rtol=1e-7, atol=1e-11
    )


@pytest.mark.parametrize("wrong", [{"n_points": 0}, {"baseline": float("nan")}])
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ClassContrast(**wrong)
