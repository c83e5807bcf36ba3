import copy

import pytest
import torch
from torch import nn
from torch.autograd.functional import hessian, jacobian

from robustxai.explainers import EXPLAINERS, Gradient
from robustxai.nets import MLP

VALUES = {
    "probability": lambda logits, c: logits.softmax(dim=-1)[..., c],
    "log_odds": lambda logits, c: logits.softmax(dim=-1)[..., c].logit(),
    "logit": lambda logits, c: logits[..., c],
    "cross_entropy": lambda logits, c: -logits.log_softmax(dim=-1)[..., c],
}
OUTPUTS = pytest.mark.parametrize("output", sorted(VALUES))
CLASSES = pytest.mark.parametrize("n_classes", [2, 3])


def make_net(n_classes):
    with torch.random.fork_rng():
        torch.manual_seed(n_classes)
        net = MLP(4, n_classes, (7,), beta=2.0).double()
        for p in net.parameters():
            nn.init.normal_(p)
    return net


@pytest.fixture
def x():
    return torch.randn(9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@OUTPUTS
@CLASSES
def test_equals_the_jacobian_of_the_softmax(output, n_classes, x):
    net = make_net(n_classes)
    for c in range(n_classes):
        target = torch.full((len(x),), c)
        expected = torch.stack([jacobian(lambda p, c=c: VALUES[output](net(p), c), row) for row in x])
        value = Gradient(output)(net, x, target)
        torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-14)
        assert not value.requires_grad


@OUTPUTS
@CLASSES
def test_equals_finite_differences(output, n_classes, x):
    net, step = make_net(n_classes), 1e-5
    target = torch.arange(len(x)) % n_classes
    attribution = Gradient(output)(net, x, target)
    with torch.no_grad():
        for b, c in enumerate(target.tolist()):
            for i in range(x.shape[1]):
                e = torch.zeros(4, dtype=torch.float64)
                e[i] = step
                slope = (VALUES[output](net(x[b] + e), c) - VALUES[output](net(x[b] - e), c)) / (2 * step)
                # error of a central difference: O(step^2), and rounding over the step
                assert abs(slope - attribution[b, i]) < 1e-7


@OUTPUTS
@CLASSES
def test_second_derivative_equals_the_hessian(output, n_classes, x):
    net = make_net(n_classes)
    for b, row in enumerate(x):
        c = b % n_classes
        inputs = row[None].clone().requires_grad_()
        attribution = Gradient(output)(net, inputs, torch.tensor([c]), create_graph=True)
        rows = [torch.autograd.grad(attribution[0, i], inputs, retain_graph=True)[0][0] for i in range(4)]
        expected = hessian(lambda p, c=c: VALUES[output](net(p), c), row)
        torch.testing.assert_close(torch.stack(rows), expected, rtol=1e-8, atol=1e-13)


@OUTPUTS
def test_given_logits_are_used_and_their_graph_is_kept(output, x):
    net, target = make_net(3), torch.arange(9) % 3
    inputs = x.clone().requires_grad_()
    logits = net(inputs)
    shared = Gradient(output)(net, inputs, target, logits=logits)
    assert torch.equal(shared, Gradient(output)(net, x, target))
    again = Gradient(output)(net, inputs, target, logits=logits)  # raises if the first call freed the graph
    assert torch.equal(again, shared)


def test_inputs_are_not_marked_and_no_grad_is_overruled(x):
    net = make_net(3)
    with torch.no_grad():
        value = Gradient()(net, x, torch.zeros(9, dtype=torch.long))
    assert not x.requires_grad
    assert all(p.grad is None for p in net.parameters())
    assert torch.equal(value, Gradient()(net, x, torch.zeros(9, dtype=torch.long)))


class Saturated(nn.Module):
    """Logits with the given log-odds of the last class, whose gradient in x is that of a small net."""

    def __init__(self, margin, n_classes):
        super().__init__()
        self.net = make_net(n_classes)
        self.offset = torch.zeros(n_classes, dtype=torch.float64)
        self.offset[-1] = margin

    def forward(self, x):
        logits = self.net(x)
        return logits - logits.detach() + self.offset.to(x)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("margin", [30.0, 80.0])
@CLASSES
def test_saturated_logits_keep_their_ranking_in_float32(margin, sign, n_classes, x):
    module = Saturated(sign * margin, n_classes)
    target = torch.full((len(x),), n_classes - 1)
    exact = Gradient()(module, x, target)
    value = Gradient()(copy.deepcopy(module).float(), x.float(), target)
    assert torch.equal(value.argsort(dim=1), exact.argsort(dim=1))
    torch.testing.assert_close(value.double(), exact, rtol=1e-4, atol=0)
    if sign > 0:  # a plain softmax rounds to 1 and loses what the explained class's own logit contributes
        inputs = x.float().requires_grad_()
        plain = copy.deepcopy(module).float()(inputs).softmax(dim=1)[:, -1].sum()
        plain = torch.autograd.grad(plain, inputs)[0]
        assert not torch.equal(plain.argsort(dim=1), exact.argsort(dim=1))


@CLASSES
def test_cross_entropy_ranks_magnitudes_as_the_probability_does(n_classes, x):
    net, target = make_net(n_classes), torch.arange(9) % n_classes
    p = net(x).softmax(dim=1).gather(1, target[:, None]).detach()
    torch.testing.assert_close(Gradient("cross_entropy")(net, x, target), -Gradient()(net, x, target) / p)


def test_images_and_stacks_keep_their_shape():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Softplus(), nn.Flatten(), nn.Linear(27, 3)).double()
        images, rows = torch.randn(5, 2, 4, 4).double(), torch.randn(2, 9, 4).double()
    target = torch.arange(5) % 3
    value = Gradient()(net, images, target)
    for b in range(5):
        expected = jacobian(lambda p, b=b: net(p[None]).softmax(dim=1)[0, target[b]], images[b])
        torch.testing.assert_close(value[b], expected, rtol=1e-9, atol=1e-14)
    table, classes = make_net(3), torch.arange(18).reshape(2, 9) % 3
    stacked = Gradient()(table, rows, classes)
    flat = Gradient()(table, rows.reshape(18, 4), classes.reshape(18))
    torch.testing.assert_close(stacked.reshape(18, 4), flat, rtol=1e-12, atol=0)


def test_names_stand_for_outputs(x):
    net, target = make_net(3), torch.arange(9) % 3
    names = {
        "auto": "probability",
        "gradient": "probability",
        "log_odds_gradient": "log_odds",
        "logit_gradient": "logit",
        "cross_entropy_gradient": "cross_entropy",
    }
    for name, output in names.items():
        assert torch.equal(EXPLAINERS[name](net, x, target), Gradient(output)(net, x, target))
    assert {name for name, explainer in EXPLAINERS.items() if isinstance(explainer, Gradient)} == set(names)
    with pytest.raises(ValueError, match="Did you mean 'logit'"):
        Gradient("logits")


@OUTPUTS
@CLASSES
def test_up_to_scale_differs_by_a_positive_factor_per_sample(output, n_classes, x):
    net, target = make_net(n_classes), torch.arange(9) % n_classes
    explainer = Gradient(output)
    factor = explainer.up_to_scale(net, x, target) / explainer(net, x, target)
    assert (factor > 0).all()
    torch.testing.assert_close(factor, factor[:, :1].expand_as(factor), rtol=1e-9, atol=0)
