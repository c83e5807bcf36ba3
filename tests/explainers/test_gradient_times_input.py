import pytest
import torch

from robustxai.explainers import Gradient, GradientTimesInput

from .conftest import Linear

OUTPUTS = ["probability", "log_odds", "logit", "cross_entropy"]


@pytest.mark.parametrize("output", OUTPUTS)
def test_equals_the_product(output, net, x, target):
    torch.testing.assert_close(GradientTimesInput(output)(net, x, target), x * Gradient(output)(net, x, target))


def test_a_linear_model_splits_its_logit(x):
    weight = torch.tensor([1.0, -2.0, 0.5, 0.0]).double()
    value = GradientTimesInput("logit")(Linear(weight), x, torch.ones(9, dtype=torch.long))
    torch.testing.assert_close(value.sum(dim=1), x @ weight)


@pytest.mark.parametrize("output", OUTPUTS)
def test_up_to_scale_differs_by_a_positive_factor_per_sample(output, net, x, target):
    explainer = GradientTimesInput(output)
    factor = explainer.up_to_scale(net, x, target) / explainer(net, x, target)
    assert (factor > 0).all()
    torch.testing.assert_close(factor, factor[:, :1].expand_as(factor), rtol=1e-9, atol=0)


def test_an_unknown_output_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'logit'"):
        GradientTimesInput("logits")
