"""The case that decides which differentiation an objective takes."""

import pytest
from torch import nn

from robustxai.engine import Autograd, BasePenalty, MLPPasses, choose_differentiation, lookahead_of
from robustxai.explainers import Gradient, GradientTimesInput, IntegratedGradients
from robustxai.nets import MLP, ConvNet
from robustxai.penalties import EstimatedHessian, ExactHessian, RankingGap, RelativeHessian


class OwnMLP(MLP):
    """Declares nothing."""


class OwnGap(RankingGap):
    """Declares nothing."""


class OwnGradient(Gradient):
    """Declares nothing."""


class Declared(BasePenalty):
    differentiates_inputs = False

    def __call__(self, batch):
        return batch.attribution.square().sum(dim=-1)


def a_function(batch):
    return batch.logits.sum(dim=-1)


WRITTEN_OUT = {
    "gap": (MLP(5, 2), [RankingGap(2)], Gradient()),
    "two penalties": (MLP(5, 2), [RankingGap(2), RelativeHessian()], Gradient("log_odds")),
    "a second point from the attribution": (MLP(5, 2), [EstimatedHessian()], Gradient()),
    "a user's penalty that declares it": (MLP(5, 2, activation="relu"), [Declared()], Gradient()),
}
BY_AUTOGRAD = {
    "no penalties": (MLP(5, 2), [], Gradient()),
    "a penalty that differentiates inputs": (MLP(5, 2), [RankingGap(2), ExactHessian()], Gradient()),
    "a function": (MLP(5, 2), [a_function], Gradient()),
    "a subclass of a penalty": (MLP(5, 2), [OwnGap(2)], Gradient()),
    "a subclass of an explainer": (MLP(5, 2), [RankingGap(2)], OwnGradient()),
    "an explainer of several gradients": (MLP(5, 2), [RankingGap(2)], IntegratedGradients()),
    "an explainer that multiplies by the inputs": (MLP(5, 2), [RankingGap(2)], GradientTimesInput()),
    "a subclass of a network": (OwnMLP(5, 2), [RankingGap(2)], Gradient()),
    "another network": (ConvNet((1, 8, 8), 2), [RankingGap(2)], Gradient()),
    "an activation without a record": (MLP(5, 2, activation=nn.Hardswish), [RankingGap(2)], Gradient()),
    "no hidden layer": (MLP(5, 2, hidden=()), [RankingGap(2)], Gradient()),
}


@pytest.mark.parametrize("case", WRITTEN_OUT)
def test_passes_are_written_out(case):
    assert isinstance(choose_differentiation(*WRITTEN_OUT[case]), MLPPasses)
    assert isinstance(choose_differentiation(*WRITTEN_OUT[case], written_out=False), Autograd)


@pytest.mark.parametrize("case", BY_AUTOGRAD)
def test_everything_else_is_differentiated_by_autograd(case):
    network = BY_AUTOGRAD[case][0]
    chosen = choose_differentiation(*BY_AUTOGRAD[case])
    assert isinstance(chosen, Autograd)
    assert chosen.network is network


def test_penalties_with_a_point_are_looked_ahead():
    gap, hessian = RankingGap(2), RelativeHessian()
    assert lookahead_of([gap, hessian]) == [hessian]
