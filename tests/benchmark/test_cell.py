import math
import re
import warnings
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import train_test_split

from robustxai import SoftplusClassifier, VanillaClassifier
from robustxai.attacks import AutoExplanationAttack, ERAttack, RandomAttack
from robustxai.benchmark import DEFENSES, Cell, run_cell
from robustxai.benchmark._cell import prepare_rows
from robustxai.certificates import certify_top_k
from robustxai.datasets import load_table, make_preprocessor
from robustxai.exceptions import EvaluationWarning
from robustxai.perturbation import ThreatModel

CELL = Cell("breast_cancer", "vanilla", 0, ("er", "random"))
CHANGED = {
    "data": "adult",
    "defense": "softplus",
    "seed": 1,
    "attacks": ("random", "er"),
    "k": 7,
    "epsilon": 0.25,
    "norm": "inf",
    "max_iter": 99,
    "n_rows": 999,
    "params": (("max_epochs", 3),),
    "part": "validation",
    "start": "vanilla",
    "start_params": (("lr", 0.002),),
    "retrain_params": (("beta", 3.0),),
    "reference_attacks": ("er_paper",),
    "certify": True,
    "explainer": "smooth_grad",
    "training_explainer": "own",
    "n_train": 50,
}


def test_the_name_is_that_of_the_contents():
    assert CELL.name == replace(CELL).name
    assert re.fullmatch(r"breast_cancer-vanilla-0-[0-9a-f]{12}\.json", CELL.name)
    assert replace(CELL, data="/some/where/my table.csv").name.startswith("my table-vanilla-0-")


def test_the_name_changes_with_every_field():
    assert {field.name for field in fields(Cell)} == CHANGED.keys()
    names = {replace(CELL, **{name: value}).name for name, value in CHANGED.items()} | {CELL.name}
    assert len(names) == len(CHANGED) + 1


def test_the_name_changes_with_the_defaults_of_the_defense(monkeypatch):
    """Which scikit-learn's repr of an estimator leaves out."""

    def today():
        class Defense(BaseEstimator):
            def __init__(self, weight=1.0):
                self.weight = weight

        return Defense()

    def tomorrow():
        class Defense(BaseEstimator):
            def __init__(self, weight=2.0):
                self.weight = weight

        return Defense()

    names = []
    for make in (today, today, tomorrow):
        monkeypatch.setitem(DEFENSES, "vanilla", lambda k, seed, make=make: make())
        names.append(CELL.name)
    assert repr(today()) == repr(tomorrow()) == "Defense()"
    assert names[0] == names[1] != names[2]


def test_the_name_changes_with_the_contents_of_a_file(table):
    cell = replace(CELL, data=str(table))
    before = cell.name
    table.write_text(table.read_text().replace("own", "owns", 1))
    assert cell.name != before


@pytest.mark.parametrize("defense", DEFENSES)
def test_every_defense_has_the_seed_and_k_of_the_cell(defense):
    params = replace(CELL, defense=defense, seed=5, k=3).estimator().get_params()
    assert params["random_state"] == 5
    assert params.get("k", 3) == 3


def test_a_row_equals_the_protocol_by_hand(table):
    cell = Cell(str(table), "softplus", 3, ("er", "random"), k=3, max_iter=5, n_rows=15, params=(("max_epochs", 20),))
    row = run_cell(cell)
    X, y = load_table(table, return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, np.asarray(y), test_size=0.25, stratify=y, random_state=3)
    preparation = make_preprocessor(X).fit(X)
    X, X_test = preparation.transform(X), preparation.transform(X_test)
    clf = SoftplusClassifier(random_state=3, max_epochs=20).fit(X, y)
    threat = ThreatModel(0.5, bounds=(0, 1))
    er = ERAttack(clf, k=3, threat=threat, max_iter=5, random_state=3, step_size=0.1, momentum=0.0).run(X_test[:15])
    random = RandomAttack(clf, k=3, threat=threat, max_iter=5, random_state=3).run(X_test[:15])
    expected = {
        "data": "loans",
        "defense": "softplus",
        "seed": 3,
        "attacks": "er,random",
        "n_features": 9,  # a, with gaps, has a mark of them
        "roc_auc": roc_auc_score(y_test == "yes", clf.predict_proba(X_test)[:, 1]),
        "accuracy": accuracy_score(y_test, clf.predict(X_test)),
        "precision_at_k_er": er.precision_at_k.mean(),
        "precision_at_k_random": random.precision_at_k.mean(),
        "precision_at_k": np.minimum(er.precision_at_k, random.precision_at_k).mean(),
        "first_flip": er.first_flip.mean(),
    }
    for name, value in expected.items():
        assert row[name] == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value), name
    assert row["fit_seconds"] > 0
    assert all(math.isfinite(value) for value in row.values() if isinstance(value, float))


@pytest.mark.parametrize("norm", ["2", "inf"])
def test_the_certified_precision_is_that_of_the_attacked_rows_in_the_same_ball(table, norm):
    options = {"max_iter": 4, "n_rows": 15, "params": (("max_epochs", 20),)}
    cell = Cell(str(table), "softplus", 0, ("random",), 3, 0.2, norm, certify=True, **options)
    row = run_cell(cell)
    X_train, X_test, y_train, _ = prepare_rows(cell)
    clf = SoftplusClassifier(random_state=0, max_epochs=20).fit(X_train, y_train)
    expected = certify_top_k(clf, X_test[:15], 3, epsilon=0.2, norm=2 if norm == "2" else "inf").precision_at_k.mean()
    assert row["certified_precision_at_k"] == expected
    assert 0 < expected <= row["precision_at_k"]
    assert expected != certify_top_k(clf, X_test, 3, epsilon=0.2, norm=cell.threat().norm).precision_at_k.mean()
    assert "certified_precision_at_k" not in run_cell(replace(cell, certify=False))


def times_input(module, x, target, **options):
    """An explainer of which no certificate knows."""
    return x * torch.arange(1.0, x.shape[1] + 1)


@pytest.mark.parametrize("params", [{"module__activation": "gelu"}, {"explainer": times_input}])
def test_without_a_certificate_there_is_no_certified_precision(table, monkeypatch, params):
    monkeypatch.setitem(DEFENSES, "own", lambda k, seed: SoftplusClassifier(max_epochs=1).set_params(**params))
    row = run_cell(Cell(str(table), "own", 0, ("random",), 3, max_iter=2, n_rows=9, certify=True, explainer="own"))
    assert "certified_precision_at_k" not in row
    assert 0 < row["precision_at_k"] <= 1


@pytest.mark.usefixtures("quick_ensemble")
def test_the_ensemble_counts_and_what_it_says_is_in_the_row(table, recwarn):
    """A linear model, of which it says that its P@k is worth nothing; and of any other that none is below it."""
    cell = Cell(str(table), "logistic_regression", 0, ("random", "auto"), k=3, max_iter=4, n_rows=20)
    row = run_cell(cell)
    assert row["precision_at_k_auto"] == 1
    assert "linear, or has collapsed" in row["warning"]
    assert not [message for message in recwarn if issubclass(message.category, EvaluationWarning)]
    cell = replace(cell, defense="vanilla", attacks=("random", "boundary", "auto"), params=(("max_epochs", 20),))
    row = run_cell(cell)
    X_train, X_test, y_train, _ = prepare_rows(cell)
    victim = VanillaClassifier(random_state=0, max_epochs=20).fit(X_train, y_train)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EvaluationWarning)
        auto = AutoExplanationAttack(victim, k=3, threat=ThreatModel(0.5, bounds=(0, 1))).run(X_test[:20])
    assert row["precision_at_k_auto"] == auto.precision_at_k.mean()
    assert row["precision_at_k"] <= row["precision_at_k_auto"] < row["precision_at_k_random"]


def test_other_warnings_are_heard(table):
    with pytest.warns(UserWarning, match="k=99 is not smaller"):
        run_cell(Cell(str(table), "softplus", 0, ("random",), k=99, max_iter=2, n_rows=5, params=(("max_epochs", 2),)))


def test_trees_have_an_auc_and_no_explanation(table):
    row = run_cell(Cell(str(table), "gradient_boosting", 0, ("er",), certify=True))
    assert 0.5 < row["roc_auc"] <= 1
    assert not [name for name in row if name.startswith(("precision", "thickness", "first_flip", "certified"))]


def test_linear_models_are_perfectly_stable(table):
    row = run_cell(Cell(str(table), "logistic_regression", 0, ("er", "random"), k=3, max_iter=4, n_rows=20))
    assert row["precision_at_k"] == row["thickness"] == 1
    assert row["first_flip"] == 5


def test_an_edited_table_is_read_again(table):
    cell = Cell(str(table), "logistic_regression", 0, ("random",), k=2, max_iter=1, n_rows=5)
    assert run_cell(cell)["n_features"] == 9
    pd.read_csv(table).drop(columns="home").to_csv(table, index=False)
    assert run_cell(cell)["n_features"] == 6  # five numbers and the mark of a's gaps


def test_reference_attacks_are_reported_and_do_not_count(table):
    cell = Cell(str(table), "softplus", 0, ("random",), k=3, max_iter=5, n_rows=15)
    plain, beside = run_cell(cell), run_cell(replace(cell, reference_attacks=("er",)))
    assert beside["precision_at_k"] == plain["precision_at_k"] == beside["precision_at_k_random"]
    assert beside["precision_at_k_er"] < beside["precision_at_k"]
    assert "precision_at_k_er" not in plain


def test_a_retrained_cell_starts_from_the_vanilla_model_that_it_names(table):
    """With next to no learning rate what is left is the vanilla model itself, fitted on four fifths of the rows."""
    start = (("max_epochs", 3), ("lr", 0.02))
    retrained = Cell(
        str(table),
        "softplus",
        0,
        ("random",),
        k=3,
        max_iter=5,
        n_rows=15,
        params=(("lr", 1e-12),),
        start="vanilla",
        start_params=start,
        retrain_params=(("max_epochs", 2), ("min_precision", 0.0)),
    )
    X_train, X_test, y_train, y_test = prepare_rows(retrained)
    X_train, _, y_train, _ = train_test_split(X_train, y_train, test_size=0.2, stratify=y_train, random_state=0)
    old = VanillaClassifier(random_state=0, **dict(start)).fit(X_train, y_train)
    row = run_cell(retrained)
    assert row["roc_auc"] == pytest.approx(roc_auc_score(y_test == "yes", old.predict_proba(X_test)[:, 1]), abs=1e-9)
    assert row["kept_epochs"] >= 1
