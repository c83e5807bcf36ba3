"""Pixels of several channels: their scores are sums over the channels, and so is what is proven of them."""

import numpy as np
import pytest
import torch
from torch import nn

from robustxai.attacks import BoundaryMarginAttack
from robustxai.bounds import METHODS, Ball, bound_attribution, pair_bounds, read_network
from robustxai.certificates import certify_top_k
from robustxai.explainers import Gradient, GradientTimesInput
from robustxai.metrics import precision_at_k
from robustxai.perturbation import ThreatModel
from robustxai.ranking import unit_scores

from .nets import Fitted, curvature_bounds, explained_around, in_ball

K = 3


def net(channels, n_classes=2, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = nn.Sequential(
            nn.Conv2d(channels, 4, 2),
            nn.BatchNorm2d(4),
            nn.Softplus(beta=2),
            nn.Conv2d(4, 3, 2, padding=1),
            nn.AvgPool2d(2),
            nn.Sigmoid(),
            nn.Flatten(),
            nn.Linear(12, n_classes),
        )
        for _ in range(3):
            module(torch.randn(16, channels, 4, 4))  # running statistics that are not 0 and 1
        with torch.no_grad():
            module[-1].weight *= 4
    return module


def scores(attribution, ranking):
    return unit_scores(torch.from_numpy(attribution), ranking).numpy()


def gaps_and_bounds(clf, X, ranking, epsilon, norm):
    """Every sampled gap (points, rows, k, n - k), and the bounds of every method."""
    target = clf.encode_target(X).numpy()
    order = torch.from_numpy(np.argsort(-scores(clf.explain(X, target), ranking), axis=1))
    top, rest = order[:, :K], order[:, K:]
    d = X[0].size
    deltas = in_ball(np.random.default_rng(0), 80, d, epsilon, norm).reshape(-1, *X.shape[1:])
    sampled = explained_around(clf, X, deltas, target)
    after = scores(sampled.reshape(-1, *X.shape[1:]), ranking).reshape(len(deltas), len(X), -1)
    gaps = (
        np.take_along_axis(after, top.numpy()[None], 2)[..., :, None]
        - np.take_along_axis(after, rest.numpy()[None], 2)[..., None, :]
    )
    ball = Ball(torch.full((len(X), 1), epsilon, dtype=torch.float64), str(norm), d)
    network = read_network(clf.module_, X.shape[1:])
    sign = torch.from_numpy(clf.explain(X)).flatten(1).sign()
    x = torch.from_numpy(X).double().flatten(1)
    bounds = {}
    for method in METHODS:
        with torch.no_grad():
            terms = bound_attribution(
                network, clf.explainer_, x, torch.from_numpy(target), torch.ones(d).double(), ball, method
            )
            bounds[method] = pair_bounds(terms, top, rest, sign, ranking, X.shape[1]).numpy()
    if isinstance(clf.explainer_, Gradient) and (X.shape[1] <= 4 or ranking == "signed"):
        bounds["curvature"] = curvature_bounds(clf, X, top, rest, ranking, epsilon, norm, X.shape[1])
    return gaps, bounds


@pytest.mark.parametrize("epsilon", [0.02, 0.3])
@pytest.mark.parametrize("norm", [2, "inf"])
@pytest.mark.parametrize("ranking", ["magnitude", "signed"])
@pytest.mark.parametrize(
    ("channels", "explainer", "n_classes"),
    [
        (3, Gradient("logit"), 2),
        (3, Gradient(), 3),
        (2, GradientTimesInput(), 2),
        (5, Gradient(), 2),
        (5, Gradient("cross_entropy"), 3),
    ],
    ids=str,
)
def test_no_proof_of_channels_is_ever_broken(channels, explainer, n_classes, ranking, norm, epsilon):
    clf = Fitted(net(channels, n_classes), explainer, n_classes)
    X = np.random.default_rng(1).normal(size=(3, channels, 4, 4)).astype(np.float32)
    target = clf.encode_target(X).numpy()
    gaps, bounds = gaps_and_bounds(clf, X, ranking, epsilon, norm)
    for method, bound in bounds.items():
        assert not (gaps[:, bound > 1e-9] <= 0).any(), method
        if explainer == Gradient("logit"):
            assert (gaps >= bound - 1e-9).all(), method
    proven = {method: (bound > 0).mean() for method, bound in bounds.items()}
    if epsilon < 0.1 and norm == 2:
        assert proven["zonotope"] > 0.6
    certificate = certify_top_k(clf, X, k=K, epsilon=epsilon, norm=norm, ranking=ranking)
    assert (certificate.n_proven_pairs >= (bounds["zonotope"] > 1e-4).sum(axis=(1, 2))).all()
    threat = ThreatModel(epsilon, norm=norm)
    attack = BoundaryMarginAttack(clf, k=K, threat=threat, ranking=ranking, max_iter=5, random_state=0)
    attacked = precision_at_k(clf.explain(X), clf.explain(attack.fit(X).transform(X), target), K, ranking=ranking)
    assert (certificate.precision_at_k <= attacked + 1e-12).all()


@pytest.mark.parametrize("norm", [2, "inf"])
@pytest.mark.parametrize("channels", [3, 5])
def test_as_the_ball_shrinks_the_bounds_become_the_gaps(channels, norm):
    clf = Fitted(net(channels), Gradient("logit"))
    X = np.random.default_rng(1).normal(size=(3, channels, 4, 4)).astype(np.float32)
    distances = []
    for epsilon in (1e-3, 1e-4):
        gaps, bounds = gaps_and_bounds(clf, X, "magnitude", epsilon, norm)
        distances.append(gaps.min(axis=0) - bounds["zonotope"])
    assert (distances[0] >= 0).all()
    # of first order: the samples do not find the worst point, and sums of magnitudes have kinks
    assert distances[1].max() < distances[0].max() / 8


def test_a_linear_model_of_channels_is_certified_as_far_as_one_asks():
    clf = Fitted(nn.Sequential(nn.Conv2d(3, 2, 2), nn.Flatten(), nn.Linear(18, 2)))
    X = np.random.default_rng(0).normal(size=(4, 3, 4, 4)).astype(np.float32)
    for method in ("best", *METHODS, "curvature"):
        assert (certify_top_k(clf, X, k=4, epsilon=1e3, method=method).precision_at_k == 1).all()


def test_the_patterns_are_those_of_brute_force():
    """One unit of each channel at a known place: |a| - |b| of boxes is the worst of all corners."""
    linear = nn.Linear(8, 2).double()
    net_ = nn.Sequential(nn.Flatten(), linear)
    x = torch.randn(1, 2, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weight = (linear.weight[1] - linear.weight[0]).detach().reshape(2, 4)
    ball = Ball(torch.ones(1, 1).double(), "2", 8)
    network = read_network(net_, (2, 2, 2))
    terms = bound_attribution(
        network, Gradient(), x.flatten(1), torch.tensor([1]), torch.ones(8).double(), ball, "zonotope"
    )
    score = weight.abs().sum(dim=0)
    top, rest = torch.tensor([[2, 0]]), torch.tensor([[1, 3]])
    bound = pair_bounds(terms, top, rest, weight.reshape(1, 8).sign(), "magnitude", 2)
    torch.testing.assert_close(bound[0], score[top[0]][:, None] - score[rest[0]][None])


def test_pairs_of_one_channel_are_certified_and_others_refused():
    def victim(channels):
        return Fitted(nn.Sequential(nn.Flatten(), nn.Linear(2 * channels * 9, 2)))

    rng = np.random.default_rng(0)
    certificate = certify_top_k(victim(1), rng.normal(size=(2, 2, 1, 3, 3)).astype(np.float32), k=K, epsilon=1.0)
    assert (certificate.precision_at_k == 1).all()  # a linear model
    with pytest.raises(NotImplementedError, match="pairs of one channel only"):
        certify_top_k(victim(3), rng.normal(size=(2, 2, 3, 3, 3)).astype(np.float32), k=K)


def test_many_channels_have_no_curvature_of_magnitudes():
    clf = Fitted(net(5))
    X = np.random.default_rng(0).normal(size=(2, 5, 4, 4)).astype(np.float32)
    with pytest.raises(NotImplementedError, match="up to 4 channels, not of 5"):
        certify_top_k(clf, X, k=K, method="curvature")
    signed = certify_top_k(clf, X, k=K, epsilon=0.01, method="curvature", ranking="signed")
    assert signed.n_proven_pairs.sum() > 0
