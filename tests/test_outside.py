"""Methods as a user writes them, outside of the package and without a private name."""

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from torch import nn

from robustxai import SoftplusClassifier
from robustxai.activations import Activation
from robustxai.attacks import ERAttack, GradientAttack, RandomAttack
from robustxai.certificates import certify_top_k
from robustxai.classifiers import BaseExplainableClassifier
from robustxai.explainers import score_gradient
from robustxai.metrics import precision_at_k
from robustxai.model_selection import BatchedSearchCV, PrecisionAtKScorer, RobustnessScorer
from robustxai.nets import DenseLayers
from robustxai.penalties import BasePenalty
from robustxai.perturbation import ThreatModel
from robustxai.training import Term

SMALL = {"max_epochs": 6, "batch_size": 64, "random_state": 0}
THREAT = ThreatModel(epsilon=0.5)

# ---------------------------------------------------------------- what the user writes


@dataclass(frozen=True)
class SquaredLength(BasePenalty):
    """Squared length of the explanation, which declares everything that it may."""

    differentiates_inputs: ClassVar[bool] = False
    stackable: ClassVar[bool] = True

    power: float = 1.0

    def __call__(self, batch):
        return batch.attribution.flatten(start_dim=batch.batch_ndim).square().sum(dim=-1) ** self.power


def squared_length(batch):
    """The same value without a declaration."""
    return batch.attribution.square().sum(dim=-1)


class ShortGradientClassifier(BaseExplainableClassifier):
    def __init__(self, weight=1.0, declared=True, **params):
        super().__init__(**params)
        self.weight = weight
        self.declared = declared

    def terms(self, n_units):
        return [Term("length", self.weight, SquaredLength() if self.declared else squared_length)]


class Arctan(nn.Module):
    record = Activation(
        value_and_slope=lambda z: (torch.atan(z), 1 / (1 + z.square())),
        bend=lambda t, a, s: -2 * torch.tan(a) * s * t,  # z = tan(a), and sigma''/sigma' is -2 z s
    )

    def forward(self, z):
        return torch.atan(z)


class Scaled(nn.Module):
    """A network with its own layout: one hidden layer of arctangents."""

    def __init__(self, n_features, n_classes, width=6):
        super().__init__()
        self.last = nn.Linear(width, n_classes)
        self.bend = Arctan()
        self.first = nn.Linear(n_features, width)

    def forward(self, x):
        return self.last(self.bend(self.first(x)))

    def dense_layers(self):
        return DenseLayers([self.first, self.last], [self.bend], None)


class Undeclared(Scaled):
    """The same network. A subclass does not inherit the declaration, because it may compute something else."""


@dataclass(frozen=True)
class MarginToFirst:
    """The gradient of the logit of a class minus that of class 0 or 1, whichever is another class."""

    single_gradient: ClassVar[bool] = True

    def __call__(self, module, x, target, *, logits=None, create_graph=False):
        return score_gradient(module, x, Margin(target), logits=logits, create_graph=create_graph)


@dataclass(frozen=True)
class Margin:
    target: torch.Tensor

    def signs(self, logits):
        own = torch.nn.functional.one_hot(self.target, logits.shape[-1]).to(logits)
        other = torch.nn.functional.one_hot((self.target == 0).long(), logits.shape[-1]).to(logits)
        return own - other

    def value(self, logits):
        return (self.signs(logits) * logits).sum(dim=-1)

    def cotangent(self, logits):
        return self.signs(logits)


def plain_margin(module, x, target, *, logits=None, create_graph=False):
    """The same explainer by autograd alone, which declares nothing."""
    with torch.enable_grad():
        x = x if x.requires_grad else x.detach().requires_grad_()
        kept = logits is not None
        logits = module(x) if logits is None else logits
        value = Margin(target).value(logits).sum()
        return torch.autograd.grad(value, x, create_graph=create_graph, retain_graph=kept or create_graph)[0]


class CosineAttack(GradientAttack):
    """Turn the explanation away from the clean one."""

    def objective(self, attribution, reference):
        flat, clean = attribution.flatten(start_dim=1), reference.attribution.flatten(start_dim=1)
        return -torch.cosine_similarity(flat, clean, dim=1)


def cosine(attribution, attribution_adv):
    a, b = (np.asarray(v) for v in (attribution, attribution_adv))
    return (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


# ---------------------------------------------------------------- and what the library does with it


@pytest.fixture(scope="module")
def table():
    X, y = load_breast_cancer(return_X_y=True)
    return MinMaxScaler().fit_transform(X).astype(np.float32), y


def test_this_file_touches_no_private_name():
    tree = ast.parse(Path(__file__).read_text(encoding="utf-8"))
    modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [name for name in modules if any(part.startswith("_") for part in name.split("."))]
    attributes = [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    methods = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert not [
        n for n in (*attributes, *methods) if n.startswith("_") and n not in ("__file__", "__init__", "__call__")
    ]


@pytest.mark.parametrize("module", [Scaled, Undeclared])
def test_a_declared_penalty_trains_to_the_same_weights(table, module):
    X, y = table
    fits = [ShortGradientClassifier(0.1, declared, module=module, **SMALL).fit(X, y) for declared in (True, False)]
    declared, plain = (clf.predict_proba(X) for clf in fits)
    np.testing.assert_allclose(declared, plain, atol=1e-4)


def test_penalty_and_network_stack_where_they_declare_it(table):
    X, y = table

    def search(module, declared):
        clf = ShortGradientClassifier(declared=declared, module=module, **SMALL)
        return BatchedSearchCV(clf, {"weight": [0.01, 1.0]}, cv=2, refit=False).fit(X[:200], y[:200]).cv_results_

    stacked = search(Scaled, True)
    alone = search(Undeclared, True)
    assert stacked["stacked"].all(), stacked["why_not_stacked"]
    assert not alone["stacked"].any()
    assert not search(Scaled, False)["stacked"].any()
    np.testing.assert_allclose(stacked["mean_test_score"], alone["mean_test_score"], atol=0.011)  # one row of 100


def test_an_explainer_is_trained_on_by_the_same_declaration(table):
    X, y = table
    clf = ShortGradientClassifier(0.1, module=Scaled, explainer=MarginToFirst(), **SMALL).fit(X, y)
    plain = ShortGradientClassifier(0.1, module=Scaled, explainer=plain_margin, **SMALL).fit(X, y)
    np.testing.assert_allclose(clf.explain(X[:20]), plain.explain(X[:20]), atol=1e-4)
    search = BatchedSearchCV(clf, {"weight": [0.01, 1.0]}, cv=2, refit=False).fit(X[:200], y[:200])
    assert search.cv_results_["stacked"].all(), search.cv_results_["why_not_stacked"]


def test_an_attack_follows_its_objective_and_scores(table):
    X, y = table
    clf = SoftplusClassifier(beta=5.0, max_epochs=30, random_state=0).fit(X, y)
    options = {"k": 4, "threat": THREAT, "max_iter": 20, "random_state": 0}
    found = CosineAttack(clf, keep="last", **options).run(X[:60])
    random = RandomAttack(clf, **options).run(X[:60])
    reached, by_chance = (cosine(r.attribution, r.attribution_adv).mean() for r in (found, random))
    assert reached < by_chance
    np.testing.assert_allclose(found.precision_at_k, precision_at_k(found.attribution, found.attribution_adv, k=4))
    pipe = make_pipeline(MinMaxScaler(), SoftplusClassifier(**SMALL))
    scores = cross_val_score(pipe, X, y, cv=2, scoring=PrecisionAtKScorer(CosineAttack(k=4, max_iter=3)))
    assert ((scores >= 0) & (scores <= 1)).all()


def test_a_metric_is_scored_by_its_name(table):
    X, y = table
    clf = SoftplusClassifier(**SMALL).fit(X, y)
    attack = ERAttack(k=4, max_iter=5, random_state=0)
    scores = RobustnessScorer(attack, n_rows=30, n_draws=2, n_points=2, metrics={"cosine": cosine})(clf, X, y)
    result = ERAttack(clf, k=4, max_iter=5, random_state=0).run(X[:30])
    assert scores["cosine"] == pytest.approx(cosine(result.attribution, result.attribution_adv).mean(), abs=1e-6)


def test_a_certificate_refuses_an_activation_without_bounds_by_its_name(table):
    X, y = table
    clf = ShortGradientClassifier(0.1, module=Scaled, **SMALL).fit(X, y)
    with pytest.raises(NotImplementedError, match=r"Arctan|atan"):
        certify_top_k(clf, X[:2], k=4, epsilon=0.01)
