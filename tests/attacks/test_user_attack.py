"""Attacks that a user writes with public names alone."""

import numpy as np
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris

from robustxai import SoftplusClassifier
from robustxai.attacks import BaseAttack, ERAttack, GradientAttack, Search
from robustxai.perturbation import ThreatModel

X, y = load_iris(return_X_y=True)
CLF = SoftplusClassifier(max_epochs=20).fit(X, y)
THREAT = ThreatModel(0.5, frozen=[1])


class Corners(BaseAttack):
    """Try the corners of the cube one after the other."""

    def propose(self, search: Search, iteration):
        bits = torch.tensor([(iteration >> axis) & 1 for axis in range(search.x.shape[1])])
        return (search.space.epsilon * (2.0 * bits - 1)).expand_as(search.x)

    def learn(self, search: Search, iteration, points, objective):
        search.extra["last"] = objective.detach()


class Pair(GradientAttack):
    """ERAttack of the two units at the boundary."""

    def __init__(self, estimator=None, *, sharp=1.0, **params):
        super().__init__(estimator, **params)
        self.sharp = sharp

    def objective(self, attribution, reference):
        scores = reference.rank(attribution)
        inside = scores.gather(1, reference.inside).amin(dim=1)
        outside = scores.gather(1, reference.outside).amax(dim=1)
        return self.sharp * (outside - inside)

    def scalarize(self, search: Search, objective, logits):
        return 2 * objective  # a positive factor changes no direction


class PairByDifferences(Pair):
    """The same with a gradient of forward differences."""

    needs_graph = False
    goal = "objective"

    def slope(self, search: Search, iteration, points, objective):
        return torch.ones_like(search.delta)


def test_a_search_without_gradients():
    result = Corners(CLF, k=2, threat=THREAT, max_iter=16).run(X[:60])
    assert result.precision_at_k.mean() < 1
    assert (THREAT.lengths(result.X_adv - X[:60]) <= 0.5).all()
    np.testing.assert_array_equal(result.X_adv[:, 1], X[:60, 1])


def test_an_objective_alone_makes_a_gradient_attack():
    attack = clone(Pair(CLF, k=2, threat=THREAT, max_iter=20, sharp=3.0))
    assert attack.get_params()["sharp"] == 3.0
    result = attack.run(X[:60])
    assert (
        result.precision_at_k.mean() <= ERAttack(CLF, k=2, threat=THREAT, max_iter=20).run(X[:60]).mean_precision + 0.05
    )


def test_scalarize_and_slope_replace_the_gradient():
    half, whole = (Pair(CLF, k=2, threat=THREAT, max_iter=5, sharp=sharp).run(X[:20]) for sharp in (0.5, 1.0))
    np.testing.assert_allclose(half.X_adv, whole.X_adv, atol=1e-6)
    result = PairByDifferences(CLF, k=2, threat=THREAT, max_iter=5).run(X[:20])
    assert np.isfinite(result.X_adv).all()
