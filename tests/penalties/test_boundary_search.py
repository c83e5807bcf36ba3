"""The written-out search against the one by autograd, in float64."""

import pytest
import torch
from torch import nn

from robustxai.explainers import CenteredGradient, Gradient, GradientTimesInput
from robustxai.nets import MLP
from robustxai.penalties._boundary_search import _ByAutograd, _WrittenOut, boundary_search
from robustxai.ranking import top_k_mask

CENTERED = CenteredGradient(groups=[[0], [1, 2], [3, 4]], frequencies=[1.0, 0.3, 0.7, 0.9, 0.1])


def mlp(n_classes, activation="softplus", skip=True):
    with torch.random.fork_rng():
        torch.manual_seed(n_classes)
        net = MLP(5, n_classes, (7, 6), activation, beta=2.5, skip=skip).double()
        for parameter in net.parameters():
            parameter.data = torch.randn(parameter.shape, dtype=torch.float64)
    return net


@pytest.fixture
def x():
    return torch.randn(9, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("ranking", ["magnitude", "signed"])
@pytest.mark.parametrize("explainer", [Gradient(), Gradient("log_odds"), Gradient("logit"), CENTERED], ids=repr)
@pytest.mark.parametrize(("n_classes", "activation"), [(2, "softplus"), (3, "softplus"), (3, "tanh"), (2, "relu")])
def test_scores_gaps_and_slopes_are_those_of_autograd(n_classes, activation, explainer, ranking, x):
    net, target = mlp(n_classes, activation), torch.arange(9) % n_classes
    ours = boundary_search(net, explainer, x, target, ranking)
    theirs = _ByAutograd(net, explainer, target, ranking)
    assert isinstance(ours, _WrittenOut)
    assert torch.equal(ours.classes(x), theirs.classes(x))
    torch.testing.assert_close(ours.scores(x), theirs.scores(x))
    top = top_k_mask(theirs.scores(x), 2)
    there = x + 0.3
    for with_slope in (True, False):
        found, expected = (s.boundary(there, top, 2, with_slope=with_slope) for s in (ours, theirs))
        torch.testing.assert_close(found.relative, expected.relative)
        torch.testing.assert_close(found.slope, expected.slope)
    if activation != "relu":
        assert ours.boundary(there, top, 2, with_slope=True).slope.abs().min() > 0


def test_what_is_not_written_out_is_left_to_autograd(x):
    net, target = mlp(2), torch.zeros(9, dtype=torch.long)

    class Doubled(Gradient):
        """Another explanation."""

    others = [
        (net, GradientTimesInput()),
        (net, Doubled()),
        (net, Gradient("cross_entropy")),
        (nn.Linear(5, 2), Gradient()),
    ]
    for module, explainer in others:
        assert isinstance(boundary_search(module, explainer, x, target, "magnitude"), _ByAutograd)
