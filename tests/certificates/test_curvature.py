import itertools

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from torch import nn
from torch.autograd.functional import hessian

from robustxai import VanillaClassifier
from robustxai.certificates import curvature_bound
from robustxai.explainers import Gradient
from robustxai.metrics import relaxed_thickness, thickness_bounds
from robustxai.nets import MLP


@pytest.fixture
def make_classifier():
    """A classifier whose weights are drawn, in float64."""

    def make(n_classes=2, n_features=4, explainer="gradient", seed=0, scale=1.0, **module):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(40, n_features))
        options = {f"module__{name}": value for name, value in module.items()}
        clf = VanillaClassifier(max_epochs=1, explainer=explainer, **options).fit(X, np.arange(40) % n_classes)
        clf.module_.double()
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for p in clf.module_.parameters():
                p.copy_(scale * torch.randn(p.shape, generator=generator, dtype=torch.float64))
        return clf

    return make


def hessians(score, points):
    """Hessians of `score`, (n,), of each of the points by itself, (n, d, d)."""
    points = points.clone().requires_grad_()
    (slope,) = torch.autograd.grad(score(points).sum(), points, create_graph=True)
    rows = [torch.autograd.grad(slope[:, i].sum(), points, retain_graph=True)[0] for i in range(points.shape[1])]
    return torch.stack(rows, dim=1)


def largest_hessian(clf, n_points=60, seed=0):
    """The largest spectral norm at random inputs, near and far, of any class."""
    rng = np.random.default_rng(seed)
    width = clf.n_features_in_
    points = torch.as_tensor(rng.normal(size=(n_points, width)) * 10 ** rng.uniform(-1.5, 1.0, size=(n_points, 1)))
    output = clf.explainer_.output

    def score(x, c):
        logits = clf.module_(x)
        return logits.softmax(dim=1)[:, c] if output == "probability" else logits[:, c]

    return max(
        torch.linalg.matrix_norm(hessians(lambda p, c=c: score(p, c), points), ord=2).max().item()
        for c in range(len(clf.classes_))
    )


NETS = [("softplus", 0.5, False), ("softplus", 3.0, True), ("softplus", 20.0, False), ("sigmoid", 1.0, True),
        ("tanh", 1.0, False)]  # fmt: skip
#: Half of all combinations, which has all combinations of any three of the axes.
CASES = [
    (*net, hidden, n_classes, explainer)
    for (a, net), (b, hidden), (c, n_classes), (d, explainer) in itertools.product(
        enumerate(NETS),
        enumerate([(5,), (5, 4), (4, 4, 3)]),
        enumerate([2, 4]),
        enumerate(["gradient", "logit_gradient"]),
    )
    if (a + b + c + d) % 2 == 0
]


@pytest.mark.parametrize(("activation", "beta", "skip", "hidden", "n_classes", "explainer"), CASES)
def test_no_input_has_a_larger_hessian(activation, beta, skip, hidden, n_classes, explainer, make_classifier):
    for scale in (0.3, 1.5):
        clf = make_classifier(
            n_classes, explainer=explainer, scale=scale, activation=activation, beta=beta, hidden=hidden, skip=skip
        )
        assert largest_hessian(clf, n_points=12) <= curvature_bound(clf)


@pytest.mark.parametrize(
    ("activation", "beta"), [("softplus", 0.5), ("softplus", 7.0), ("sigmoid", 1.0), ("tanh", 1.0)]
)
def test_one_hidden_unit_is_tight(activation, beta, make_classifier):
    """Where ``w . x + b`` has the steepest bend, ``|H| = |v| |w|^2 sup |act''|``."""
    clf = make_classifier(explainer="logit_gradient", activation=activation, beta=beta, hidden=(1,))
    first, last = clf.module_.layers[0], clf.module_.layers[2]
    w, b = first.weight.detach()[0], first.bias.item()
    z = torch.linspace(-6, 6, 40001, dtype=torch.float64, requires_grad=True)
    slope = torch.autograd.grad(clf.module_.layers[1](z).sum(), z, create_graph=True)[0]
    bend = torch.autograd.grad(slope.sum(), z)[0].abs()
    x = (z.detach()[bend.argmax()] - b) * w / w.square().sum()
    c = last.weight[:, 0].abs().argmax().item()
    there = torch.linalg.matrix_norm(hessian(lambda p: clf.module_(p)[c], x), ord=2).item()
    # the grid of 3e-4 misses the steepest point by a relative error of the order of its square
    assert there <= curvature_bound(clf)
    assert curvature_bound(clf) == pytest.approx(there, rel=1e-6)


def test_a_linear_net_has_no_logit_curvature_and_the_softmax_constant_holds(make_classifier):
    clf = make_classifier(explainer="logit_gradient", hidden=())
    assert curvature_bound(clf) == 0.0
    clf = make_classifier(explainer="gradient", hidden=())
    weight = clf.module_.layers[-1].weight.detach()
    assert curvature_bound(clf) == pytest.approx(8 / 27 * torch.linalg.matrix_norm(weight, ord=2).item() ** 2)


def test_the_softmax_constant_is_a_bound_on_the_simplex():
    """Hessians of the probabilities in the logits, on a fine grid and at random."""
    size = torch.tensor(np.geomspace(0.1, 20, 40))[:, None]
    logits = [torch.randn(40, n, dtype=torch.float64, generator=torch.Generator().manual_seed(n)) * size
              for n in (2, 3, 5)]  # fmt: skip
    logits.append(torch.tensor([[0.0, m] for m in np.linspace(-8, 8, 100)], dtype=torch.float64))
    for z in logits:
        for c in range(z.shape[1]):
            found = hessians(lambda z, c=c: z.softmax(dim=1)[:, c], z)
            assert (torch.linalg.matrix_norm(found, ord=2) <= 8 / 27).all()


@pytest.mark.parametrize("skip", [False, True])
def test_the_skip_path_counts_in_the_softmax_alone(skip, make_classifier):
    logit, probability = (
        curvature_bound(make_classifier(explainer=e, hidden=(5,), activation="tanh", skip=skip, seed=1))
        for e in ("logit_gradient", "gradient")
    )
    net = make_classifier(hidden=(5,), activation="tanh", skip=skip, seed=1).module_
    reach = torch.linalg.matrix_norm(net.layers[2].weight, ord=2) * torch.linalg.matrix_norm(
        net.layers[0].weight, ord=2
    )
    reach = reach + (torch.linalg.matrix_norm(net.skip.weight, ord=2) if skip else 0)
    assert probability == pytest.approx(logit / 2 + 8 / 27 * reach.item() ** 2)


@pytest.mark.parametrize("explainer", ["gradient", "logit_gradient"])
@pytest.mark.parametrize("ranking", ["magnitude", "signed"])
@pytest.mark.parametrize("epsilon", [0.05, 0.5, 3.0])
def test_proven_thickness_bounds_contain_the_thickness(epsilon, ranking, explainer, make_classifier):
    clf = make_classifier(3, explainer=explainer, scale=0.7, activation="softplus", beta=2.0, hidden=(6, 5))
    clf.module_.float()
    X = np.random.default_rng(1).normal(size=(8, 4)).astype(np.float32)
    options = {"epsilon": epsilon, "ranking": ranking}
    lower, upper = thickness_bounds(clf, X, 2, curvature=curvature_bound(clf), **options)
    thickness = relaxed_thickness(clf, X, 2, **options)
    assert (lower <= thickness).all()
    assert (thickness <= upper).all()


def test_what_is_not_proven_is_named(make_classifier):
    for activation, name in (("relu", "ReLU"), ("gelu", "GELU"), ("silu", "SiLU")):
        with pytest.raises(NotImplementedError, match=name):
            curvature_bound(make_classifier(activation=activation, hidden=(3,)))
    for output in ("cross_entropy", "log_odds"):
        with pytest.raises(NotImplementedError, match=output):
            curvature_bound(make_classifier(activation="tanh", explainer=f"{output}_gradient"))

    def own(module, x, target, *, logits=None, create_graph=False):
        return Gradient()(module, x, target, logits=logits, create_graph=create_graph)

    with pytest.raises(NotImplementedError, match=r"gradient, not .*own"):
        curvature_bound(make_classifier(activation="tanh", explainer=own))

    class Branched(nn.Module):
        def __init__(self, n_features, n_classes):
            super().__init__()
            self.first, self.second = nn.Linear(n_features, n_classes), nn.Linear(n_classes, n_classes)

        def forward(self, x):
            h = torch.tanh(self.first(x))
            return torch.tanh(self.second(h)) + h

    class Squared(MLP):
        def forward(self, x):
            return super().forward(x * x)

    X, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    for module in (Branched, Squared):
        with pytest.raises(NotImplementedError, match=module.__name__):
            curvature_bound(VanillaClassifier(module=module, max_epochs=1).fit(X, y))


def test_a_network_is_bounded_by_what_it_computes():
    """A chain written in another way has the bound of the MLP; a hook counts."""

    class Chain(nn.Module):
        def __init__(self, n_features, n_classes):
            super().__init__()
            self.first, self.second = nn.Linear(n_features, 4), nn.Linear(4, n_classes)

        def forward(self, x):
            return self.second(torch.tanh(self.first(x)))

    X, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    chain = VanillaClassifier(module=Chain, max_epochs=1).fit(X, y)
    mlp = VanillaClassifier(max_epochs=1, module__hidden=(4,), module__activation="tanh").fit(X, y)
    mlp.module_.layers[0].load_state_dict(chain.module_.first.state_dict())
    mlp.module_.layers[2].load_state_dict(chain.module_.second.state_dict())
    assert curvature_bound(chain) == pytest.approx(curvature_bound(mlp), rel=1e-12)
    before = curvature_bound(mlp)
    mlp.module_.layers[2].register_forward_hook(lambda layer, inputs, output: 3 * output)
    assert curvature_bound(mlp) > 1.5 * before


def test_an_unfitted_classifier_is_refused():

    with pytest.raises(NotFittedError):
        curvature_bound(VanillaClassifier())
