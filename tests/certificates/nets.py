"""Random networks, and what certificates and attacks ask of a fitted classifier."""

import copy

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from torch import nn

from robustxai.bounds import Ball, CurvatureBounds, RankPairs, read_network
from robustxai.explainers import Gradient

ACTIVATIONS = {
    "softplus": lambda: nn.Softplus(beta=2.0),
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
}


class Fitted(ClassifierMixin, BaseEstimator):
    """What certificates and attacks ask of a fitted classifier; it explains in float64, as exactly as a proof."""

    def __init__(self, module, explainer=None, n_classes=2):
        self.module_ = module.float().eval()
        self.exact = copy.deepcopy(self.module_).double()
        self.explainer_ = explainer or Gradient()
        self.explainer = self.explainer_
        self.classes_ = np.arange(n_classes)
        self.device_ = torch.device("cpu")

    def fit(self, X=None, y=None):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def _tensor(self, X):
        return torch.as_tensor(np.asarray(X, dtype=np.float64))

    def predict_proba(self, X):
        return self.exact(self._tensor(X)).softmax(1).detach().numpy()

    def predict(self, X):
        return self.predict_proba(X).argmax(1)

    def encode_target(self, X, y=None):
        return torch.as_tensor(self.predict(X) if y is None else np.broadcast_to(y, len(X)).copy())

    def explain(self, X, y=None):
        return self.explainer_(self.exact, self._tensor(X), self.encode_target(X, y)).detach().numpy()


def random_net(seed, depth, activation, n_classes, d=6):
    generator = torch.Generator().manual_seed(seed)
    layers, width = [], d
    for _ in range(depth):
        layers += [nn.Linear(width, 7), ACTIVATIONS[activation]()]
        width = 7
    net = nn.Sequential(*layers, nn.Linear(width, n_classes)).double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(
                torch.randn(p.shape, generator=generator, dtype=torch.float64)
                / (p.shape[-1] ** 0.5 if p.ndim > 1 else 3)
            )
    return net


def in_ball(rng, n, d, epsilon, norm):
    """Points of the ball, half of them on its surface."""
    if norm == 2:
        direction = rng.normal(size=(n, d))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        return epsilon * direction * np.where(rng.random((n, 1)) < 0.5, 1.0, rng.random((n, 1)))
    delta = rng.uniform(-1, 1, size=(n, d))
    return epsilon * np.where(rng.random((n, 1)) < 0.5, np.sign(delta), delta)


def explained_around(clf, X, deltas, target):
    """Explanations of X + delta for every delta, shape (n_deltas, n, ...)."""
    points = (X + deltas[:, None]).reshape(-1, *X.shape[1:])
    found = clf.explain(points, np.tile(target, len(deltas)))
    return found.reshape(len(deltas), len(X), *found.shape[1:])


def curvature_bounds(clf, X, top, rest, ranking, epsilon, norm, channels=1):
    """Lower bounds of every pair, none of which may be NaN."""
    x = torch.from_numpy(X.reshape(len(X), -1)).double()
    network = read_network(clf.module_, X.shape[1:])
    ball = Ball(torch.full((len(x), 1), epsilon, dtype=torch.float64), str(norm), x.shape[1])
    sign = torch.from_numpy(clf.explain(X)).flatten(1).sign()
    pairs = RankPairs.of(top, rest, sign, ranking, channels)
    shape = len(x), len(pairs.other_signs), top.shape[1], rest.shape[1]
    curvature = CurvatureBounds(
        network, clf.explainer_.output, x, clf.encode_target(X), torch.ones(x.shape[1]).double(), ball
    )
    bounds = curvature.bounds(pairs.directions(torch.ones(shape).nonzero()), torch.zeros(int(np.prod(shape))).double())
    assert not bounds.isnan().any()
    return bounds.reshape(shape).amin(dim=1).numpy()
