"""Types of public signatures: ``Any`` for data only, a ``Literal`` for every fixed choice, fulfilled protocols."""

import importlib
import inspect
import re
import typing

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from robustxai import VanillaClassifier, protocols
from robustxai._arguments import Choice, Each, Either, OneOf, declared
from robustxai.attacks import BlackBox, ERAttack
from robustxai.explainers import EXPLAINERS, IntegratedGradients
from robustxai.metrics import cosine_similarity, precision_at_k
from robustxai.penalties import RankingGap

#: Folders that users import from; what `engine`, `bounds` and `cli` offer is plumbing.
FOLDERS = ["activations", "attacks", "audit", "benchmark", "certificates", "classifiers", "columns", "conversion"]
FOLDERS += [
    "datasets",
    "experiments",
    "explainers",
    "inspection",
    "metrics",
    "model_selection",
    "nets",
    "penalties",
    "perturbation",
]
FOLDERS += ["exporting", "integrations", "integrations.mlflow", "ranking", "reasons", "saving", "training"]

#: Arguments through which data come in, of any type that NumPy, pandas or torch can read, and objects of matplotlib.
DATA = {
    *("X", "y", "X_adv", "attribution", "attribution_adv", "reference", "predicted", "predicted_adv", "values"),
    *("values_adv", "baseline", "first_flip", "censored", "index", "feature_names", "input_features", "bounds"),
    *("ax", "axes", "groups"),
    # features and raw rows of a column map and of a table threat
    *("x", "like", "row", "changed", "favorable", "summary", "sample_weight", "soft_labels", "frequencies", "classes"),
    # what skorch hands to the methods of a net and of a callback
    *("batch", "dataset", "dataset_train", "y_pred", "y_true"),
}

#: Arguments whose choices are the keys of a registry, which users extend, or names that the tables of a paper print.
REGISTERED = {
    "data", "defense", "defenses", "attacks", "arm", "arms", "method", "methods", "module", "activation", "columns",
}  # fmt: skip


def public():
    """(name, function, class or None) of every public function and method, each once."""
    seen = set()
    for folder in ("", *(f".{name}" for name in FOLDERS)):
        module = importlib.import_module(f"robustxai{folder}")
        for name in module.__all__:
            thing = getattr(module, name)
            if id(thing) in seen or not str(getattr(thing, "__module__", "")).startswith("robustxai"):
                continue
            seen.add(id(thing))
            if inspect.isfunction(thing):
                yield name, thing, None
            elif inspect.isclass(thing):
                for method, function in vars(thing).items():
                    function = getattr(function, "__func__", function)
                    if inspect.isfunction(function) and (
                        not method.startswith("_") or method in ("__init__", "__call__")
                    ):
                        yield f"{name}.{method}", function, thing


PUBLIC = list(public())


def members(annotation):
    """Types of a union, written as text."""
    depth, start, found = 0, 0, []
    for place, sign in enumerate(annotation):
        depth += (sign in "[(") - (sign in "])")
        if sign == "|" and depth == 0:
            found.append(annotation[start:place].strip())
            start = place + 1
    return [*found, annotation[start:].strip()]


def arguments(function):
    parameters = inspect.signature(function).parameters.values()
    variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [p for p in parameters if p.name not in ("self", "cls") and p.kind not in variable]


@pytest.mark.parametrize(("name", "function", "kind"), PUBLIC, ids=[name for name, *_ in PUBLIC])
def test_only_data_are_of_any_type(name, function, kind):
    untyped = [
        p.name
        for p in arguments(function)
        if p.name not in DATA and (p.annotation is p.empty or "Any" in members(str(p.annotation)))
    ]
    assert untyped == []


# ---------------------------------------------------------------- choices


def choices(constraint):
    """Fixed values that a constraint allows."""
    if isinstance(constraint, Choice):
        yield from constraint.names
    elif isinstance(constraint, OneOf):
        yield from constraint.values
    elif isinstance(constraint, Either):
        for option in constraint.options:
            yield from choices(option)
    elif isinstance(constraint, Each):
        yield from choices(constraint.entry)


def literals(kind):
    """Values of all Literal types inside of a type."""
    if typing.get_origin(kind) is typing.Literal:
        return set(typing.get_args(kind))
    return set().union(*map(literals, typing.get_args(kind)))


def with_choices():
    for name, function, kind in PUBLIC:
        constraints = declared(kind) if name.endswith(".__init__") else declared(function)
        for p in arguments(function):
            values = set(choices(constraints[p.name])) if p.name in constraints else set()
            if values and p.name not in REGISTERED:
                yield f"{name}.{p.name}", str(p.annotation), values


CHOICES = list(with_choices())


@pytest.mark.parametrize(("label", "annotation", "values"), CHOICES, ids=[label for label, *_ in CHOICES])
def test_every_fixed_choice_is_a_literal(label, annotation, values):
    inline = set(re.findall(r"Literal\['(\w+)'\]", annotation))
    aliases = {name for name in re.findall(r"\w+", annotation) if name in protocols.__all__}
    known = inline.union(*(literals(getattr(protocols, name)) for name in aliases))
    names = {value for value in values if isinstance(value, str)}
    assert names <= known  # numbers, as those of a norm, are no literals
    if "Norm" not in aliases:
        assert values == names


def test_aliases_are_the_choices_and_no_more():
    """An alias that is wider than a constraint would let a type checker pass what is refused."""
    wide = {
        label: annotation
        for label, annotation, values in CHOICES
        for name in re.findall(r"\w+", annotation)
        if typing.get_origin(getattr(protocols, name, None)) is typing.Literal
        if not set(typing.get_args(getattr(protocols, name))) <= values
    }
    assert wide == {}


# ---------------------------------------------------------------- protocols


@pytest.fixture(scope="module")
def fitted():
    X = np.random.RandomState(0).rand(20, 3)
    y = (X[:, 0] > 0.5).astype(int)
    return X, y, VanillaClassifier(max_epochs=1).fit(X, y), LogisticRegression().fit(X, y)


def test_the_library_fulfills_its_protocols(fitted):
    X, y, clf, other = fitted
    assert isinstance(clf, protocols.ExplainableClassifier)
    assert not isinstance(VanillaClassifier(), protocols.ExplainableClassifier)
    assert isinstance(other, protocols.FittedClassifier)
    assert not isinstance(other, protocols.ExplainingClassifier)
    assert isinstance(BlackBox(other, np.zeros_like), protocols.ExplainableClassifier)
    search = GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=2).fit(X, y)
    assert isinstance(search, protocols.FittedSearch)
    attack = ERAttack(clf, k=1, max_iter=1)
    assert isinstance(attack, protocols.Attack)
    assert isinstance(attack.run(X), protocols.AttackOutcome)
    assert all(isinstance(explainer, protocols.Explainer) for explainer in EXPLAINERS.values())
    assert isinstance(RankingGap(k=1), protocols.Penalty)


class Constant:
    """A classifier of a user, who has read the protocol and nothing else."""

    classes_ = np.array([0, 1])
    device_ = torch.device("cpu")
    module_ = torch.nn.Linear(3, 2)

    def predict(self, X):
        return np.zeros(len(X), dtype=int)

    def predict_proba(self, X):
        return np.tile([0.7, 0.3], (len(X), 1))

    def explain(self, X, y=None):
        return np.tile([3.0, 2.0, 1.0], (len(X), 1))

    def explainer_(self, module, x, target, *, logits=None, create_graph=False):
        return IntegratedGradients()(module, x, target, logits=logits, create_graph=create_graph)

    def encode_target(self, X, y=None):
        return torch.zeros(len(X), dtype=torch.long)


def test_a_class_of_the_users_own_is_attacked_by_its_attributes_alone():
    assert isinstance(Constant(), protocols.ExplainableClassifier)
    result = ERAttack(Constant(), k=1, max_iter=2).run(np.random.RandomState(0).rand(4, 3))
    assert result.precision_at_k.tolist() == [1.0] * 4  # what it says never changes


def test_metrics_fulfill_their_protocol():
    metrics: list[protocols.Metric] = [precision_at_k, cosine_similarity]
    rows = np.arange(12.0).reshape(3, 4)
    for metric in metrics:
        assert metric(rows, rows).shape == (3,)
