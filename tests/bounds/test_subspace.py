"""Linear parts in what a network sees of the ball give the bounds of all features, at a fraction of the size."""

import numpy as np
import pytest
import torch
from torch import nn

from robustxai import SoftplusClassifier
from robustxai.bounds import _attribution, _curvature, bound_attribution, read_network
from robustxai.bounds._curvature import CurvatureBounds
from robustxai.bounds._forms import Ball
from robustxai.bounds._pairs import RankPairs
from robustxai.bounds._subspace import subspace_basis
from robustxai.certificates import certify_smoothed_top_k, certify_top_k
from robustxai.explainers import Gradient, GradientTimesInput, IntegratedGradients, SmoothGrad

N = 40


class Skips(nn.Module):
    """The input feeds two layers and the logits."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.straight = nn.Linear(N, 4), nn.Linear(N, 3), nn.Linear(N, 3)
        self.between, self.last = nn.Linear(4, 3), nn.Linear(3, 3)

    def forward(self, x):
        hidden = nn.functional.softplus(self.first(x))
        return self.last(torch.tanh(self.between(hidden) + self.second(x))) + self.straight(x)


NETS = {
    "two classes": lambda: nn.Sequential(
        nn.Linear(N, 6), nn.Softplus(), nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 2)
    ),
    "three classes": lambda: nn.Sequential(nn.Linear(N, 6), nn.Softplus(), nn.Linear(6, 3)),
    "skips": Skips,
    "kinks": lambda: nn.Sequential(nn.Linear(N, 6), nn.ReLU(), nn.Linear(6, 2)),
    "linear": lambda: nn.Linear(N, 2),
    "of less rank than units": lambda: nn.Sequential(nn.Linear(N, 2), nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2)),
}


@pytest.fixture(params=NETS)
def net(request):
    torch.manual_seed(0)
    return NETS[request.param]().double()


@pytest.fixture(params=["all", "axes", "frozen"])
def scale(request):
    rng = torch.Generator().manual_seed(1)
    if request.param == "all":
        return torch.ones(N, dtype=torch.float64)
    axes = 0.5 + torch.rand(N, dtype=torch.float64, generator=rng)
    if request.param == "frozen":
        axes[::3] = 0.0
    return axes


def rows():
    return torch.randn(3, N, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def pairs(attribution):
    order = attribution.abs().argsort(dim=1, descending=True)
    return RankPairs.of(order[:, :3], order[:, 3:], attribution.sign(), "magnitude")


def bounds(net, scale, norm, method, explainer):
    network, x, target = read_network(net, (N,)), rows(), torch.tensor([0, 1, 0])
    ball = Ball(torch.tensor([[0.1], [0.3], [1e-3]], dtype=torch.float64), norm, N)
    here = bound_attribution(network, explainer, x, target, None, ball, "affine")
    attribution = torch.stack([term.mixing[0].squeeze(-1) * term.phi.c for term in here]).sum(dim=0)
    terms = bound_attribution(network, explainer, x, target, scale, ball, method)
    return pairs(attribution).bounds(terms), [term.phi.A for term in terms]


@pytest.mark.parametrize("method", ["affine", "zonotope", "interval"])
@pytest.mark.parametrize("norm", ["2", "inf"])
@pytest.mark.parametrize("explainer", [Gradient(), Gradient("logit"), SmoothGrad(3, 0.2, output="logit")])
def test_bounds_are_those_of_all_axes(net, scale, norm, method, explainer, monkeypatch):
    seen, parts = bounds(net, scale, norm, method, explainer)
    assert all(A is None or A.shape[-1] <= N // 2 for A in parts)
    monkeypatch.setattr(_attribution, "subspace_basis", lambda *args: None)
    whole, parts = bounds(net, scale, norm, method, explainer)
    assert all(A is None or A.shape[-1] == N for A in parts)
    torch.testing.assert_close(seen, whole, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("explainer", [GradientTimesInput(), IntegratedGradients(3, output="logit")])
def test_explainers_that_read_the_input_itself_take_all_axes(explainer):
    _, parts = bounds(NETS["two classes"]().double(), torch.ones(N).double(), "2", "affine", explainer)
    assert all(A.shape[-1] == N for A in parts if A is not None)


def test_a_wide_first_layer_takes_all_axes():
    network = read_network(nn.Sequential(nn.Linear(N, N), nn.Tanh(), nn.Linear(N, 2)), (N,))
    assert subspace_basis(network, torch.ones(N).double()) is None


@pytest.mark.parametrize("norm", ["2", "inf"])
def test_curvature(net, scale, norm, monkeypatch):
    network, x, target = read_network(net, (N,)), rows(), torch.tensor([0, 1, 0])
    ball = Ball(torch.tensor([[0.1], [0.3], [1e-3]], dtype=torch.float64), norm, N)

    def found():
        curvature = CurvatureBounds(network, "probability", x, target, scale, ball)
        attribution = torch.stack([m[0].squeeze(-1) * g for g, m in zip(curvature.gradients, curvature.mixing)]).sum(0)
        some = pairs(attribution)
        where = torch.ones(3, 2, 3, N - 3, dtype=torch.bool).nonzero()
        directions = some.directions(where)
        return curvature.bounds(directions, torch.full((len(directions),), torch.inf, dtype=torch.float64))

    seen = found()
    monkeypatch.setattr(_curvature, "_MOST_FEATURES", N - 1)
    coarse = found()
    monkeypatch.setattr(_curvature, "subspace_basis", lambda *args: None)
    whole = found()
    torch.testing.assert_close(seen, whole, rtol=1e-8, atol=1e-10)
    if norm == "2":
        torch.testing.assert_close(coarse, whole, rtol=1e-8, atol=1e-10)
    else:  # of many features it is a bound of the bound
        assert (coarse <= whole + 1e-10).all()


@pytest.mark.parametrize("norm", [2, "inf"])
def test_certificates_hold_and_are_those_of_all_axes(norm, monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, N))
    clf = SoftplusClassifier(max_epochs=5, module__hidden=(8, 6)).fit(X, X[:, 0] > 0)
    epsilon = 0.05 if norm == 2 else 0.01
    seen = certify_top_k(clf, X[:20], k=3, epsilon=epsilon, norm=norm)
    assert 0 < seen.precision_at_k.mean() < 1
    points = rng.normal(size=(50, 20, N))
    points /= np.linalg.norm(points, ord=2 if norm == 2 else np.inf, axis=2, keepdims=True)
    labels = clf.predict(X[:20])
    before = np.argsort(-np.abs(clf.explain(X[:20])), axis=1)[:, :3]
    for step in points:
        after = np.argsort(-np.abs(clf.explain(X[:20] + epsilon * step, y=labels)), axis=1)[:, :3]
        overlap = np.array([len(set(a) & set(b)) / 3 for a, b in zip(before, after, strict=True)])
        assert (overlap >= seen.precision_at_k - 1e-12).all()
    for place in (_attribution, _curvature):
        monkeypatch.setattr(place, "subspace_basis", lambda *args: None)
    whole = certify_top_k(clf, X[:20], k=3, epsilon=epsilon, norm=norm)
    np.testing.assert_array_equal(seen.precision_at_k, whole.precision_at_k)
    np.testing.assert_array_equal(seen.n_proven_pairs, whole.n_proven_pairs)


def test_many_features_are_read_without_a_matrix_of_their_square():
    net = nn.Sequential(nn.Flatten(), nn.Linear(60_000, 3), nn.Softplus(), nn.Linear(3, 2))
    network = read_network(net, (60_000,))  # 29 GB as a matrix
    torch.testing.assert_close(network.layers[0].inputs.weights[0], net[1].weight.double())
    with pytest.raises(NotImplementedError, match="60,000 entries is too large"):
        read_network(nn.Sequential(nn.Tanh(), net), (60_000,))


def test_pairs_of_a_smoothed_ranking_against_a_matrix_of_all():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2, 12)).astype(np.float32)
    found = certify_smoothed_top_k(np.sin, X, k=3, form="pairwise", n_draws=200, sigma=0.4)
    noise = np.random.RandomState(0).standard_normal((200, 12)).astype(np.float32)
    for row, score in zip(X, found.scores, strict=True):
        draws = np.abs(np.sin(row + np.float32(0.4) * noise).astype(np.float64))
        wins = (draws[:, :, None] > draws[:, None, :]).sum(axis=0)
        np.testing.assert_allclose(score, wins.sum(axis=1) / (200 * 11))
