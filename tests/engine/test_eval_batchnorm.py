"""Batch normalization: the cross-entropy trains it, penalties see what it will be once the training is over."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from robustxai.explainers import Gradient, SmoothGrad
from robustxai.nets import MLP
from robustxai.penalties import (
    SSR,
    AttributionChange,
    CertifiedGap,
    CrossLipschitz,
    EstimatedHessian,
    ExactHessian,
    ExplainedBatch,
    IGNorm,
    InputAlignment,
    MapDiscrepancy,
    RankingGap,
    RelativeHessian,
    TangentDistillation,
)
from robustxai.training import LossAdversary


class Normalized(nn.Module):
    """Batch normalization between two layers, and a dropout that must stay as it is."""

    def __init__(self, activation=nn.Softplus):
        super().__init__()
        layers = [nn.Linear(5, 6), nn.BatchNorm1d(6), activation(), nn.Dropout(0.0), nn.Linear(6, 3)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x)


def make(activation=nn.Softplus):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Normalized(activation).double()
        for _ in range(3):
            net(2 * torch.randn(20, 5, dtype=torch.float64) + 1)  # running statistics are not those of a batch below
    return net


@pytest.fixture
def y():
    return torch.tensor([0, 1, 2, 0, 1, 2, 0])


def statistics(net):
    return {name: value.clone() for name, value in net.named_buffers()}


def loss_of(net, x, y, *penalties, explainer=None):
    batch = ExplainedBatch(net, x, explainer or Gradient(), y=y)
    loss = F.cross_entropy(batch.logits, y)
    for penalty in penalties:
        loss = loss + penalty(batch).mean()
    return loss


PENALTIES = {
    "gap": RankingGap(2),
    "estimated": EstimatedHessian(),
    "exact": ExactHessian(),
    "relative": RelativeHessian(),
    "cross-Lipschitz": CrossLipschitz(2),
    "SSR": SSR("power"),
    "IG": IGNorm("sum_norm"),
    "change": AttributionChange(maximize="sum"),
    "alignment": InputAlignment(2),
    "maps": MapDiscrepancy(),
    "certified": CertifiedGap(2, 0.1),
    "tangent": TangentDistillation(make().eval()),
    "tangent, reference": TangentDistillation(make().eval(), variant="reference"),
    "adversary": lambda batch: F.cross_entropy(batch.module(LossAdversary(0.1)(batch)), batch.y, reduction="none"),
}


@pytest.mark.parametrize("name", PENALTIES)
def test_penalties_leave_the_running_statistics_alone(name, x, y):
    plain, penalized = make(), make()
    loss_of(plain, x.detach(), y).backward()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        loss_of(penalized, x, y, PENALTIES[name]).backward()
    for buffer, value in statistics(penalized).items():
        assert torch.equal(value, statistics(plain)[buffer])
    assert all(module.training for module in penalized.modules())
    weights = [p.grad for p in penalized.parameters()]
    assert any(not torch.equal(g, p.grad) for g, p in zip(weights, plain.parameters()))


@pytest.mark.parametrize("explainer", [Gradient(), Gradient("logit"), SmoothGrad(4, 0.1)])
def test_attributions_are_those_of_the_evaluation_mode(explainer, x, y):
    net = make()
    later = copy.deepcopy(net).eval()
    batch = ExplainedBatch(net, x, explainer)
    target = later(x).argmax(dim=1)
    assert torch.equal(batch.target, target)
    there = x.detach() + 0.3
    assert torch.equal(batch.attribution, explainer(later, x, target))
    assert torch.equal(batch.attribution_at(there), explainer(later, there, target))
    up_to_scale = getattr(explainer, "up_to_scale", explainer)
    elsewhere = SimpleNamespace(point=lambda batch: there)
    assert torch.equal(batch.direction_of(elsewhere), up_to_scale(later, there, target))
    assert torch.equal(batch.direction, up_to_scale(later, x, target))
    assert torch.equal(batch.explained_logits, later(x))


def test_rows_do_not_see_each_other(x, y):
    net = make()
    whole = ExplainedBatch(net, x, Gradient())
    part = ExplainedBatch(net, x[:2].detach().requires_grad_(), Gradient())
    torch.testing.assert_close(part.attribution, whole.attribution[:2])
    (reach,) = torch.autograd.grad(whole.attribution[0].sum(), x, retain_graph=True)
    assert reach[0].any()
    assert not reach[1:].any()
    (reach,) = torch.autograd.grad(whole.logits[0].sum(), x)
    assert reach[1:].any()  # those of the cross-entropy do, or this test has shown nothing


def test_the_closed_hessian_is_that_of_the_evaluation_mode(x, y):
    net = make(nn.ReLU)
    later = copy.deepcopy(net).eval()
    for penalty in (SSR("closed"), SSR("auto")):
        value = penalty(ExplainedBatch(net, x, Gradient(), y=y))
        torch.testing.assert_close(value, penalty(ExplainedBatch(later, x, Gradient(), y=y)))


def test_the_cross_entropy_is_that_of_the_training_mode(x, y):
    net, by_hand = make(), make()
    batch = ExplainedBatch(net, x, Gradient())
    assert torch.equal(batch.attribution, batch.attribution)  # before the logits: the order must not count
    assert torch.equal(batch.logits, by_hand(x))
    assert not torch.equal(batch.logits, batch.explained_logits)
    for buffer, value in statistics(net).items():
        assert torch.equal(value, statistics(by_hand)[buffer])


def test_two_passes_where_batches_have_statistics_and_one_where_they_have_none(x, y):
    table = MLP(5, 3, (6,)).double()
    unnormalized, evaluated, normalized = table, make().eval(), make()
    frozen = nn.BatchNorm1d(3, track_running_stats=False).double()  # has no other mode to be in
    for net, n_passes in ((unnormalized, 1), (evaluated, 1), (normalized, 2), (nn.Sequential(table, frozen), 1)):
        seen = []
        handle = net.register_forward_hook(lambda module, inputs, output, seen=seen: seen.append(len(output)))
        batch = ExplainedBatch(net, x, Gradient())
        (F.cross_entropy(batch.logits, y) + RankingGap(2)(batch).mean()).backward()
        handle.remove()
        assert seen == [7] * n_passes
        assert (batch.module is net) == (n_passes == 1)
        assert (batch.explained_logits is batch.logits) == (n_passes == 1)


def test_the_mode_comes_back_after_an_error():
    net = make()
    batch = ExplainedBatch(net, torch.ones(3, 4, dtype=torch.float64), Gradient())
    with pytest.raises(RuntimeError, match="shapes"):
        batch.explained_logits  # noqa: B018
    assert all(module.training for module in net.modules())
