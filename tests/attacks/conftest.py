"""Victims: fitted classifiers with weights that are written down, and every attack by its name."""

from functools import lru_cache

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.validation import validate_data
from torch import nn

from robustxai import VanillaClassifier
from robustxai.attacks import (
    FGSM,
    PGD,
    BoundaryMarginAttack,
    ERAttack,
    MSEAttack,
    MultiObjectiveAttack,
    NESAttack,
    ParetoAttack,
    PromotionAttack,
    RandomAttack,
    Reference,
    SoftOverlapAttack,
    TargetedManipulation,
    TopKManipulation,
    _auto,
)
from robustxai.explainers import Gradient
from robustxai.perturbation import PerturbationSet
from robustxai.ranking import top_k_mask, unit_scores

ATTACKS = (
    ERAttack,
    MSEAttack,
    BoundaryMarginAttack,
    SoftOverlapAttack,
    TopKManipulation,
    MultiObjectiveAttack,
    TargetedManipulation,
    PromotionAttack,
    ParetoAttack,
    NESAttack,
    RandomAttack,
)
GRADIENT_ATTACKS = ATTACKS[:-3]
#: Those that are judged by P@k; the others by their own objective.
OVERLAP_ATTACKS = tuple(attack for attack in ATTACKS if attack is not TargetedManipulation)
PREDICTION_ATTACKS = (FGSM, PGD)
#: Options that make an attack cheap where a test does not depend on its strength.
CHEAP = {NESAttack: {"n_draws": 4}, ParetoAttack: {"tolerance": 0.1}}
#: By what `short_ensemble` divides iterations.
SHORTER = 5
every_attack = pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
every_gradient_attack = pytest.mark.parametrize("attack", GRADIENT_ATTACKS, ids=lambda attack: attack.__name__)
every_overlap_attack = pytest.mark.parametrize("attack", OVERLAP_ATTACKS, ids=lambda attack: attack.__name__)
every_prediction_attack = pytest.mark.parametrize("attack", PREDICTION_ATTACKS, ids=lambda attack: attack.__name__)


@lru_cache
def _weights(n_features, dtype):
    position = np.arange(n_features)
    weights = 1 + np.cos(3 * position) / 2, np.sin(position), 1 - 2.0 * (position % 2)
    with torch.inference_mode(False):  # what is kept serves calls in other modes too
        return tuple(torch.tensor(part, dtype=dtype) for part in weights)


class Elementwise(nn.Module):
    """Logits (-s, s) with s a sum over features, of any number, of the smooth step (z + sqrt(z^2 + 1)) / 2.

    No matrix product mixes the rows of a batch, and sums, products and roots are rounded alike wherever a number stands
    in an array (exp is not). It has no parameters, because joblib, with which scikit-learn's checks compare victims,
    hashes two copies of a tensor differently.
    """

    def forward(self, x):
        slope, place, sign = _weights(x.shape[1], x.dtype)
        z = slope * (x - place)
        score = (sign * (z + (z * z + 1).sqrt())).sum(dim=1) / 2
        return torch.stack([-score, score], dim=1)


class Quadratic(nn.Module):
    """Logits (-f, f) with f(x) = x.Ax / 2 + b.x + c, so that the logit's gradient is Ax + b."""

    def __init__(self, matrix, slope, constant=0.0):
        super().__init__()
        self.matrix = nn.Parameter(torch.as_tensor(matrix, dtype=torch.float32))
        self.slope = nn.Parameter(torch.as_tensor(slope, dtype=torch.float32))
        self.constant = constant

    def forward(self, x):
        value = ((x @ self.matrix) * x).sum(dim=1) / 2 + x @ self.slope + self.constant
        return torch.stack([-value, value], dim=1)


class Victim(ClassifierMixin, BaseEstimator):
    """A fitted classifier around a module; it takes any number of features."""

    def __init__(self, module=None, explainer=None, fitted=True):
        self.module = module
        self.explainer = explainer
        self.fitted = fitted
        self.module_ = Elementwise() if module is None else module
        self.explainer_ = Gradient("logit") if explainer is None else explainer

    def fit(self, X, y=None):
        return self

    def __sklearn_is_fitted__(self):
        return self.fitted

    device_ = torch.device("cpu")
    classes_ = np.array(["no", "yes"])

    def _logits(self, X):
        with torch.no_grad():
            return self.module_(torch.tensor(np.ascontiguousarray(X), dtype=torch.float32))

    def predict_proba(self, X):
        return self._logits(X).double().softmax(dim=1).numpy()

    def predict(self, X):
        return self.classes_[self._logits(X).argmax(dim=1).numpy()]

    def encode_target(self, X, y=None):
        return self._logits(X).argmax(dim=1) if y is None else torch.tensor(np.searchsorted(self.classes_, y))

    def explain(self, X, y=None):
        x = torch.tensor(np.ascontiguousarray(X), dtype=torch.float32, requires_grad=True)
        attribution = self.explainer_(self.module_, x, self.encode_target(X, y)).detach().numpy()
        return pd.DataFrame(attribution, X.index, X.columns) if isinstance(X, pd.DataFrame) else attribution


class Strict(Victim):
    """Fitted on a number of features, which it insists on."""

    def fit(self, X, y=None):
        validate_data(self, X)
        return self

    def _logits(self, X):
        validate_data(self, X, reset=False)
        return super()._logits(X)


def quadratic_victim(matrix, slope, constant=10.0):
    return Victim(Quadratic(matrix, slope, constant), Gradient("logit"))


@pytest.fixture
def short_ensemble(monkeypatch):
    """Give every attack of the ensemble a fifth of its iterations: the presets relate to each other as before."""
    for presets in (_auto.PRESETS, _auto._WITHOUT_DERIVATIVE):
        for name, specs in presets.items():
            short = [
                (kind, {**options, "max_iter": options.get("max_iter", kind().max_iter) // SHORTER})
                for kind, options in specs
            ]
            monkeypatch.setitem(presets, name, short)


@pytest.fixture
def victim():
    return Victim()


@pytest.fixture
def relu_victim():
    """Two layers of ReLUs, in training mode and with gradients switched on, as a user may leave it."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        layers = nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2)
        for layer in layers[::2]:
            nn.init.normal_(layer.weight, std=0.5)
    return Victim(nn.Sequential(*layers).train())


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(size=(24, 8))


@pytest.fixture(scope="session")
def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    X_train, X_test, y_train, _ = train_test_split(X, y, random_state=0, stratify=y)
    scaler = MinMaxScaler(clip=True).fit(X_train)
    return scaler.transform(X_train), scaler.transform(X_test), y_train


@pytest.fixture(scope="session")
def vanilla(cancer):
    """A network with ReLUs on real data."""
    X_train, _, y_train = cancer
    return VanillaClassifier(max_epochs=10, module__hidden=(32, 16)).fit(X_train, y_train)


def reference(attribution, k, ranking="magnitude"):
    """The clean side of an objective, made as the loop makes it."""
    scores = unit_scores(attribution, ranking)
    return Reference(attribution, scores, top_k_mask(scores, k), k, ranking)


def sets(scores, k):
    """Top-k set and the rest of one row, by a plain sort."""
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    return order[:k], order[k:]


@pytest.fixture(params=["magnitude", "signed"])
def ranking(request):
    return request.param


@pytest.fixture
def explained():
    """Attributions at x and at x + delta, (n, units) in float64, without ties."""
    rng = np.random.default_rng(7)
    return rng.normal(size=(9, 6)), rng.normal(size=(9, 6)) * 3


def objective(attack, clean, moved, k, ranking):
    """The hook of an attack and its gradient, on numpy arrays."""
    moved = torch.tensor(moved, requires_grad=True)
    values = attack.objective(moved, reference(torch.tensor(clean), k, ranking))
    (gradient,) = torch.autograd.grad(values.sum(), moved)
    return values.detach().numpy(), gradient.numpy()


def flip_problem(seed, norm):
    """Two features whose signed gap is linear in delta, and the radius at which it changes sign: in closed form."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(2, 2))
    matrix = matrix + matrix.T
    slope = rng.normal(size=2) + 5 * np.sign(rng.normal())  # far from zero: both scores keep their signs
    x = rng.normal(size=2) * 0.1
    gradient = matrix @ x + slope
    gap, change = gradient[0] - gradient[1], matrix[0] - matrix[1]
    # |gap + change . delta| reaches 0 at the dual norm of change
    radius = abs(gap) / np.linalg.norm(change, ord=2 if norm == 2 else 1)
    return quadratic_victim(matrix, slope, constant=100.0), x[None], radius


class Recorder:
    """Keeps every perturbation that an attack tried, each shaped like X; 0 once a row has left."""

    def __init__(self, monkeypatch, X):
        self.X, self.deltas = torch.tensor(X, dtype=torch.float32), []
        inner = PerturbationSet.project

        def project(space, delta, x):
            projected = inner(space, delta, x)
            step = torch.zeros_like(self.X)
            rows = (self.X[:, None] == x[None]).all(dim=2).int().argmax(dim=0)
            step[rows] = projected
            self.deltas.append(step)
            return projected

        monkeypatch.setattr(PerturbationSet, "project", project)

    @property
    def points(self):
        return [(self.X + delta).numpy() for delta in self.deltas]
