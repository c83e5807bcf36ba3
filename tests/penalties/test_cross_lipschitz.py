import pytest
import torch
from torch.autograd.functional import hessian

from robustxai.explainers import Gradient
from robustxai.penalties import CrossLipschitz, ExplainedBatch
from robustxai.perturbation import ThreatModel

from .conftest import weight_gradient


def log_odds(module, row, c):
    p = module(row[None])[0].softmax(dim=0)[c]
    return (p / (1 - p)).log()


def naive(module, x, k, n_pairs, reduction, ranking, radius):
    """Loops over samples and pairs, with rows of the explicit Hessian of the log-odds."""
    values = []
    for row in x.detach():
        c = module(row[None])[0].argmax().item()
        row = row.clone().requires_grad_()
        (slope,) = torch.autograd.grad(log_odds(module, row, c), row, create_graph=True)
        matrix = hessian(lambda p, c=c: log_odds(module, p, c), row.detach(), create_graph=True)
        sign = slope.detach().sign() if ranking == "magnitude" else torch.ones(len(row))
        order = sorted(range(len(row)), key=lambda i, s=slope, g=sign: -(g[i] * s[i]).item())
        ratios = []
        for i in range(1, min(n_pairs or k, k, len(row) - k) + 1):
            top, rest = order[k - i], order[k + i - 1]
            gap = sign[top] * slope[top] - sign[rest] * slope[rest]
            length = (sign[top] * matrix[top] - sign[rest] * matrix[rest]).norm()
            ratios.append((gap / length).clamp_max(radius))
        values.append(-min(ratios) if reduction == "min" else -sum(ratios) / len(ratios))
    return torch.stack(values)


@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("n_pairs", [None, 1])
@pytest.mark.parametrize("reduction", ["min", "mean"])
@pytest.mark.parametrize("ranking", ["magnitude", "signed"])
@pytest.mark.parametrize("radius", [0.2, 1e3])
def test_value_and_gradient_equal_the_loops(k, n_pairs, reduction, ranking, radius, net, x):
    options = (k, n_pairs, reduction, ranking, radius)
    value, expected = CrossLipschitz(*options)(ExplainedBatch(net, x, Gradient())), naive(net, x, *options)
    torch.testing.assert_close(value, expected, rtol=1e-8, atol=1e-11)
    torch.testing.assert_close(weight_gradient(value, net), weight_gradient(expected, net), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("reduction", ["min", "mean"])
def test_a_stack_of_models_is_its_members(reduction, stack):
    module, members, x = stack
    penalty = CrossLipschitz(2, reduction=reduction)
    value = penalty(ExplainedBatch(module, x, Gradient()))
    expected = [penalty(ExplainedBatch(m, r.detach().requires_grad_(), Gradient())) for m, r in zip(members, x)]
    torch.testing.assert_close(value, torch.stack(expected))


def test_an_explanation_that_cannot_turn_is_at_the_cap_with_a_finite_gradient(x):
    module = torch.nn.Linear(5, 2).double()
    value = CrossLipschitz(2)(ExplainedBatch(module, x, Gradient()))
    assert value.tolist() == [-0.5] * 7
    if value.requires_grad:
        assert not weight_gradient(value, module).any()


def test_images_and_a_single_unit(image_net, images):
    value = CrossLipschitz(3, epsilon=100.0)(ExplainedBatch(image_net, images, Gradient()))
    assert value.shape == (4,)
    assert ((value <= 0) & (value > -100)).all()
    one = torch.ones(2, 1, dtype=torch.float64, requires_grad=True)
    assert not CrossLipschitz(1)(ExplainedBatch(torch.nn.Linear(1, 2).double(), one, Gradient())).any()


def test_a_small_ratio_is_the_distance_at_which_the_ranking_flips(net):
    x = torch.randn(3000, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    ratio = -CrossLipschitz(2, 1)(ExplainedBatch(net, x, Gradient())).detach()
    near = ratio < 0.01
    assert near.sum() > 10
    x, ratio, target = x.detach()[near].requires_grad_(), ratio[near], net(x[near]).argmax(dim=1)

    def gap(points):
        scores = Gradient("log_odds")(net, points, target, create_graph=True).abs()
        return scores.gather(1, order[:, 1:2])[:, 0] - scores.gather(1, order[:, 2:3])[:, 0]

    order = Gradient("log_odds")(net, x, target).abs().argsort(dim=1, descending=True)
    (slope,) = torch.autograd.grad(gap(x).sum(), x)
    step = -ratio[:, None] * slope / slope.norm(dim=1, keepdim=True)
    assert (gap(x + 0.8 * step) > 0).double().mean() > 0.9  # a few rows lie next to a kink of the magnitude
    assert (gap(x + 1.2 * step) < 0).double().mean() > 0.9


@pytest.mark.parametrize("wrong", [{"k": 0}, {"reduction": "max"}, {"epsilon": 0.0}, {"ranking": "sign"}])
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CrossLipschitz(**{"k": 2, **wrong})


@pytest.mark.parametrize("norm", [2, "inf"])
def test_the_distance_is_in_the_units_of_the_threat_model(norm, net, x):
    """A network of inputs x = s u, of which some do not move, has the distances of u."""
    scale, frozen = torch.tensor([1.0, 2.0, 0.5, 3.0, 1.0], dtype=torch.float64), [1, 4]
    threat = ThreatModel(1e3, norm, scale=scale.numpy(), frozen=frozen)
    value = CrossLipschitz(2, 1, threat=threat)(ExplainedBatch(net, x, Gradient()))
    direction = ExplainedBatch(net, x, Gradient()).direction.abs()
    ranked = direction.sort(dim=1, descending=True).values
    gap = ranked[:, 1] - ranked[:, 2]
    (slope,) = torch.autograd.grad(gap.sum(), x)
    slope = slope * scale
    slope[:, frozen] = 0
    length = slope.norm(dim=1) if norm == 2 else slope.abs().sum(dim=1)
    torch.testing.assert_close(value, -gap.detach() / length)
