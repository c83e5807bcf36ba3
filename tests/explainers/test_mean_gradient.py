import pytest
import torch

from robustxai.explainers import Gradient, IntegratedGradients, SmoothGrad
from robustxai.explainers._mean_gradient import mean_gradient


class Recorder(torch.nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net, self.sizes = net, []

    def forward(self, x):
        self.sizes.append(x.shape[:-1].numel())
        return self.net(x)


@pytest.fixture
def points():
    generator = torch.Generator().manual_seed(7)
    scale = torch.rand(5, dtype=torch.float64, generator=generator)
    return scale, torch.randn(5, 4, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("size", [None, 1, 2, 4, 7, 9, 10, 20, 45, 1000])
@pytest.mark.parametrize("create_graph", [False, True])
def test_equals_the_loop_at_any_bound(size, create_graph, net, x, target, points):
    recorder, inputs = Recorder(net), x.clone().requires_grad_()
    options = {"create_graph": create_graph, "internal_batch_size": size}
    with torch.set_grad_enabled(create_graph):
        value = mean_gradient(Gradient(), recorder, inputs, target, *points, **options).multiplied_out()
    expected = torch.zeros_like(x)
    for b in range(9):
        for scale, shift in zip(*points):
            point = (x[b] * scale + shift)[None].requires_grad_()
            p = net(point).softmax(dim=1)[0, target[b]]
            expected[b] += torch.autograd.grad(p, point)[0][0] / 5
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-15)
    assert sum(recorder.sizes) == 45
    assert max(recorder.sizes) <= (size or 45)
    assert value.requires_grad is create_graph


@pytest.mark.parametrize("kind", [SmoothGrad, IntegratedGradients])
@pytest.mark.parametrize("size", [1, 5, 13])
def test_the_bound_does_not_change_derivatives(kind, size, net, x, target):
    slopes = []
    for bound in (None, size):
        inputs = x.clone().requires_grad_()
        value = kind(6, internal_batch_size=bound)(net, inputs, target, create_graph=True)
        slopes.append(torch.autograd.grad(value.square().sum(), [inputs, *net.parameters()], allow_unused=True))
    for one, other in zip(*slopes):
        assert (one is None) == (other is None)  # the last bias shifts a logit and has no part in its gradient
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-13)


def test_no_rows_give_no_attributions(net):
    none, classes = torch.zeros(0, 4, dtype=torch.float64), torch.zeros(0, dtype=torch.long)
    for explainer in (SmoothGrad(), SmoothGrad(internal_batch_size=3), IntegratedGradients()):
        assert explainer(net, none, classes).shape == (0, 4)


def test_a_single_sample_without_a_batch_axis_is_refused(net):
    with pytest.raises(ValueError, match=r"pass x\[None\]"):
        SmoothGrad()(net, torch.zeros(4, dtype=torch.float64), torch.tensor(0))


@pytest.mark.parametrize("kind", [SmoothGrad, IntegratedGradients])
@pytest.mark.parametrize("wrong", [0, -1])
def test_the_bound_is_a_positive_number(kind, wrong):
    with pytest.raises(ValueError, match="internal_batch_size"):
        kind(internal_batch_size=wrong)
