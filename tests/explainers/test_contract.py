"""What every explainer of the library keeps, whatever it computes."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn
from torch.autograd.functional import jacobian

from robustxai import SoftplusClassifier
from robustxai.attacks import ERAttack
from robustxai.explainers import (
    EXPLAINERS,
    AutoGradient,
    CenteredGradient,
    ColumnContributions,
    Gradient,
    GradientTimesInput,
    IntegratedGradients,
    RelativeImportance,
    SmoothGrad,
    SwitchEffects,
)

from .conftest import make_net

ALL = [
    AutoGradient(),
    Gradient(),
    GradientTimesInput("logit"),
    IntegratedGradients(5, baseline=[0.1, -0.3, 0.2, 0.0]),
    IntegratedGradients(4, output="cross_entropy", internal_batch_size=7),
    SmoothGrad(3, 0.4),
    SmoothGrad(3, 0.4, output="log_odds", internal_batch_size=2),
    RelativeImportance(),
    RelativeImportance(SmoothGrad(3)),
    CenteredGradient("probability", [[0], [1, 2, 3]], [1, 0.2, 0.5, 0.3]),
    SwitchEffects(groups=[[0], [1], [2], [3]]),
    ColumnContributions(n_points=3, baseline=[0.1, -0.3, 0.2, 0.0], groups=[[2], [0], [3], [1]]),
    ColumnContributions("gradient_times_input", "probability", baseline=0.5 * np.ones(4), groups=[[0], [1], [2], [3]]),
]
EACH = pytest.mark.parametrize("explainer", ALL, ids=repr)


@EACH
def test_shape_type_and_no_graph_unless_asked(explainer, net, x, target):
    value = explainer(net, x, target)
    assert value.shape == x.shape
    assert value.dtype == x.dtype
    assert not value.requires_grad
    assert not x.requires_grad
    assert explainer(copy.deepcopy(net).float(), x.float(), target).dtype == torch.float32
    with torch.no_grad():
        assert torch.equal(explainer(net, x, target), value)
        inputs = x.clone().requires_grad_()
        assert explainer(net, inputs, target, create_graph=True).requires_grad
    assert all(p.grad is None for p in net.parameters())


@EACH
def test_rows_do_not_see_each_other(explainer, net, x, target):
    value = explainer(net, x, target)
    alone = torch.cat([explainer(net, row[None], c[None]) for row, c in zip(x, target)])
    torch.testing.assert_close(alone, value, rtol=1e-12, atol=1e-15)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(explainer(net, x[order], target[order]), value[order], rtol=1e-12, atol=1e-15)


@EACH
def test_given_logits_change_nothing_and_keep_their_graph(explainer, net, x, target):
    inputs = x.clone().requires_grad_()
    logits = net(inputs)
    value = explainer(net, inputs, target, logits=logits, create_graph=True)
    torch.testing.assert_close(value, explainer(net, x, target), rtol=1e-12, atol=0, check_stride=False)
    explainer(net, inputs, target, logits=logits)
    (value.sum() + logits.sum()).backward()
    assert inputs.grad is not None


@EACH
def test_derivatives_in_x_and_in_the_weights(explainer, net, x, target):
    """Against central differences of the explainer's own value, whose error is O(step^2)."""
    weights, step = next(net.parameters()), 1e-5
    mix = torch.randn(9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))

    def value(inputs, create_graph=False):
        return (mix * explainer(net, inputs, target, create_graph=create_graph)).sum()

    inputs = x.clone().requires_grad_()
    slopes = torch.autograd.grad(value(inputs, create_graph=True), [inputs, weights])
    for tensor, slope in zip((x, weights), slopes):
        flat, slope = tensor.data.view(-1), slope.reshape(-1)
        for i in range(0, len(flat), 5):
            kept = flat[i].item()
            flat[i] = kept + step
            above = value(x)
            flat[i] = kept - step
            difference = (above - value(x)) / (2 * step)
            flat[i] = kept
            assert abs(difference - slope[i]) < 1e-6 * (1 + abs(slope[i]))


@EACH
def test_second_derivative_equals_the_jacobian_of_the_explanation(explainer, net, x):
    inputs, c = x[:1].clone().requires_grad_(), torch.tensor([1])
    value = explainer(net, inputs, c, create_graph=True)[0]
    rows = torch.stack([torch.autograd.grad(v, inputs, retain_graph=True)[0][0] for v in value])
    expected = jacobian(lambda p: explainer(net, p[None], c, create_graph=True)[0], x[0])
    torch.testing.assert_close(rows, expected, rtol=1e-9, atol=1e-12)


@EACH
def test_stacks_and_images(explainer):
    net = make_net()
    rows = torch.randn(2, 9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    classes = torch.arange(18).reshape(2, 9) % 3
    flat = explainer(net, rows.reshape(18, 4), classes.reshape(18))
    torch.testing.assert_close(explainer(net, rows, classes).reshape(18, 4), flat, rtol=1e-10, atol=1e-15)
    if np.ndim(getattr(explainer, "baseline", 0.0)) or hasattr(explainer, "groups"):  # of a table
        return
    with torch.random.fork_rng():
        torch.manual_seed(0)
        conv = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Softplus(), nn.Flatten(), nn.Linear(27, 3)).double()
        images = torch.randn(5, 2, 4, 4).double()
    value = explainer(conv, images, torch.arange(5) % 3)
    alone = torch.cat([explainer(conv, image[None], torch.tensor([i % 3])) for i, image in enumerate(images)])
    torch.testing.assert_close(value, alone, rtol=1e-10, atol=1e-14)


class Stacked(nn.Module):
    """Two models in one, told apart by the first axis of what they read."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = nn.Parameter(torch.randn(2, 4, 6, dtype=torch.float64, generator=generator))
        self.last = nn.Parameter(torch.randn(2, 6, 3, dtype=torch.float64, generator=generator))

    def forward(self, x):
        return torch.tanh(x @ self.first) @ self.last

    def one(self, g):
        return lambda x: torch.tanh(x @ self.first[g]) @ self.last[g]


@EACH
def test_each_model_of_a_stack_explains_its_own_rows(explainer):
    stacked = Stacked()
    rows = torch.randn(2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    classes = torch.arange(10).reshape(2, 5) % 3
    value = explainer(stacked, rows, classes)
    for g in range(2):
        alone = explainer(stacked.one(g), rows[g], classes[g])
        torch.testing.assert_close(value[g], alone, rtol=1e-10, atol=1e-15)


@EACH
def test_values_pickle_clone_and_compare(explainer):
    again = pickle.loads(pickle.dumps(explainer))
    assert again == explainer == copy.deepcopy(explainer)
    assert hash(again) == hash(explainer)
    assert len({repr(e) for e in ALL}) == len(set(ALL)) == len(ALL)
    assert clone(SoftplusClassifier(explainer=explainer)).explainer == explainer
    with pytest.raises(AttributeError):
        explainer.output = "logit"


def test_the_registry_holds_one_of_each_kind():
    assert {type(e) for e in EXPLAINERS.values()} == {type(e) for e in ALL}


@pytest.mark.parametrize(
    "explainer", [SmoothGrad(4, 0.3), "integrated_gradients", "gradient_times_input", "relative_importance"], ids=str
)
def test_a_classifier_explains_with_it_and_an_attack_sees_through_it(explainer):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 6)).astype(np.float32)
    y = (np.tanh(2 * X[:, 0]) * X[:, 1] + X[:, 2] > 0).astype(int)
    clf = SoftplusClassifier(explainer=explainer, max_epochs=200, lr=0.02, random_state=0).fit(X, y)
    value = clf.explain(X)
    assert value.shape == X.shape
    np.testing.assert_array_equal(value, clf.explain(X))
    result = ERAttack(clf, k=2, max_iter=15).run(X[:40])
    assert result.precision_at_k.mean() < 1
