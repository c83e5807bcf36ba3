import pytest
import torch

from robustxai.explainers import Gradient
from robustxai.penalties import EstimatedHessian, ExplainedBatch, RankingGap
from tests.penalties.conftest import probability_gradient


@pytest.fixture
def calls(net):
    """Numbers of rows of every forward pass of `net`."""
    seen = []
    net.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    return seen


def test_one_forward_serves_cross_entropy_and_gap(net, x, calls):
    batch = ExplainedBatch(net, x, Gradient())
    assert not calls
    loss = torch.nn.functional.cross_entropy(batch.logits, torch.zeros(7, dtype=torch.long))
    loss = loss + RankingGap(2)(batch).mean() + RankingGap(1, "minimal")(batch).mean()
    loss.backward()
    assert calls == [7]


def test_a_hessian_costs_one_more_forward(net, x, calls):
    batch = ExplainedBatch(net, x, Gradient())
    (RankingGap(2)(batch) + EstimatedHessian()(batch)).mean().backward()
    assert calls == [7, 7]


def test_contents_equal_the_loops(net, x):
    batch = ExplainedBatch(net, x, Gradient())
    other = x.detach() + 0.3
    for b in range(len(x)):
        logits = net(x[b])
        c = logits.tolist().index(max(logits.tolist()))
        assert batch.target[b] == c
        torch.testing.assert_close(batch.logits[b], logits)
        torch.testing.assert_close(batch.attribution[b], probability_gradient(net, x[b].detach(), c))
        torch.testing.assert_close(batch.attribution_at(other)[b], probability_gradient(net, other[b], c))
    assert batch.attribution.requires_grad
    assert batch.attribution_at(other).requires_grad
    assert batch.batch_ndim == 1


def test_a_given_target_is_explained(net, x):
    target = torch.tensor([0, 1, 0, 1, 0, 1, 0])
    batch = ExplainedBatch(net, x, Gradient(), target)
    assert torch.equal(batch.target, target)
    for b, c in enumerate(target.tolist()):
        torch.testing.assert_close(batch.attribution[b], probability_gradient(net, x[b].detach(), c))


def test_a_stack_is_its_members(stack):
    module, members, x = stack
    batch = ExplainedBatch(module, x, Gradient())
    assert batch.batch_ndim == 2
    for g, member in enumerate(members):
        alone = ExplainedBatch(member, x[g].detach().requires_grad_(), Gradient())
        torch.testing.assert_close(batch.logits[g], alone.logits)
        assert torch.equal(batch.target[g], alone.target)
        torch.testing.assert_close(batch.attribution[g], alone.attribution)
