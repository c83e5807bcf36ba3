import copy

import pytest
import torch
from torch import nn

from robustxai.bounds import Ball, bound_attribution, pair_bounds, read_network
from robustxai.explainers import Gradient, SmoothGrad
from robustxai.nets import MLP
from robustxai.penalties import CertifiedGap, ExplainedBatch
from robustxai.ranking import unit_scores

from .conftest import make_net, weight_gradient

EXPLAINERS = [Gradient(), Gradient("logit"), Gradient("cross_entropy")]


def gradient_of_log_odds(module, row, c):
    """Of class c, in the units of the bounds: for C > 2 classes times (1 - p_c) / p_c."""
    row = row.clone().requires_grad_()
    z = module(row[None])[0]
    others = torch.cat([z[:c], z[c + 1 :]])
    factor = (others - z[c]).exp().sum().detach() if len(others) > 1 else 1.0
    (slope,) = torch.autograd.grad((z[c] - others.logsumexp(0)) * factor, row)
    return slope


def naive(module, x, k, n_pairs, ranking, norm, epsilon, margin):
    """One sample and one pair after the other, by the certificate's own reading of the network, in float64."""
    network = read_network(module, x.shape[1:])
    values = []
    for row in x.detach().double():
        c = module(row[None].to(x))[0].argmax().item()
        slope = gradient_of_log_odds(copy.deepcopy(module).double(), row, c)
        score = slope.abs() if ranking == "magnitude" else slope
        order = score.argsort(descending=True)
        ball = Ball(torch.tensor([[epsilon]], dtype=torch.float64), str(norm), x.shape[1])
        axes = torch.ones(x.shape[1]).double()
        terms = bound_attribution(network, Gradient(), row[None], torch.tensor([c]), axes, ball, "affine")
        losses = []
        for r in order[k - n_pairs : k]:
            for a in order[k : k + n_pairs]:
                bound = pair_bounds(terms, r[None, None], a[None, None], slope.sign()[None], ranking).squeeze()
                losses.append((margin - bound / slope.abs().mean()).clamp_min(0))
        values.append(torch.stack(losses).mean() if slope.any() else torch.tensor(0.0).double())  # dead ReLUs
    return torch.stack(values)


@pytest.mark.parametrize("ranking", ["magnitude", "signed"])
@pytest.mark.parametrize("norm", [2, "inf"])
@pytest.mark.parametrize("activation", ["softplus", "tanh", "sigmoid", "relu"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_the_value_is_that_of_the_certificate(dtype, tolerance, activation, norm, ranking, x):
    for n_classes in (2, 3):
        module = make_net(n_classes, activation=activation).to(dtype)
        value = CertifiedGap(2, 0.1, 2, ranking, norm, 0.5)(ExplainedBatch(module, x.to(dtype), Gradient()))
        expected = naive(module, x.to(dtype), 2, 2, ranking, norm, 0.1, 0.5)
        torch.testing.assert_close(value.double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("explainer", EXPLAINERS, ids=lambda e: e.output)
@pytest.mark.parametrize("activation", ["softplus", "tanh"])
@pytest.mark.parametrize("skip", [False, True])
def test_the_weight_gradient_is_that_of_finite_differences(skip, activation, explainer, x):
    module = make_net(3, activation=activation, skip=skip)
    penalty = CertifiedGap(2, 0.2, 2, margin=2.0)
    gradient = weight_gradient(penalty(ExplainedBatch(module, x, explainer)), module)
    weights = nn.utils.parameters_to_vector(module.parameters()).detach()
    direction = torch.randn(len(weights), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values = []
    for step in (1e-6, -1e-6):
        nn.utils.vector_to_parameters(weights + step * direction, module.parameters())
        values.append(penalty(ExplainedBatch(module, x, explainer)).mean().item())
    assert (values[0] - values[1]) / 2e-6 == pytest.approx(float(gradient @ direction), rel=1e-4, abs=1e-6)


def test_float32_has_the_gradient_of_float64(x):
    module = make_net(3)
    penalty = CertifiedGap(2, 0.2, 2, margin=1.0)
    exact = weight_gradient(penalty(ExplainedBatch(module, x, Gradient())), module)
    single = copy.deepcopy(module).float()
    rough = weight_gradient(penalty(ExplainedBatch(single, x.float(), Gradient())), single).double()
    torch.testing.assert_close(rough, exact, rtol=1e-3, atol=1e-3 * float(exact.abs().max()))


@pytest.mark.parametrize("norm", [2, "inf"])
def test_no_point_of_the_ball_is_below_the_bound(norm, x):
    """With one pair and no hinge in the way the penalty is minus the bound, in mean magnitudes at x."""
    module, epsilon, margin = make_net(2), 0.15, 100.0
    value = CertifiedGap(2, epsilon, 1, norm=norm, margin=margin)(ExplainedBatch(module, x, Gradient()))
    generator = torch.Generator().manual_seed(0)
    for row, loss in zip(x.detach(), value.detach()):
        c = module(row[None])[0].argmax().item()
        here = gradient_of_log_odds(module, row, c)
        r, a = here.abs().argsort(descending=True)[1:3]
        noise = torch.randn(200, len(row), generator=generator, dtype=torch.float64)
        noise = noise / noise.norm(dim=1, keepdim=True) if norm == 2 else noise.sign()
        there = torch.stack([gradient_of_log_odds(module, row + epsilon * n, c) for n in noise]).abs()
        assert ((there[:, r] - there[:, a]) / here.abs().mean()).min() >= margin - loss - 1e-9


def test_a_linear_model_has_its_own_gap_at_every_radius(x):
    module = nn.Linear(5, 2).double()
    gaps = (module.weight[0] - module.weight[1]).abs().sort(descending=True).values
    gap = (gaps[1] - gaps[2]) / gaps.mean()
    for epsilon in (0.0, 1.0, 100.0):
        value = CertifiedGap(2, epsilon, 1, margin=3.0)(ExplainedBatch(module, x, Gradient()))
        torch.testing.assert_close(value, (3.0 - gap).expand(7))


def test_the_radius_grows_with_the_training(x):
    module = make_net(2)
    penalty = CertifiedGap(2, 0.2, margin=1.0, ramp=0.5)
    assert [penalty.epsilon_at(p) for p in (0.0, 0.25, 0.5, 1.0)] == [0.0, 0.1, 0.2, 0.2]
    assert CertifiedGap(2, 0.2, ramp=0.0).epsilon_at(0.0) == 0.2
    values = [penalty(ExplainedBatch(module, x, Gradient(), progress=p)).mean() for p in (0.0, 0.25, 0.5, 1.0)]
    assert values[0] < values[1] < values[2] == values[3]
    for value in values:
        assert weight_gradient(value, module).isfinite().all()


def test_the_first_rows_alone(x):
    module = make_net(3)
    batch = ExplainedBatch(module, x, Gradient())
    torch.testing.assert_close(CertifiedGap(2, n_rows=3)(batch), CertifiedGap(2)(batch)[:3])
    assert len(CertifiedGap(2, n_rows=99)(batch)) == len(x)


def test_statistics_and_dropout_are_those_of_evaluation(x):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Softplus(), nn.Linear(6, 2)).double()
    module(x)
    module.eval()
    batch = ExplainedBatch(module, x, Gradient())
    expected = CertifiedGap(2)(batch)
    module.train()
    state = copy.deepcopy(module.state_dict())
    torch.testing.assert_close(CertifiedGap(2)(batch), expected)
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in state.items())


def test_an_averaging_explainer(x):
    value = CertifiedGap(2, margin=1.0)(ExplainedBatch(make_net(2), x, SmoothGrad(n_draws=3)))
    assert value.shape == (7,)
    assert value.isfinite().all()


def test_a_single_unit_has_no_pair():
    module, x = MLP(1, 2, (4,)), torch.randn(3, 1).requires_grad_()
    assert CertifiedGap(1)(ExplainedBatch(module, x, Gradient())).tolist() == [0, 0, 0]


@pytest.mark.parametrize("ranking", ["magnitude", "signed"])
def test_channels_are_summed_as_the_ranking_sums_them(ranking, image_net, images):
    batch = ExplainedBatch(image_net, images, Gradient("logit"))
    attribution = batch.attribution.detach()
    scale = attribution.abs().mean(dim=(1, 2, 3))
    scores = unit_scores(attribution, ranking).sort(dim=1, descending=True).values
    gaps = (scores[:, 1:3, None] - scores[:, None, 3:5]) / scale[:, None, None]
    value = CertifiedGap(3, 0.0, 2, ranking, margin=2.0)(batch)  # at radius 0 the bounds are the gaps
    torch.testing.assert_close(value.detach(), (2.0 - gaps).clamp_min(0).mean(dim=(1, 2)))
    assert (CertifiedGap(3, 0.1, 2, ranking, margin=2.0, ramp=0.0)(batch) > value).all()


def test_what_cannot_be_bounded_is_named(x, stack):
    module = nn.Sequential(nn.Linear(5, 4), nn.GELU(), nn.Linear(4, 2)).double()
    with pytest.raises(NotImplementedError, match="GELU"):
        CertifiedGap(2)(ExplainedBatch(module, x, Gradient()))
    with pytest.raises(NotImplementedError, match="explainer"):
        CertifiedGap(2)(ExplainedBatch(make_net(2), x, lambda module, x, target, **_: x))
    with pytest.raises(NotImplementedError, match="stacks"):
        CertifiedGap(2)(ExplainedBatch(stack[0], stack[2], Gradient()))


@pytest.mark.parametrize(
    "wrong", [{"k": 0}, {"epsilon": -1}, {"ranking": "x"}, {"norm": 1}, {"margin": -1}, {"ramp": -1}]
)
def test_parameters_out_of_range(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CertifiedGap(**{"k": 2, **wrong})


def test_pairs_of_several_channels_are_refused():
    net = nn.Sequential(nn.Flatten(), nn.Linear(2 * 3 * 4, 2)).double()
    x = torch.rand(4, 2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    with pytest.raises(NotImplementedError, match="pairs of one channel only"):
        CertifiedGap(2)(ExplainedBatch(net, x, Gradient()))
