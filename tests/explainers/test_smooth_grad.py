import pytest
import torch
from torch.autograd.functional import hessian, jacobian

from robustxai.explainers import Gradient, SmoothGrad

from .conftest import Linear


def draws(n_samples, seed, features=(4,)):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((n_samples, *features), generator=generator, dtype=torch.float64)


def test_equals_the_naive_mean(net, x, target):
    value = SmoothGrad(6, 0.3, random_state=5)(net, x, target)
    for b, c in enumerate(target):
        slopes = [jacobian(lambda p, c=c: net(p).softmax(-1)[c], x[b] + 0.3 * z) for z in draws(6, 5)]
        torch.testing.assert_close(value[b], torch.stack(slopes).mean(dim=0), rtol=1e-9, atol=1e-14)


def test_second_derivative_is_the_mean_hessian(net, x):
    inputs = x[:1].clone().requires_grad_()
    value = SmoothGrad(4, 0.3)(net, inputs, torch.tensor([2]), create_graph=True)[0]
    rows = torch.stack([torch.autograd.grad(v, inputs, retain_graph=True)[0][0] for v in value])
    expected = [hessian(lambda p: net(p).softmax(-1)[2], x[0] + 0.3 * z) for z in draws(4, 0)]
    torch.testing.assert_close(rows, torch.stack(expected).mean(dim=0), rtol=1e-8, atol=1e-13)


def test_closed_forms(quadratic, x):
    ones = torch.ones(9, dtype=torch.long)
    weight = torch.tensor([1.0, -2.0, 0.5, 0.0])
    torch.testing.assert_close(SmoothGrad(7, 3.0, "logit")(Linear(weight), x, ones), weight.double().expand(9, 4))
    center = 0.5 * draws(7, 2).mean(dim=0)
    expected = (x + center) @ quadratic.matrix + quadratic.offset
    torch.testing.assert_close(SmoothGrad(7, 0.5, "logit", random_state=2)(quadratic, x, ones), expected.detach())


def test_no_noise_is_the_gradient(net, x, target):
    torch.testing.assert_close(SmoothGrad(3, 0.0)(net, x, target), Gradient()(net, x, target), rtol=1e-12, atol=0)


def test_draws_are_fixed_by_the_seed_alone(net, x, target):
    before = torch.get_rng_state()
    value = SmoothGrad()(net, x, target)
    torch.manual_seed(1)
    assert torch.equal(SmoothGrad()(net, x, target), value)
    torch.set_rng_state(before)
    SmoothGrad()(net, x, target)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.allclose(SmoothGrad(random_state=1)(net, x, target), value)
    single = SmoothGrad()(net.float(), x.float(), target)  # the stream does not depend on the precision
    torch.testing.assert_close(single.double(), value, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"n_draws": 0}, ValueError),
        ({"n_draws": 2.5}, TypeError),
        ({"sigma": -1.0}, ValueError),
        ({"random_state": None}, TypeError),
    ],
)
def test_arguments_out_of_range_are_refused(wrong, error):
    with pytest.raises(error, match=next(iter(wrong))):
        SmoothGrad(**wrong)
    with pytest.raises(ValueError, match="Did you mean 'logit'"):
        SmoothGrad(output="logits")
