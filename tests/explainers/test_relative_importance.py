import pytest
import torch

from robustxai.explainers import Gradient, GradientTimesInput, RelativeImportance, SmoothGrad

from .conftest import Linear


@pytest.mark.parametrize("inner", [Gradient(), Gradient("cross_entropy"), GradientTimesInput(), SmoothGrad(3)], ids=str)
def test_equals_the_naive_share(inner, net, x, target):
    value = RelativeImportance(inner)(net, x, target)
    for share, row in zip(value, inner(net, x, target)):
        torch.testing.assert_close(share, row.abs() / sum(abs(v) for v in row), rtol=1e-9, atol=0)
    torch.testing.assert_close(value.sum(dim=1), torch.ones(9).double())


def test_a_confident_sample_keeps_its_shares(x):
    weight = torch.tensor([300.0, -200.0, 500.0, 0.0])
    module, far = Linear(weight).float(), torch.full((1, 4), 10.0)
    assert (Gradient()(module, far, torch.tensor([1])) == 0).all()  # p (1 - p) has underflowed
    value = RelativeImportance()(module, far, torch.tensor([1]))
    torch.testing.assert_close(value, (weight.abs() / 1000)[None])


def test_an_attribution_of_zero_has_no_shares_and_finite_derivatives(x):
    module, inputs = Linear(torch.zeros(4)), x.clone().requires_grad_()
    value = RelativeImportance()(module, inputs, torch.ones(9, dtype=torch.long), create_graph=True)
    assert (value == 0).all()
    (slope,) = torch.autograd.grad(value.sum(), module.weight)
    assert slope.isfinite().all()


def test_all_axes_of_a_sample_share(x):
    module = torch.nn.Sequential(torch.nn.Flatten(), Linear(torch.arange(16.0)))
    images = torch.randn(5, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    value = RelativeImportance(Gradient("logit"))(module, images, torch.ones(5, dtype=torch.long))
    torch.testing.assert_close(value, (torch.arange(16.0).double() / 120).reshape(1, 1, 4, 4).expand(5, 1, 4, 4))


def test_wraps_any_callable_and_nothing_else(net, x, target):
    def constant(module, x, target, *, logits=None, create_graph=False):
        return torch.ones_like(x)

    assert (RelativeImportance(constant)(net, x, target) == 0.25).all()
    with pytest.raises(TypeError, match="callable"):
        RelativeImportance("gradient")
