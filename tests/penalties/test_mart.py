import pytest
import torch

from robustxai.explainers import Gradient
from robustxai.penalties import ExplainedBatch, RunnerUpMargin, WeightedDivergence

from .conftest import make_net, weight_gradient

LABELS = torch.tensor([0, 1, 1, 0, 1, 0, 0])


def attacked(module, x):
    batch = ExplainedBatch(module, x, Gradient(), y=LABELS)
    batch.attacked = x.detach() + 0.7 * x.detach().sin()
    return batch


def naive(module, x, points):
    """Both terms, sample by sample and class by class."""
    margins, divergences = [], []
    for row, there, y in zip(x.detach(), points, LABELS.tolist()):
        p, q = (module(r[None])[0].softmax(dim=0) for r in (row, there))
        margins.append(-(1 - max(v for k, v in enumerate(q) if k != y)).log())
        divergences.append(sum(a * (a.log() - b.log()) for a, b in zip(p, q)) * (1 - p[y]))
    return torch.stack(margins), torch.stack(divergences)


@pytest.mark.parametrize("penalty", [RunnerUpMargin(), WeightedDivergence()], ids=["margin", "divergence"])
def test_value_and_gradient_equal_the_loops(penalty, net, x):
    batch = attacked(net, x)
    value, expected = penalty(batch), naive(net, x, batch.attacked)[isinstance(penalty, WeightedDivergence)]
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(weight_gradient(value, net), weight_gradient(expected, net), rtol=1e-8, atol=1e-11)


def test_of_two_classes_the_margin_is_the_cross_entropy(x):
    net = make_net(2)
    batch = attacked(net, x)
    expected = torch.nn.functional.cross_entropy(net(batch.attacked), LABELS, reduction="none")
    torch.testing.assert_close(RunnerUpMargin()(batch), expected)


def test_without_an_adversary_the_predictions_do_not_diverge(net, x):
    batch = ExplainedBatch(net, x, Gradient(), y=LABELS)
    assert torch.equal(batch.attacked, x.detach())
    assert not batch.attacked.requires_grad
    torch.testing.assert_close(WeightedDivergence()(batch), torch.zeros(7, dtype=torch.float64), rtol=0, atol=1e-15)


@pytest.mark.parametrize("penalty", [RunnerUpMargin(), WeightedDivergence()], ids=["margin", "divergence"])
def test_confident_samples_have_finite_gradients_in_float32(penalty, x):
    module = make_net(3).float()
    with torch.no_grad():
        for p in module.layers[-1].parameters():
            p.mul_(3000.0)
    value = penalty(attacked(module, x.detach().float().requires_grad_()))
    assert value.isfinite().all()
    assert weight_gradient(value, module).isfinite().all()


@pytest.mark.parametrize("penalty", [RunnerUpMargin(), WeightedDivergence()], ids=["margin", "divergence"])
def test_a_stack_of_models_is_its_members(penalty, stack):
    module, members, x = stack
    labels = torch.arange(28).reshape(4, 7) % 3
    points = x.detach() + 0.4 * x.detach().cos()

    def value(module, rows, labels, points):
        batch = ExplainedBatch(module, rows, Gradient(), y=labels)
        batch.attacked = points
        return penalty(batch)

    expected = torch.stack([value(*one) for one in zip(members, x, labels, points)])
    torch.testing.assert_close(value(module, x, labels, points), expected, rtol=1e-8, atol=1e-11)
