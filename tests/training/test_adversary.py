import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from robustxai.explainers import Gradient
from robustxai.nets import MLP
from robustxai.penalties import ExplainedBatch, RankingGap
from robustxai.ranking import top_k_mask
from robustxai.training import GapAdversary, LossAdversary


@pytest.fixture(params=[2, 3])
def batch(request):
    module = MLP(5, request.param, (6,))
    with torch.no_grad():
        for p in module.parameters():
            p.normal_()
    x = torch.randn(9, 5, requires_grad=True)
    return ExplainedBatch(module, x, Gradient(), y=torch.arange(9) % request.param)


def lengths(batch, points, norm):
    return torch.linalg.vector_norm(points - batch.x, ord=norm, dim=1)


@pytest.mark.parametrize("norm", [2, math.inf])
@pytest.mark.parametrize("max_iter", [1, 2, 5])
def test_both_stay_in_the_ball_and_touch_no_weight(norm, max_iter, batch):
    for adversary in (GapAdversary(2, 0.3, max_iter, norm), LossAdversary(0.3, max_iter, norm)):
        points = adversary(batch)
        assert not points.requires_grad
        assert (lengths(batch, points, norm) <= 0.3 * (1 + 1e-5)).all()
        assert all(p.grad is None for p in batch.module.parameters())
        assert torch.equal(adversary(batch), points)


def test_one_step_is_fgsm(batch):
    (slope,) = torch.autograd.grad(cross_entropy(batch.module(batch.x), batch.y, reduction="sum"), batch.x)
    torch.testing.assert_close(LossAdversary(0.2)(batch), (batch.x + 0.2 * slope.sign()).detach())
    unit = slope / slope.norm(dim=1, keepdim=True)
    torch.testing.assert_close(LossAdversary(0.2, norm=2)(batch), (batch.x + 0.2 * unit).detach())


def test_more_steps_find_a_higher_loss(batch):
    def loss(points):
        return cross_entropy(batch.module(points), batch.y).item()

    values = [loss(LossAdversary(0.5, n)(batch)) for n in (1, 10)]
    assert loss(batch.x) < values[0] <= values[1] * 1.001


@pytest.mark.parametrize("ranking", ["magnitude", "signed"])
def test_one_step_closes_the_gap_of_the_clean_top(ranking, batch):
    def gap(points):
        attribution = Gradient("log_odds")(batch.module, points, batch.target, create_graph=True)
        scores = attribution.abs() if ranking == "magnitude" else attribution
        scores = scores / scores.abs().mean(dim=1, keepdim=True)
        return (scores * top).sum(dim=1) / 2 - (scores * ~top).sum(dim=1) / 3

    clean = Gradient("log_odds")(batch.module, batch.x, batch.target)
    top = top_k_mask(clean.abs() if ranking == "magnitude" else clean, 2)
    torch.testing.assert_close(gap(batch.x), -RankingGap(2, ranking=ranking)(batch))
    (slope,) = torch.autograd.grad(gap(batch.x).sum(), batch.x)
    points = GapAdversary(2, 1e-3, ranking=ranking)(batch)
    torch.testing.assert_close(
        points, (batch.x - 1e-3 * slope / slope.norm(dim=1, keepdim=True)).detach(), rtol=1e-5, atol=1e-6
    )
    assert (gap(points) < gap(batch.x)).all()


def test_a_linear_network_is_left_alone():
    module = MLP(4, 2, ())
    batch = ExplainedBatch(module, torch.randn(3, 4, requires_grad=True), Gradient())
    assert torch.equal(GapAdversary(2)(batch), batch.x.detach())
    assert torch.equal(GapAdversary(9)(batch), batch.x.detach())  # k is clipped to 3


def test_a_single_feature():
    batch = ExplainedBatch(MLP(1, 2, (3,)), torch.randn(3, 1, requires_grad=True), Gradient())
    assert GapAdversary(1)(batch).isfinite().all()
