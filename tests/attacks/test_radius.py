import copy

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from torch import nn

from robustxai import VanillaClassifier
from robustxai.attacks import AutoExplanationAttack
from robustxai.attacks._radius import closing_directions
from robustxai.perturbation import ThreatModel

pytestmark = pytest.mark.filterwarnings("ignore::robustxai.exceptions.EvaluationWarning")


class Quadratic(nn.Module):
    """Log-odds x'Qx/2 + b'x, whose gradient Qx + b makes every gap a linear function of x."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.Q = nn.Parameter(torch.randn(n_features, n_features))
        self.b = nn.Parameter(torch.randn(n_features))
        self.offset = 0.0

    def forward(self, x):
        m = ((x @ (self.Q + self.Q.T)) * x).sum(dim=-1) / 2 + x @ self.b - self.offset
        return torch.stack([torch.zeros_like(m), m], dim=-1)


@pytest.fixture(scope="module")
def victim():
    X, y = load_iris(return_X_y=True)
    return VanillaClassifier(module=Quadratic, explainer="log_odds_gradient", max_epochs=3).fit(X, y > 1)


def exact_radius(clf, row, norm, k=2):
    """The nearest plane on which a member and another unit tie, straight from the matrix."""
    module = clf.module_
    H = (module.Q + module.Q.T).detach().double().numpy()
    sign = 1 if clf.predict(row[None])[0] else -1
    g = sign * (H @ row + module.b.detach().double().numpy())
    order = np.argsort(-g)
    dual = 2 if norm == 2 else 1
    return min((g[r] - g[a]) / np.linalg.norm(H[r] - H[a], ord=dual) for r in order[:k] for a in order[k:])


@pytest.mark.parametrize("norm", [2, "inf"])
def test_where_gaps_are_linear_the_radius_is_exact(norm, victim):
    X = load_iris(return_X_y=True)[0][::15].astype(np.float32)
    attack = AutoExplanationAttack(victim, k=2, ranking="signed", preset="fast", threat=ThreatModel(50.0, norm=norm))
    found = attack.minimum_radius(X, keep_prediction=False, n_levels=2)
    exact = np.array([exact_radius(victim, row, norm) for row in X.astype(np.float64)])
    assert (found >= exact * (1 - 1e-4)).all()
    np.testing.assert_allclose(found, exact, rtol=0.01)


def test_a_point_may_have_to_keep_its_prediction(victim):
    X = load_iris(return_X_y=True)[0][::5].astype(np.float32)
    victim = copy.deepcopy(victim)
    logits = victim.module_(torch.tensor(X)).detach()
    victim.module_.offset = float((logits[:, 1] - logits[:, 0]).median())  # a boundary in the middle of the rows
    attack = AutoExplanationAttack(victim, k=2, ranking="signed", preset="fast", threat=ThreatModel(50.0))
    free = attack.minimum_radius(X, keep_prediction=False, n_levels=2)
    kept = attack.minimum_radius(X, n_levels=2)
    assert (kept >= free * (1 - 0.01)).all()
    assert (kept > 1.05 * free).any()


def test_frozen_features_stay_and_the_box_holds(victim):
    X = load_iris(return_X_y=True)[0][::15].astype(np.float32)
    threat = ThreatModel(50.0, frozen=[0], bounds=(0.0, 8.0))
    attack = AutoExplanationAttack(victim, k=2, ranking="signed", preset="fast", threat=ThreatModel(50.0))
    free = attack.minimum_radius(X, keep_prediction=False, n_levels=2)
    bound = attack.set_params(threat=threat).minimum_radius(X, keep_prediction=False, n_levels=2)
    assert (bound >= free * (1 - 0.01)).all()
    assert (bound > 1.05 * free).any()


def test_directions_are_gradients_of_the_boundary_gaps(victim):
    x = torch.tensor(load_iris(return_X_y=True)[0][:5], dtype=torch.float32)
    target = torch.ones(5, dtype=torch.long)
    H = (victim.module_.Q + victim.module_.Q.T).detach()
    g = x @ H + victim.module_.b.detach()
    directions = list(closing_directions(victim.module_, victim.explainer_, x, target, 2, "signed"))
    assert len(directions) == 2 * 2 + 1
    order = g.argsort(dim=1, descending=True)
    torch.testing.assert_close(directions[0], H[order[:, 1]] - H[order[:, 2]], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(directions[4], sum(directions[:4]), rtol=1e-4, atol=1e-5)
